//! The file of the device's private key.

use pinyto_core::testing::keys;
use pinyto_http::client::{KeyFile, KeyFileError};
use secrecy::SecretString;

#[cfg(target_os = "linux")]
use crate::support::change_owner;

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

#[cfg(unix)]
#[test]
fn a_file_that_is_open_to_others_is_called_so_whatever_is_in_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    for contents in [&b"x".repeat(100_000), &vec![0xff, 0xfe]] {
        std::fs::write(file.path(), contents).unwrap();
        for (mode, code) in [(0o644, "key_file_too_open"), (0o600, "key_file_unreadable")] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
            assert_eq!(file.read(None).unwrap_err().code(), code);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    file.save(&keys::device(0), None).unwrap();
    if !change_owner(file.path(), 4321) {
        return;
    }
    let error = file.read(None).unwrap_err();
    assert!(matches!(
        error,
        KeyFileError::ForeignOwner { owner: 4321, .. }
    ));
    assert_eq!(error.code(), "key_file_of_another_user");
    assert!(error.to_string().contains("number 4321"), "{error}");
    change_owner(file.path(), 0);
    file.read(None).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_can_not_be_read_is_noticed_before_there_is_a_file() {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let folder = tempfile::tempdir().unwrap();
    let set = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), permissions).unwrap();
    };
    let file = KeyFile::new(folder.path().join("key.pem"));
    // Files can be made in it, but it can't be opened to make that durable.
    set(0o300);
    let error = std::thread::scope(|scope| {
        let as_a_user = scope.spawn(|| {
            // Which this thread alone gives up, if it is root's.
            let mut sets = capabilities(None).unwrap();
            let passes = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            sets.effective.remove(passes);
            set_capabilities(None, sets).unwrap();
            file.save(&keys::device(0), None).unwrap_err()
        });
        as_a_user.join().unwrap()
    });
    assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
    set(0o700);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    file.save(&keys::device(0), None).unwrap();
}

/// What saving comes to where these system calls fail so.
#[cfg(target_os = "linux")]
fn save_where(calls: &[(libc::c_long, i32)]) -> (Result<(), KeyFileError>, usize) {
    use std::collections::BTreeMap;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    let filters = calls.iter().map(|(call, error)| -> BpfProgram {
        let fails = SeccompAction::Errno(u32::try_from(*error).unwrap());
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let rules = BTreeMap::from([(*call, vec![])]);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, fails, architecture);
        filter.unwrap().try_into().unwrap()
    });
    let filters: Vec<BpfProgram> = filters.collect();
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("key.pem"));
    // The filters hold for the thread alone.
    let saved = std::thread::scope(|scope| {
        let elsewhere = scope.spawn(|| {
            for filter in &filters {
                apply_filter(filter).unwrap();
            }
            file.save(&keys::device(0), None)
        });
        elsewhere.join().unwrap()
    });
    (saved, std::fs::read_dir(folder.path()).unwrap().count())
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_can_not_name_a_file_safely_is_called_so_and_no_other() {
    use libc::{EINVAL, EPERM, SYS_linkat, SYS_renameat2};

    let sentence = "supports neither renaming without replacing nor hard links; make the file \
                    elsewhere and copy it";
    let mut unlinked = vec![(SYS_linkat, EPERM)];
    #[cfg(target_arch = "x86_64")]
    unlinked.push((libc::SYS_link, EPERM));
    let neither = [&unlinked[..], &[(SYS_renameat2, EINVAL)]].concat();
    let (saved, left) = save_where(&neither);
    let error = saved.unwrap_err();
    assert!(error.to_string().contains(sentence), "{error}");
    assert_eq!(left, 0);

    // Either will do.
    for able in [&unlinked[..], &[(SYS_renameat2, EINVAL)]] {
        let (saved, left) = save_where(able);
        saved.unwrap();
        assert_eq!(left, 1);
    }

    // Somebody doesn't allow it, though the file system could.
    let (saved, left) = save_where(&[(SYS_renameat2, EPERM)]);
    let error = saved.unwrap_err();
    assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
    assert!(!error.to_string().contains("hard links"), "{error}");
    assert_eq!(left, 0);
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
