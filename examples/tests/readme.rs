//! The table in README.md has every program, with a command that runs it and about as many lines as
//! there are.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, though clippy can't tell"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A row of the table.
struct Row {
    link: String,
    what: String,
    command: String,
    lines: usize,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table() -> BTreeMap<String, Row> {
    let readme = fs::read_to_string(package().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| [`"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [program, what, command, lines] = cells[..] else {
            panic!("a row with other columns: {row}");
        };
        let (name, link) = program.split_once("](").unwrap();
        let row = Row {
            link: link.trim_end_matches(')').to_owned(),
            what: what.to_owned(),
            command: command.trim_matches('`').to_owned(),
            lines: lines.parse().unwrap(),
        };
        (name.trim_matches(['[', '`']).to_owned(), row)
    })
    .collect()
}

/// The programs that cargo finds, by name: the file with `main`.
fn programs() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(package().join("examples")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mains = paths.map(|path| match path.is_dir() {
        true => (path.join("main.rs"), path),
        false => (path.clone(), path),
    });
    mains
        .filter(|(main, _)| main.is_file() && main.extension().is_some_and(|end| end == "rs"))
        .map(|(main, path)| (path.file_stem().unwrap().to_str().unwrap().to_owned(), main))
        .collect()
}

/// Of all files of a program.
fn lines(main: &Path) -> usize {
    let files = match main.ends_with("main.rs") {
        true => fs::read_dir(main.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect(),
        false => vec![main.to_owned()],
    };
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.map(|text| text.lines().count()).sum()
}

#[test]
fn the_table_has_every_program_and_no_other() {
    let names = |name: &String| name.clone();
    let (listed, there): (Vec<_>, Vec<_>) = (
        table().keys().map(names).collect(),
        programs().keys().map(names).collect(),
    );
    assert!(there.len() > 4, "{there:?}");
    assert_eq!(listed, there);
}

#[test]
fn each_row_is_right() {
    let programs = programs();
    for (name, row) in table() {
        let main = &programs[&name];
        assert_eq!(&package().join(&row.link), main, "{name}");
        assert!(!row.what.is_empty(), "{name}");
        let command = "cargo run --release --ignore-rust-version -p pinyto-examples --example";
        let command = format!("{command} {name}");
        let rest = row.command.strip_prefix(&command);
        assert!(
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" -- ")),
            "{name}"
        );
        let comment = fs::read_to_string(main).unwrap();
        let mut comment = comment.lines().take_while(|line| line.starts_with("//!"));
        assert!(
            comment.any(|line| line.contains(&row.command)),
            "{name}: {command}"
        );
        let lines = lines(main);
        let is_close = row.lines.abs_diff(lines) <= 5 + lines / 20;
        assert!(
            is_close,
            "{name} has {lines} lines, not about {}",
            row.lines
        );
    }
}

#[test]
fn each_program_is_tested() {
    let manifest = fs::read_to_string(package().join("Cargo.toml")).unwrap();
    for name in programs().keys() {
        let entry = format!("[[example]]\nname = \"{name}\"\ntest = true\n");
        assert!(manifest.contains(&entry), "{name}");
    }
}
