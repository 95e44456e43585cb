//! GnuPG in a home of its own, at the present time.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Gpg {
    home: TempDir,
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
        Some(Self { home })
    }

    /// With these keys of the core's tests.
    pub(crate) fn with(names: &[&str]) -> Option<Self> {
        let gpg = Self::new()?;
        for name in names {
            let path = format!(
                "{}/../pinyto-core/tests/gpgauth/keys/{name}.asc",
                env!("CARGO_MANIFEST_DIR")
            );
            gpg.run(&["--import"], &fs::read(path).unwrap());
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
            .args(["--batch", "--no-tty", "--yes", "--status-fd", "2"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(["--trust-model", "always"])
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

    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run(arguments, b"").out).unwrap()
    }

    /// The public key of this name.
    pub(crate) fn export(&self, name: &str) -> String {
        self.text(&["--armor", "--export", &mail(name)])
    }

    /// In upper case.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let listed = self.text(&["--with-colons", "--list-keys", &mail(name)]);
        let mut lines = listed.lines();
        let line = lines.find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// A key with Ed25519 and Cv25519 that expires after so many seconds.
    pub(crate) fn make_for(&self, name: &str, seconds: u32, more: &[&str]) {
        let id = format!("{name} {}", mail(name));
        let expires = format!("seconds={seconds}");
        let make = ["--quick-generate-key", &id, "future-default", "default"];
        self.run(&[more, &make, &[&expires]].concat(), b"");
    }

    pub(crate) fn encrypt(&self, recipient: &str, text: &str) -> String {
        let arguments = ["--armor", "--recipient", recipient, "--encrypt"];
        String::from_utf8(self.run(&arguments, text.as_bytes()).out).unwrap()
    }

    /// Whoever has signed it.
    pub(crate) fn decrypt(&self, message: &str) -> String {
        self.try_decrypt(message)
            .expect("it has the key that the message is for")
    }

    /// Nothing if it is for nobody here.
    pub(crate) fn try_decrypt(&self, message: &str) -> Option<String> {
        // Fails, too, if it doesn't know who has signed it.
        let (_, said) = self.try_run(&["--decrypt"], message.as_bytes());
        let is_read = said.status.contains("[GNUPG:] DECRYPTION_OKAY");
        is_read.then(|| String::from_utf8(said.out).unwrap())
    }

    /// The same, of a message that has to have a good signature of that key's.
    pub(crate) fn decrypt_signed(&self, message: &str, signer: &str) -> String {
        let said = self.run(&["--decrypt"], message.as_bytes());
        let status = &said.status;
        assert!(status.contains("[GNUPG:] GOODSIG "), "{status}");
        let mut lines = status.lines();
        let valid = lines.find(|line| line.starts_with("[GNUPG:] VALIDSIG "));
        assert!(valid.is_some_and(|line| line.ends_with(signer)), "{status}");
        assert!(status.contains("[GNUPG:] DECRYPTION_OKAY"), "{status}");
        String::from_utf8(said.out).unwrap()
    }

    /// The packets that it sees, in words; also of a message that is for somebody else.
    pub(crate) fn packets(&self, message: &str) -> String {
        let (_, said) = self.try_run(&["--list-packets"], message.as_bytes());
        String::from_utf8_lossy(&said.out).into_owned()
    }
}

/// How the key of this name is found.
fn mail(name: &str) -> String {
    format!("<{name}@example.org>")
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", self.home.path())
            .args(["--kill", "all"])
            .output();
    }
}
