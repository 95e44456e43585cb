//! Which server the client believes.

use std::sync::Arc;

use pinyto_core::{
    challenge::ServerKey,
    crypto::default_backend,
    key::PublicKey,
    memory::MemoryStore,
    testing::{ScriptedRuntime, keys},
};
use pinyto_http::client::{Error, KeyFile, Login, PinFile, PinStore as _};

#[cfg(target_os = "linux")]
use crate::support::change_owner;
use crate::support::{Scripted, Server, answer, name, quick};

/// Another server's key.
fn other_key() -> ServerKey {
    ServerKey::from_pem(default_backend(), keys::device_pem(3)).unwrap()
}

#[tokio::test]
async fn the_first_key_is_pinned_and_another_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = PinFile::new(folder.path().join("server.pem"));
    let store = Arc::new(MemoryStore::new());
    let runtime = ScriptedRuntime::default;
    let server = Server::with(store.clone(), keys::server(), runtime()).await;

    let client = quick(&server.url(), file.clone()).build().unwrap();
    let device = keys::device(0);
    client
        .register(&name("ada"), device.public_key())
        .await
        .unwrap();
    let pinned = file.load().unwrap().unwrap();
    assert_eq!(&pinned, server.cloud.server_public_key());
    let login = Login::key(name("ada"), device);
    client.log_in(login.clone()).await.unwrap();
    // Asked for once, then believed.
    assert_eq!(server.asked("/public_key"), 1);

    // The same database, but another key.
    let other = Server::with(store, other_key(), runtime()).await;
    let by_password = Login::password(name("ada"), "correct horse".into());
    let client = quick(&other.url(), file.clone()).build().unwrap();
    // The third time as the first: it doesn't pass by being asked for again.
    for login in [&login, &by_password, &login] {
        let error = client.log_in(login.clone()).await.unwrap_err();
        let Error::ServerKeyChanged(changed) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(changed.code(), error.code());
        assert_eq!(changed.pinned(), pinned.fingerprint());
        assert_eq!(changed.offered(), other_key().public_key().fingerprint());
        let said = error.to_string();
        let path = file.path().display().to_string();
        for part in [
            changed.pinned().to_hex(),
            changed.offered().to_hex(),
            path,
            "remove the pin".to_owned(),
        ] {
            assert!(said.contains(&part), "{said}");
        }
    }
    let session = client.session(login.clone());
    let error = session.change_password(&"battery staple".into()).await;
    assert_eq!(error.unwrap_err().code(), "server_key_changed");
    // No password went to the other server.
    assert_eq!(other.asked("/keyserver/authenticate"), 0);
    assert_eq!(other.asked("/keyserver/change_password"), 0);
    assert_eq!(file.load().unwrap().unwrap(), pinned);

    // The operator has confirmed the new key.
    std::fs::remove_file(file.path()).unwrap();
    let client = quick(&other.url(), file.clone()).build().unwrap();
    client.log_in(login).await.unwrap();
    assert_eq!(&file.load().unwrap().unwrap(), other_key().public_key());
}

#[tokio::test]
async fn a_challenge_of_another_signer_is_not_answered() {
    // Shows the pinned key, but has another one.
    let device = keys::device(0);
    let genuine = keys::server().public_key().clone();
    let token = pinyto_core::challenge::SessionToken::parse("token").unwrap();
    let challenge = other_key().issue(device.public_key(), &token).unwrap();
    let shown = format!(
        r#"{{"N": "{}", "e": "{}"}}"#,
        genuine.n_decimal(),
        genuine.e()
    );
    let steps = vec![
        answer(200, &serde_json::to_string(&challenge).unwrap()),
        answer(200, &shown),
    ];
    let server = Scripted::start(steps).await;
    let login = Login::key(name("ada"), device);
    let error = server.client().log_in(login).await.unwrap_err();
    assert_eq!(error.code(), "challenge_bad_signature");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_whose_key_is_none_is_not_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let file = PinFile::new(folder.path().join("server.pem"));
    let server = Scripted::start(vec![answer(200, r#"{"N": "12345", "e": "3"}"#)]).await;
    let client = quick(&server.url, file.clone()).build().unwrap();
    let error = client.pinned_key().await.unwrap_err();
    assert_eq!(error.code(), "invalid_server_key");
    assert!(!file.path().exists());
}

#[test]
fn the_first_pin_stays_and_what_is_no_pin_is_not_taken_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = PinFile::beside(&KeyFile::new(folder.path().join("ada.pem")));
    assert_eq!(file.path(), folder.path().join("ada.pem.server"));
    assert_eq!(file.load().unwrap(), None);
    let (one, other) = (keys::synthetic(0), keys::synthetic(1));
    assert_eq!(file.keep(&one).unwrap(), one);
    assert_eq!(file.keep(&other).unwrap(), one);
    assert_eq!(file.load().unwrap(), Some(one));

    for contents in ["", "no key", &"x".repeat(100_000)] {
        std::fs::write(file.path(), contents).unwrap();
        assert_eq!(file.load().unwrap_err().code(), "pin");
        assert_eq!(file.keep(&other).unwrap_err().code(), "pin");
    }
    let built_in: &PublicKey = &other;
    assert_eq!(built_in.keep(&keys::synthetic(2)).unwrap(), other);
}

#[test]
fn of_many_who_pin_at_once_all_get_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = PinFile::new(folder.path().join("server.pem"));
    let start = std::sync::Barrier::new(16);
    let keep = |n| {
        start.wait();
        file.keep(&keys::synthetic(n)).unwrap()
    };
    let kept: Vec<PublicKey> = std::thread::scope(|scope| {
        let keep = &keep;
        let started: Vec<_> = (0..16).map(|n| scope.spawn(move || keep(n))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let pinned = file.load().unwrap().unwrap();
    assert!(kept.iter().all(|key| *key == pinned));
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "a draft is left");
}

#[cfg(unix)]
#[test]
fn a_pin_that_others_can_write_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let file = PinFile::new(folder.path().join("server.pem"));
    file.keep(&keys::synthetic(0)).unwrap();
    let set = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file.path(), mode).unwrap();
    };
    let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    set(0o644);
    file.load().unwrap();
    for open in [0o620, 0o602, 0o666] {
        set(open);
        assert!(file.load().unwrap_err().to_string().contains("mode"));
    }
    // Whatever is in it.
    std::fs::write(file.path(), "x".repeat(100_000)).unwrap();
    assert!(file.load().unwrap_err().to_string().contains("mode"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_pin_of_another_user_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::{process::Uid, thread::set_thread_res_uid};

    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(folder.path(), 0o755);
    let file = PinFile::new(folder.path().join("server.pem"));
    let key = keys::synthetic(0);
    file.keep(&key).unwrap();
    open(file.path(), 0o644);
    if !change_owner(file.path(), 4321) {
        return;
    }
    let file = &file;
    let loaded_by = |user| {
        std::thread::scope(|scope| {
            let as_user = scope.spawn(move || {
                let uid = Uid::from_raw(user);
                // Of this thread alone.
                set_thread_res_uid(uid, uid, uid).unwrap();
                file.load().map_err(|error| error.to_string())
            });
            as_user.join().unwrap()
        })
    };
    for other in [0, 1234] {
        let told = loaded_by(other).unwrap_err();
        assert!(told.contains("belongs to another user"), "{told}");
        assert!(told.contains("number 4321"), "{told}");
    }
    assert_eq!(loaded_by(4321).unwrap(), Some(key.clone()));
    // Who is root need not change a pin to be believed.
    change_owner(file.path(), 0);
    assert_eq!(loaded_by(1234).unwrap(), Some(key));
}
