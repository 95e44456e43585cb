//! `pinyto-server run-assembly` as authors use it: what it runs, what it writes, how it ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::running_server::command;

/// A folder with files in it.
struct Desk(tempfile::TempDir);

/// How a trial ended: exit code, standard output, standard error without CPU times.
#[derive(Debug, PartialEq)]
struct Ended(i32, String, String);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(desk.0.path().join(name), text).unwrap();
        }
        desk
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = command(self.0.path())
            .arg("run-assembly")
            .args(arguments)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let errors = errors.lines().map(|line| {
            let end = line
                .rfind(" (")
                .filter(|_| line.ends_with("ms of CPU time)"));
            &line[..end.unwrap_or(line.len())]
        });
        Ended(
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            errors.collect::<Vec<_>>().join("\n"),
        )
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.0.path().join(file)).unwrap()).unwrap()
    }
}

fn ended(code: i32, output: &str, errors: &str) -> Ended {
    Ended(code, output.to_owned(), errors.to_owned())
}

/// Two functions, and two jobs that store something; one of them has the other one run.
const PARTS: &str = r#"{
  "name": "Parts", "description": "",
  "api_functions": [
    {"name": "count", "code_file": "count.py"},
    {"name": "echo", "code": "return request.json"}
  ],
  "jobs": [
    {"name": "one", "schedule": 5, "code": "db.insert({'type': 'one'})\nprint('one')\nreturn {}"},
    {"name": "two", "schedule": 0, "code": "db.insert({'type': 'two'})\nprint('two')\nreturn {}"},
    {"name": "queues", "schedule": 0, "code": "for name in ['one', 'queues']:\n    db.insert({'type': 'job', 'data': {'assembly_user': request.user, 'assembly_name': 'Parts', 'job_name': name}})\nreturn {}"},
    {"name": "fails", "schedule": 0, "code": "db.insert({'type': 'tried'})\nraise ValueError('no')"}
  ]
}"#;

fn parts() -> Desk {
    Desk::new(&[
        ("parts.json", PARTS),
        ("count.py", "return db.count(request.json)"),
        ("empty.json", "[]"),
        (
            "lines.json",
            "{\"type\": \"a\", \"data\": 1}\n{\"type\": \"b\"}\n\n{\"type\": \"a\",\n \"tags\": []}\n",
        ),
    ])
}

#[test]
fn a_job_runs_once_and_no_other_job_does() {
    let desk = parts();
    let types = || -> Vec<Value> {
        let documents = desk.json("empty.json");
        let documents = documents.as_array().unwrap().iter();
        let mut types: Vec<_> = documents.map(|document| document["type"].clone()).collect();
        types.sort_by_key(Value::to_string);
        types
    };
    let arguments = [
        "parts.json",
        "--documents",
        "empty.json",
        "--write",
        "--job",
    ];
    let job = |name: &'static str| desk.run(&[&arguments[..], &[name]].concat());
    assert_eq!(job("one"), ended(0, "", "one\njob one succeeded"));
    assert_eq!(types(), ["one"]);
    assert_eq!(job("two"), ended(0, "", "two\njob two succeeded"));
    assert_eq!(types(), ["one", "two"]);
    // Neither a failure nor what it queues makes more runs of it.
    let failed = "job fails failed in line 2: ValueError: no";
    assert_eq!(job("fails"), ended(1, "", failed));
    assert_eq!(types(), ["one", "tried", "two"]);
    assert_eq!(job("queues"), ended(0, "", "job queues succeeded"));
    assert_eq!(types(), ["job", "job", "one", "tried", "two"]);
}

#[test]
fn the_function_that_is_named_runs_also_with_its_code_in_a_file() {
    let desk = parts();
    let arguments = ["parts.json", "--documents", "lines.json", "--function"];
    let run = |more: &[&str]| desk.run(&[&arguments[..], more].concat());
    assert_eq!(
        run(&["count", "--request", "{\"type\": \"a\"}"]),
        ended(0, "2\n", "function count succeeded")
    );
    assert_eq!(run(&["count"]), ended(0, "3\n", "function count succeeded"));
    assert_eq!(
        run(&["echo", "--request", "{\"b\": 1.50, \"a\": null}"]),
        ended(0, "{\"b\":1.5,\"a\":null}\n", "function echo succeeded")
    );
}

#[test]
fn documents_are_only_written_when_that_is_asked_for_and_then_as_a_list() {
    let desk = Desk::new(&[
        ("add.py", "db.insert({'type': 'new'})\nreturn db.count({})"),
        ("lines.json", "{\"type\": \"old\", \"data\": {\"a\": 1}}\n"),
    ]);
    let before = fs::read_to_string(desk.0.path().join("lines.json")).unwrap();
    let arguments = ["add.py", "--documents", "lines.json"];
    let fine = ended(0, "2\n", "function main succeeded");
    assert_eq!(desk.run(&arguments), fine);
    let after = fs::read_to_string(desk.0.path().join("lines.json")).unwrap();
    assert_eq!(after, before);
    assert_eq!(desk.run(&[&arguments[..], &["--write"]].concat()), fine);
    let written = desk.json("lines.json");
    assert_eq!(written.as_array().unwrap().len(), 2, "{written}");
    assert_eq!(written[0]["data"], json!({"a": 1}));
    assert_eq!(written[0]["assembly"], "me/Trial");
    // What was written can be read again.
    assert_eq!(
        desk.run(&arguments),
        ended(0, "3\n", "function main succeeded")
    );
}

