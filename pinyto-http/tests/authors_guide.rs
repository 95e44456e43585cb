//! Follows `docs/assemblies.md`: every file it shows is made, every command it shows is run, and
//! gives what it shows.
//!
//! A code block that begins with a language and a file's name is that file. In a `console` block
//! the lines that begin with `$` are commands for one shell; what follows is their output, standard
//! output and standard error together. What is different each time only has to look alike. A
//! command that fails is followed by `$ echo $?`. `localhost:8080` is a server that `ada` has
//! registered at as the README does it.
//!
//! `PINYTO_TEST_WRITE_GUIDE=1` writes what comes out into the guide.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod running_server;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use running_server::RunningServer;
use serde_json::json;

fn file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join(name).canonicalize().unwrap()
}

fn guide() -> PathBuf {
    file("docs/assemblies.md")
}

/// A shell that goes on where it was: its variables are kept from one command to the next.
struct Shell {
    folder: tempfile::TempDir,
    server: RunningServer,
    /// Of the last command.
    status: i32,
}

impl Shell {
    /// In a folder with nothing but the examples.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let examples = folder.path().join("examples");
        std::os::unix::fs::symlink(file("examples"), examples).unwrap();
        let database = folder.path().join("server");
        fs::create_dir(&database).unwrap();
        let server = RunningServer::start_with_fixed_key(&database, &[]);
        let mut client = server.client().await;
        let account = json!({"username": "ada", "password": "correct horse"});
        client.expect("/keyserver/register", account).await;
        fs::write(folder.path().join(".state"), "").unwrap();
        Self {
            folder,
            server,
            status: 0,
        }
    }

    /// What a command prints.
    fn run(&mut self, command: &str) -> String {
        let server = Path::new(env!("CARGO_BIN_EXE_pinyto-server"));
        let programs = server.parent().unwrap();
        let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
        let address = self.server.address.to_string();
        let command = command.replace("localhost:8080", &address);
        let before = self.status;
        let script = format!(
            "set -a; . ./.state; (exit {before})\n{command}\nstatus=$?; export -p > .state; exit $status"
        );
        let Output { status, stdout, .. } = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .output()
            .unwrap();
        self.status = status.code().expect("no signal ends a command");
        let mut output = String::from_utf8(stdout).unwrap();
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output
    }
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
        let is_known = text.starts_with("6b0230270f88d70613bdcd0") || text.ends_with(":00:00.000Z");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authors_guide_shows_what_comes_out() {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !has_curl {
        assert!(
            env::var_os("CI").is_none(),
            "CI is set, but there is no curl"
        );
        eprintln!("SKIPPED: the guide's commands need curl");
        return;
    }
    let shown = fs::read_to_string(guide()).unwrap();
    let mut shell = Shell::new().await;
    let (mut written, mut wrong, mut commands) = (String::new(), Vec::new(), 0);
    let mut lines = shown.lines().peekable();
    while let Some(line) = lines.next() {
        written += line;
        written.push('\n');
        assert!(
            !line.starts_with("    "),
            "a block that nothing checks: {line}"
        );
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        assert!(
            !info.is_empty(),
            "a block that nothing checks: {:?}",
            lines.peek()
        );
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
                fs::write(shell.folder.path().join(file), &text).unwrap();
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
                    let output = shell.run(text);
                    commands += 1;
                    let shows_status = block.peek().is_some_and(|next| *next == "$ echo $?");
                    if (shell.status != 0) != shows_status {
                        wrong.push(format!("$ {text}\nended with {}: {output}", shell.status));
                    }
                    if alike(&output) != alike(&expected) {
                        wrong.push(format!("$ {text}\nexpected: {expected}\ngot: {output}"));
                    }
                    written += &format!("{command}\n{output}");
                }
            }
        }
        written += "```\n";
    }
    assert!(commands > 20, "the guide's commands were not found");
    if env::var_os("PINYTO_TEST_WRITE_GUIDE").is_some() {
        fs::write(guide(), written).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    assert!(shell.server.stop().success());
}
