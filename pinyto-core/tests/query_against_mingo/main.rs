//! The same questions put to our queries and to mingo, another implementation of MongoDB's
//! language.
//!
//! `npm ci --prefix .ci/mingo` installs it. Without it the tests say so and do nothing, unless
//! the environment variable `CI` is set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics fails"
)]

mod excuses;
mod generate;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path as FilePath, PathBuf},
    process::Command,
};

use excuses::Excuse;
use generate::Generator;
use pinyto_core::query::{Direction, Path, Query, Sort, SortKey};
use serde_json::{Value, json};

/// How many questions are asked. They are the same in every run.
const MATCHES: usize = 12_000;
const SORTINGS: usize = 3_000;
const DISTINCTS: usize = 3_000;

fn is_there() -> bool {
    let node = Command::new("node").arg("--version").output();
    let there = node.is_ok_and(|output| output.status.success())
        && folder().join("node_modules/mingo/package.json").exists();
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI is set, but there is no node with mingo to check against"
        );
        eprintln!("SKIPPED: there is no mingo; `npm ci --prefix .ci/mingo` installs it");
    }
    there
}

fn folder() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/mingo")
}

/// Puts questions of that kind to mingo.
fn ask(kind: &str, questions: &[Value]) -> Vec<Value> {
    let name = format!("mingo-{kind}-{}", std::process::id());
    let file = |end: &str| FilePath::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{end}"));
    let (asked, answered) = (file("questions.json"), file("answers.json"));
    fs::write(&asked, Value::from(questions).to_string()).unwrap();
    let output = Command::new("node")
        .arg(folder().join("answers.mjs"))
        .arg(kind)
        .args([&asked, &answered])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let answers: Vec<Value> = serde_json::from_slice(&fs::read(&answered).unwrap()).unwrap();
    fs::remove_file(asked).unwrap();
    fs::remove_file(answered).unwrap();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Counts what agreed, what was excused, and keeps what differed.
#[derive(Default)]
struct Comparison {
    compared: usize,
    differing: Vec<String>,
    /// How often each excuse was used, and how often the answers really differed then.
    excused: BTreeMap<Excuse, (usize, usize)>,
}

impl Comparison {
    fn take(&mut self, question: &Value, ours: &Value, theirs: &Value, excuse: Option<Excuse>) {
        let same = ours == theirs;
        if let Some(excuse) = excuse {
            let (used, differed) = self.excused.entry(excuse).or_default();
            *used += 1;
            *differed += usize::from(!same);
            return;
        }
        self.compared += 1;
        if !same {
            let text = format!("{question}\n  ours:   {ours}\n  theirs: {theirs}");
            self.differing.push(text);
        }
    }

    /// Everything not excused agrees, that is most, and every excuse that is often used is needed.
    fn check(mut self, kind: &str) {
        let excused: usize = self.excused.values().map(|(used, _)| used).sum();
        println!("{kind}: {} compared, {excused} excused", self.compared);
        for (excuse, (used, differed)) in &self.excused {
            println!("{used} ({differed} differ): mingo {}", excuse.mingo);
        }
        self.differing.sort_by_key(String::len);
        let shown = self.differing[..self.differing.len().min(10)].join("\n");
        assert!(
            self.differing.is_empty(),
            "{} differ:\n{shown}",
            self.differing.len()
        );
        assert!(
            self.compared * 4 >= (self.compared + excused) * 3,
            "too much is excused"
        );
        let all = self.compared + excused;
        for (excuse, (used, differed)) in self.excused {
            let needed = differed > 0 || used < 100;
            assert!(needed, "nothing needs this excuse any more: {excuse:?}");
            let bounded = used * 1000 <= excuse.per_mille * all;
            assert!(bounded, "of {all} questions {used} are excused: {excuse:?}");
        }
    }
}

#[test]
fn the_same_documents_match() {
    if !is_there() {
        return;
    }
    let mut generator = Generator::new(1);
    let questions: Vec<Value> = (0..MATCHES).map(|_| generator.question()).collect();
    let answers = ask("matches", &questions);
    let mut comparison = Comparison::default();
    let mut matching = 0;
    for (question, theirs) in questions.iter().zip(&answers) {
        let document = &question["document"];
        let query = Query::parse(&question["query"]).unwrap();
        let ours = query.matches(document);
        let excuse = excuses::of_match(query.condition(), document);
        matching += usize::from(ours && excuse.is_none());
        comparison.take(question, &ours.into(), theirs, excuse);
    }
    assert!(matching > MATCHES / 10, "only {matching} match");
    comparison.check("matches");
}

#[test]
fn documents_come_in_the_same_order() {
    if !is_there() {
        return;
    }
    let mut generator = Generator::new(2);
    let questions: Vec<Value> = (0..SORTINGS).map(|_| generator.sorting()).collect();
    let answers = ask("sort", &questions);
    let mut comparison = Comparison::default();
    for (question, theirs) in questions.iter().zip(&answers) {
        let mut documents = question["documents"].as_array().unwrap().clone();
        let path = question["path"].as_str().unwrap();
        let excuse = excuses::of_order(&documents, path);
        let direction = match question["direction"].as_i64() {
            Some(1) => Direction::Ascending,
            _ => Direction::Descending,
        };
        Sort::by(path, direction).unwrap().sort(&mut documents);
        let ours = documents.iter().map(|document| document["_id"].clone());
        comparison.take(question, &ours.collect(), theirs, excuse);
    }
    comparison.check("sort");
}

#[test]
fn the_same_values_are_distinct() {
    if !is_there() {
        return;
    }
    let mut generator = Generator::new(3);
    let questions: Vec<Value> = (0..DISTINCTS).map(|_| generator.distinct()).collect();
    let answers = ask("distinct", &questions);
    // One answer for each set of values.
    let set = |values: &mut dyn Iterator<Item = Value>| -> Value {
        let values = values.map(|value| format!("{:?}", SortKey::of(&value)));
        let mut values: Vec<String> = values.collect();
        values.sort();
        values.dedup();
        json!(values)
    };
    let mut comparison = Comparison::default();
    for (question, theirs) in questions.iter().zip(&answers) {
        let documents = question["documents"].as_array().unwrap();
        let text = question["path"].as_str().unwrap();
        let path = Path::parse(text).unwrap();
        let mut ours = documents
            .iter()
            .flat_map(|document| path.distinct_values(document))
            .map(|value| value.into_owned());
        let mut theirs = theirs
            .as_array()
            .unwrap_or_else(|| panic!("{theirs}"))
            .iter()
            .cloned();
        let excuse = excuses::of_distinct(documents, text);
        comparison.take(question, &set(&mut ours), &set(&mut theirs), excuse);
    }
    comparison.check("distinct");
}