#[test]
fn code_that_fails_ends_with_1_and_says_where() {
    let desk = Desk::new(&[
        ("raises.py", "print('before')\nreturn 1 / 0"),
        ("refuses.py", "return {'error': 'I do not want to.'}"),
        ("wrong.py", "return 1\nif x"),
        ("text.py", "return 'no json'"),
    ]);
    let division = "ZeroDivisionError: division by zero";
    for (file, output, errors) in [
        (
            "raises.py",
            "",
            &*format!("before\nfunction main failed in line 2: {division}\n{division} (line 2)"),
        ),
        (
            "refuses.py",
            "{\"error\":\"I do not want to.\"}\n",
            "function main succeeded",
        ),
    ] {
        assert_eq!(desk.run(&[file]), ended(1, output, errors), "{file}");
    }
    for (file, part) in [("wrong.py", "line 2"), ("text.py", "JSON")] {
        let Ended(code, output, errors) = desk.run(&[file]);
        assert_eq!((code, &*output), (1, ""), "{file}: {errors}");
        assert!(errors.contains(part), "{file}: {errors}");
    }
}

#[test]
fn what_keeps_it_from_running_is_one_sentence_and_ends_with_2() {
    let desk = parts();
    fs::write(desk.0.path().join("fine.py"), "return 1").unwrap();
    fs::write(desk.0.path().join("text.json"), "hello").unwrap();
    fs::write(desk.0.path().join("numbers.json"), "[1, 2]").unwrap();
    fs::write(desk.0.path().join("ids.json"), "[{\"_id\": \"x\"}]").unwrap();
    let lost = PARTS.replace("count.py", "lost.py");
    fs::write(desk.0.path().join("lost.json"), lost).unwrap();
    let listed = "It has the functions [\"count\", \"echo\"] and the jobs \
                  [\"one\", \"two\", \"queues\", \"fails\"].";
    for (arguments, part) in [
        (&["missing.py"][..], "missing.py can't be read: "),
        (
            &["text.json"],
            "text.json has neither the ending .py nor JSON: ",
        ),
        (
            &["lost.json", "--function", "echo"],
            "lost.py can't be read: ",
        ),
        (&["parts.json"], &format!("Which one? {listed}")),
        (
            &["parts.json", "--function", "one"],
            &format!("The assembly has no function one. {listed}"),
        ),
        (
            &["parts.json", "--job", "count"],
            &format!("The assembly has no job count. {listed}"),
        ),
        (&["fine.py", "--request", "[1]"], "--request: "),
        (&["fine.py", "--request", "{"], "--request: "),
        (&["fine.py", "--user", "a/b"], "--user \"a/b\": "),
        (&["fine.py", "--write"], "--documents"),
        (
            &["fine.py", "--documents", "missing.json"],
            "missing.json can't be read: ",
        ),
        (
            &["fine.py", "--documents", "text.json"],
            "text.json has to hold JSON objects: ",
        ),
        (
            &["fine.py", "--documents", "numbers.json"],
            "numbers.json has to hold JSON objects: ",
        ),
        (
            &["fine.py", "--documents", "ids.json"],
            "Document 0 in ids.json: ",
        ),
        (&["fine.py", "--fast"], "--help lists the options."),
        (
            &["fine.py", "--function", "a", "--job", "b"],
            "--help lists the options.",
        ),
        (&[], "--help lists the options."),
    ] {
        let Ended(code, output, errors) = desk.run(arguments);
        assert_eq!((code, &*output), (2, ""), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
        assert!(errors.starts_with("pinyto-server: "), "{errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
    let off = desk.run_with(&["fine.py"], &[("PINYTO_CODE", "off")]);
    let sentence = "pinyto-server: --code off runs no code.";
    assert_eq!(off, ended(2, "", sentence));
    let Ended(code, output, _) = desk.run(&["--help"]);
    assert!(code == 0 && output.contains("--documents"), "{output}");
}

#[test]
fn the_catalogue_of_the_examples_works_on_its_books() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/library");
    let file = |name: &str| -> PathBuf { library.join(name).canonicalize().unwrap() };
    let (assembly, books) = (file("assembly.json"), file("books.json"));
    let desk = Desk::new(&[]);
    let run = |function: &str, request: Value| -> Value {
        let Ended(code, output, errors) = desk.run(&[
            assembly.to_str().unwrap(),
            "--documents",
            books.to_str().unwrap(),
            "--function",
            function,
            "--request",
            &request.to_string(),
        ]);
        assert_eq!(code, 0, "{output} {errors}");
        serde_json::from_str(&output).unwrap()
    };
    assert_eq!(run("index", json!({}))["count"], 3);
    let found = run("search", json!({"text": "SEA"}));
    assert_eq!(found["result"][0]["data"]["title"], "Moby-Dick", "{found}");
    let statistics = run("statistics", json!({}));
    let places = json!({"hall": 1, "study": 2});
    let expected = json!({"books": 3, "lent": 1, "places": places, "oldest": 1808});
    assert_eq!(statistics, expected);
}
