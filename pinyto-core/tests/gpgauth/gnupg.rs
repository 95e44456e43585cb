//! GnuPG in a home of its own.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::secret;

/// What GnuPG takes for the present: a minute after ours.
const NOW: &str = "20260301T120100";

pub(crate) struct Gpg {
    home: TempDir,
    time: &'static str,
}

pub(crate) struct Said {
    pub(crate) out: Vec<u8>,
    /// Status lines, and what is meant for people.
    pub(crate) status: String,
}

impl Gpg {
    /// Nothing if there is no GnuPG and that is known.
    pub(crate) fn new() -> Option<Self> {
        if env::var_os("PINYTO_TEST_WITHOUT_GPG").is_some_and(|value| value == "1") {
            eprintln!("NOT TESTED: PINYTO_TEST_WITHOUT_GPG is set");
            return None;
        }
        assert!(
            Command::new("gpg").arg("--version").output().is_ok(),
            "gpg is missing: install gnupg, or set PINYTO_TEST_WITHOUT_GPG=1 to leave these tests out"
        );
        // Short, for the sockets in it.
        let home = tempfile::Builder::new()
            .prefix("pg")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .unwrap();
        Some(Self { home, time: NOW })
    }

    /// From now on it is this time.
    pub(crate) fn at(&mut self, time: &'static str) -> &mut Self {
        self.time = time;
        self
    }

    /// With these fixed keys.
    pub(crate) fn with(names: &[&str]) -> Option<Self> {
        let gpg = Self::new()?;
        for name in names {
            gpg.run(&["--import"], secret(name).as_bytes());
        }
        Some(gpg)
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Said {
        let (success, said) = self.try_run(arguments, input);
        assert!(success, "gpg {arguments:?}: {}", said.status);
        said
    }

    pub(crate) fn try_run(&self, arguments: &[&str], input: &[u8]) -> (bool, Said) {
        let mut gpg = Command::new("gpg")
            .env("GNUPGHOME", self.home.path())
            .args(["--no-tty", "--yes", "--status-fd", "2"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(["--faked-system-time", self.time])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = gpg.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // Whoever has read enough hangs up.
            let _ = stdin.write_all(&input);
        });
        let output = gpg.wait_with_output().unwrap();
        writer.join().unwrap();
        let status = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = output.stdout;
        (output.status.success(), Said { out, status })
    }

    pub(crate) fn export(&self, name: &str) -> String {
        self.text(&["--batch", "--armor", "--export", &mail(name)])
    }

    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run(arguments, b"").out).unwrap()
    }

    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let listed = self.text(&["--batch", "--with-colons", "--list-keys", &mail(name)]);
        let line = listed
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// Answers the questions of `--edit-key` with these lines.
    pub(crate) fn edit(&self, name: &str, lines: &str) {
        let arguments = ["--command-fd", "0", "--no-batch", "--edit-key", &mail(name)];
        self.run(&arguments, lines.as_bytes());
    }

    /// The packets that it sees, in words.
    pub(crate) fn packets(&self, armored: &str) -> String {
        let (_, said) = self.try_run(&["--batch", "--list-packets"], armored.as_bytes());
        String::from_utf8_lossy(&said.out).into_owned()
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }
}

/// How the fixed key of this name is found.
pub(crate) fn mail(name: &str) -> String {
    format!("<{name}@example.org>")
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", self.home())
            .args(["--kill", "all"])
            .output();
    }
}
