//! The file of the device's private key.

use pinyto_core::testing::keys;
use pinyto_http::client::{KeyFile, KeyFileError};
use secrecy::SecretString;

fn text(file: &KeyFile) -> String {
    std::fs::read_to_string(file.path()).unwrap()
}

#[test]
fn a_key_comes_back_with_its_passphrase_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = keys::device(0);
    let file = KeyFile::new(folder.path().join("key.pem"));
    assert!(!file.exists().unwrap());
    assert!(matches!(file.read(None), Err(KeyFileError::Read { .. })));

    let passphrase = SecretString::from("correct horse ä");
    file.save(&key, Some(&passphrase)).unwrap();
    assert!(file.is_encrypted().unwrap());
    assert!(text(&file).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let read = file.read(Some(&passphrase)).unwrap();
    assert_eq!(read.to_pkcs8_der().unwrap(), key.to_pkcs8_der().unwrap());
    assert!(matches!(
        file.read(None),
        Err(KeyFileError::PassphraseNeeded { .. })
    ));
    for wrong in ["correct horse", "", "correct horse a\u{308}"] {
        let wrong = file.read(Some(&wrong.into())).unwrap_err();
        assert_eq!(wrong.code(), "wrong_passphrase");
    }

    // Two files of one key and passphrase have nothing in common.
    let again = KeyFile::new(folder.path().join("again.pem"));
    again.save(&key, Some(&passphrase)).unwrap();
    assert_ne!(text(&again), text(&file));

    let plain = KeyFile::new(folder.path().join("plain.pem"));
    plain.save(&key, None).unwrap();
    assert!(!plain.is_encrypted().unwrap());
    assert_eq!(plain.read(None).unwrap().public_key(), key.public_key());
    let error = plain.read(Some(&passphrase)).unwrap_err();
    assert_eq!(error.code(), "key_file_not_encrypted");
    let empty = KeyFile::new(folder.path().join("empty.pem"));
    let error = empty.save(&key, Some(&"".into())).unwrap_err();
    assert_eq!(error.code(), "empty_passphrase");
    assert!(!empty.exists().unwrap());
}

#[test]
fn an_existing_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    std::fs::write(file.path(), "something else").unwrap();
    let error = file.save(&keys::device(0), None).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }));
    let error = file.generate(None).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }));
    assert_eq!(text(&file), "something else");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "a draft is left");
    let nowhere = KeyFile::new(folder.path().join("no folder").join("key.pem"));
    let error = nowhere.save(&keys::device(0), None).unwrap_err();
    assert!(matches!(error, KeyFileError::Write { .. }));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_a_key() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    file.save(&keys::device(0), None).unwrap();
    let mode = || std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode() & 0o777, 0o600);
    for open in [0o640, 0o604, 0o660, 0o620, 0o644, 0o777] {
        let permissions = std::fs::Permissions::from_mode(open);
        std::fs::set_permissions(file.path(), permissions).unwrap();
        let error = file.read(None).unwrap_err();
        assert!(matches!(error, KeyFileError::TooOpen { mode, .. } if mode == open));
        assert!(
            error.to_string().contains(&format!("mode {open:o}")),
            "{error}"
        );
        file.is_encrypted().unwrap_err();
    }
    let permissions = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(file.path(), permissions).unwrap();
    file.read(None).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_is_never_open_to_others_not_even_at_first() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    let folder = tempfile::tempdir().unwrap();
    let key = keys::device(0);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = 0_u32;
            while !done.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(folder.path()).unwrap() {
                    if let Ok(metadata) = entry.unwrap().metadata() {
                        seen += 1;
                        assert_eq!(metadata.permissions().mode() & 0o077, 0);
                    }
                }
            }
            seen
        });
        for turn in 0..50 {
            let file = KeyFile::new(folder.path().join("key.pem"));
            file.save(&key, None).unwrap();
            std::fs::remove_file(file.path()).unwrap();
            let other = KeyFile::new(folder.path().join(format!("{turn}.pem")));
            other.save(&key, None).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(seen > 0);
}

#[test]
fn a_file_that_asks_for_too_much_is_not_tried() {
    use base64::Engine as _;

    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    file.save(&keys::device(0), Some(&"passphrase".into()))
        .unwrap();
    let pem = text(&file);
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut der = base64.decode(body).unwrap();
    // N = 2^14 as an INTEGER of two bytes is 02 02 40 00.
    let at = der
        .windows(4)
        .position(|bytes| bytes == [2, 2, 0x40, 0])
        .unwrap();
    assert_eq!(der[at + 4..at + 7], [2, 1, 8]);
    // And p = 5; more would take minutes.
    assert_eq!(der[at + 7..at + 10], [2, 1, 5]);
    der[at + 9] = 127;
    let changed = base64.encode(&der);
    std::fs::remove_file(file.path()).unwrap();
    let label = "ENCRYPTED PRIVATE KEY";
    let lines: Vec<&str> = changed
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    );
    std::fs::write(file.path(), pem).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), permissions).unwrap();
    }
    let error = file.read(Some(&"passphrase".into())).unwrap_err();
    assert_eq!(error.code(), "unsupported_encryption");
}

#[test]
fn openssl_reads_the_file_and_its_own_is_read() {
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let key = keys::device(0);
    let file = KeyFile::new(folder.path().join("key.pem"));
    file.save(&key, Some(&"correct horse".into())).unwrap();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        let output = command.current_dir(folder.path()).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let pass = "pass:correct horse";
    let read = openssl(&["pkey", "-in", "key.pem", "-passin", pass, "-pubout"]);
    assert_eq!(String::from_utf8(read).unwrap(), key.public_key().to_pem());

    let plain = KeyFile::new(folder.path().join("plain.pem"));
    plain.save(&key, None).unwrap();
    for (name, more) in [
        ("scrypt.pem", &["-scrypt"][..]),
        (
            "pbkdf2.pem",
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"],
        ),
    ] {
        let arguments = ["pkcs8", "-topk8", "-in", "plain.pem", "-out", name];
        openssl(&[&arguments[..], &["-passout", pass], more].concat());
        let theirs = KeyFile::new(folder.path().join(name));
        let read = theirs.read(Some(&"correct horse".into())).unwrap();
        assert_eq!(read.public_key(), key.public_key());
    }
}
