//! Follows `docs/assemblies.md`: every file it shows is made, every command it shows is run, and
//! gives what it shows.
//!
//! A code block that begins with a language and a file's name is that file. In a `console` block
//! the lines that begin with `$` are commands; what follows is their output, standard output and
//! standard error together. What is different each time only has to look alike.
//!
//! `PINYTO_TEST_WRITE_GUIDE=1` writes what comes out into the guide.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/assemblies.md")
}

/// What a command prints.
fn run(command: &str, directory: &Path) -> String {
    let server = Path::new(env!("CARGO_BIN_EXE_pinyto-server"));
    let programs = server.parent().unwrap();
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Times become `<time>`, CPU time `<cpu>`, and identifiers that are not of the guide's documents
/// `<id>`.
fn alike(output: &str) -> String {
    let mut alike = String::new();
    for word in output.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"-:.".contains(c)) {
        let (text, end) = match word.char_indices().next_back() {
            Some((at, c)) if !c.is_ascii_alphanumeric() && !"-:.".contains(c) => word.split_at(at),
            _ => (word, ""),
        };
        let is_id = text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        let is_known = text.starts_with("6b0230270f88d70613bdcd0") || text.starts_with("2026-11-2");
        alike += match text {
            _ if is_known => text,
            _ if is_id => "<id>",
            _ if is_time => "<time>",
            _ if end == " " && text.parse::<f64>().is_ok() && text.contains('.') => "<cpu>",
            _ => text,
        };
        alike += end;
    }
    alike
}

#[test]
fn the_authors_guide_shows_what_comes_out() {
    let shown = fs::read_to_string(guide()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (mut written, mut wrong, mut commands) = (String::new(), Vec::new(), 0);
    let mut lines = shown.lines().peekable();
    while let Some(line) = lines.next() {
        written += line;
        written.push('\n');
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else {
            continue;
        };
        let mut block = Vec::new();
        for line in lines.by_ref() {
            if line == "```" {
                break;
            }
            block.push(line);
        }
        match info.split_once(' ') {
            Some((_, file)) => {
                let text = block.join("\n") + "\n";
                fs::write(directory.path().join(file), &text).unwrap();
                written += &text;
            }
            None => {
                assert_eq!(info, "console", "what is this block for?");
                let mut block = block.into_iter().peekable();
                while let Some(command) = block.next() {
                    let text = command.strip_prefix("$ ").expect("a command");
                    let mut expected = String::new();
                    while let Some(line) = block.next_if(|line| !line.starts_with("$ ")) {
                        expected += line;
                        expected.push('\n');
                    }
                    let output = run(text, directory.path());
                    commands += 1;
                    if alike(&output) != alike(&expected) {
                        wrong.push(format!("$ {text}\nexpected: {expected}\ngot: {output}"));
                    }
                    written += &format!("{command}\n{output}");
                }
            }
        }
        written += "```\n";
    }
    assert!(commands > 10, "the guide's commands were not found");
    if env::var_os("PINYTO_TEST_WRITE_GUIDE").is_some() {
        fs::write(guide(), written).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
