//! A whole life of a user, call by call.

use pinyto_core::{
    assembly::AssemblyName,
    crypto::default_backend,
    key::KeyHash,
    testing::{ScriptedRuntime, executed, keys},
    ticket::{Audience, TicketVerifier},
};
use pinyto_http::client::{AssemblyData, Error, Login, NewDocument, Page};
use secrecy::SecretString;
use serde_json::json;

use crate::support::{Server, assembly, name};

#[tokio::test]
async fn a_device_registers_works_and_leaves() {
    let runtime = ScriptedRuntime::default()
        .on("return echo", |call| executed(Ok(call.body.to_string())))
        .on("pass", |_| executed(Ok("null".to_owned())));
    let server = Server::running(runtime).await;
    let client = server.client();
    client.healthy().await.unwrap();
    client.ready().await.unwrap();
    let key = client.offered_key().await.unwrap();
    assert_eq!(&key, server.cloud.server_public_key());

    let session = server.user("ada", 0).await;
    assert_eq!(session.user(), name("ada"));

    // Keys.
    let second = keys::device(1);
    let label = Some("phone");
    session
        .register_key(second.public_key(), label)
        .await
        .unwrap();
    let listed = session.list_keys().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed[0].current && listed[0].active && !listed[1].current);
    assert_eq!(
        listed[0].fingerprint,
        keys::device(0).public_key().fingerprint()
    );
    assert_eq!(listed[1].label.as_deref(), label);
    assert_eq!(listed[1].key_hash, second.key_hash());
    assert_eq!((&*listed[0].kind, listed[0].proven), ("rsa", None));
    assert!(listed[0].last_used >= Some(listed[0].created));
    let again = session.register_key(second.public_key(), None).await;
    assert_eq!(
        again.unwrap_err().server_code(),
        Some("key_already_registered")
    );
    let hash = second.key_hash();
    session.set_key_active(&hash, false).await.unwrap();
    assert!(!session.list_keys().await.unwrap()[1].active);
    session.set_key_active(&hash, true).await.unwrap();
    session.delete_key(&hash).await.unwrap();
    let unknown = KeyHash::parse("0123456789").unwrap();
    let error = session.delete_key(&unknown).await.unwrap_err();
    assert_eq!(
        (error.code(), error.server_code()),
        ("refused", Some("unknown_key"))
    );
    let Error::Refused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (refusal.status(), refusal.kind().unwrap().status),
        (404, 404)
    );

    // Assemblies.
    let books = AssemblyData::new("Books", "Remembers books.")
        .function("echo", "return echo")
        .job("tidy", "pass", 60)
        .index("data.isbn")
        .http_hosts(["example.org".to_owned()]);
    session.save_assembly(&books).await.unwrap();
    assert_eq!(
        session.list_own_assemblies().await.unwrap(),
        std::slice::from_ref(&books)
    );
    let this = assembly("ada/Books");
    session.install_assembly(&this).await.unwrap();
    let all = session.list_all_assemblies(Page::default().count(5)).await;
    let all = all.unwrap();
    assert_eq!((&*all[0].name, &*all[0].author), ("Books", "ada"));
    assert_eq!(session.list_installed_assemblies().await.unwrap(), all);
    let skipped = session.list_all_assemblies(Page::default().skip(1)).await;
    assert!(skipped.unwrap().is_empty());
    let parts = session.assembly_source(&this).await.unwrap();
    assert_eq!(parts.api_functions, books.api_functions);
    assert_eq!(
        (parts.jobs, parts.indexes),
        (books.jobs.clone(), books.indexes.clone())
    );

    // Documents, functions, jobs and what became of them.
    let document = NewDocument::new("book", &json!({"title": "Notes"}))
        .unwrap()
        .tag("old");
    session.store(&this, &document).await.unwrap();
    let statistics = session.statistics().await.unwrap();
    assert!(statistics.current_storage > 0);
    assert_eq!(statistics.assembly_count, 1);

    // Who she is, to herself and to others.
    let herself = session.who_am_i().await.unwrap();
    assert_eq!(herself.username, name("ada"));
    assert_eq!(
        herself.fingerprint,
        keys::device(0).public_key().fingerprint()
    );
    assert!(herself.key_hash.matches(&herself.fingerprint));
    let photos = Audience::parse("https://photos.example").unwrap();
    let ticket = session.ticket(&photos).await.unwrap();
    let verifier = TicketVerifier::new(&*default_backend(), &key, photos).unwrap();
    let verified = verifier.verify(ticket.expose(), herself.created).unwrap();
    assert_eq!(verified.user, name("ada"));
    assert_eq!(verified.expires_at, ticket.expires);
    assert!(!format!("{ticket:?}").contains(ticket.expose()));

    let sent = json!({"a": [1, 2.5, "ä"]});
    let got: serde_json::Value = session.call_function(&this, "echo", &sent).await.unwrap();
    assert_eq!(got, sent);
    session.run_job(&this, "tidy").await.unwrap();
    let jobs = session.list_jobs(Page::default()).await.unwrap();
    assert_eq!((&jobs[0].assembly, &*jobs[0].name), (&this, "tidy"));
    assert_eq!((jobs[0].schedule, jobs[0].parked), (60, false));
    let runs = session
        .list_runs(Some(&this), Page::default())
        .await
        .unwrap();
    assert_eq!((&*runs[0].name, &*runs[0].outcome), ("echo", "succeeded"));
    assert_eq!(session.run(runs[0].id).await.unwrap(), runs[0]);
    assert_eq!(
        session.list_runs(None, Page::default()).await.unwrap(),
        runs
    );
    let books_name = AssemblyName::parse("Books").unwrap();
    let of_books = session
        .list_assembly_runs(&books_name, Page::default())
        .await;
    assert_eq!(of_books.unwrap()[0].id, runs[0].id);

    // And back.
    let mut renamed = books;
    renamed.name = "Library".to_owned();
    session
        .replace_assembly(&books_name, &renamed)
        .await
        .unwrap();
    session
        .uninstall_assembly(&assembly("ada/Library"))
        .await
        .unwrap();
    let gone = session.list_installed_assemblies().await.unwrap();
    assert!(gone.is_empty());
    let library = AssemblyName::parse("Library").unwrap();
    session.delete_assembly(&library).await.unwrap();
    assert!(session.list_own_assemblies().await.unwrap().is_empty());
    session.logout().await.unwrap();
    let error = session.clone().list_keys().await.unwrap_err();
    assert_eq!(error.code(), "logged_out");
    // A second time there is nothing to end.
    session.logout().await.unwrap();
}

#[tokio::test]
async fn who_has_a_password_needs_no_key() {
    let server = Server::start().await;
    let client = server.client();
    let password = SecretString::from("correct horse");
    client
        .register_with_password(&name("ada"), &password)
        .await
        .unwrap();
    let wrong = Login::password(name("ada"), "wrong horse".into());
    let error = client.log_in(wrong).await.unwrap_err();
    assert_eq!(error.server_code(), Some("wrong_password"));
    let login = Login::password(name("ada"), password.clone());
    let session = client.log_in(login.clone()).await.unwrap();
    assert_eq!(session.list_keys().await.unwrap().len(), 1);

    let other = SecretString::from("battery staple");
    session.change_password(&other).await.unwrap();
    session.list_keys().await.unwrap();
    let error = client.log_in(login).await.unwrap_err();
    assert_eq!(error.server_code(), Some("wrong_password"));

    // The session ends elsewhere, and is opened again with the new password.
    let elsewhere = Login::password(name("ada"), other);
    client
        .log_in(elsewhere)
        .await
        .unwrap()
        .logout()
        .await
        .unwrap();
    assert_eq!(session.list_keys().await.unwrap().len(), 1);

    let device = keys::device(0);
    session
        .register_key(device.public_key(), None)
        .await
        .unwrap();
    let error = session.set_password_login(false).await.unwrap_err();
    assert_eq!(error.server_code(), Some("password_session"));
    let by_key = client
        .log_in(Login::key(name("ada"), device))
        .await
        .unwrap();
    by_key.set_password_login(false).await.unwrap();
    let error = session.list_keys().await.unwrap_err();
    assert_eq!(error.server_code(), Some("wrong_password"));
    by_key.logout().await.unwrap();
    assert_eq!(server.asked("/logout"), 1);
}

#[tokio::test]
async fn under_a_prefix_the_calls_are_found_too() {
    use pinyto_http::{Api, PathPrefix, routes};
    use warp::Filter as _;

    let server = Server::start().await;
    let prefix = PathPrefix::parse("/cloud/pinyto").unwrap();
    let api = Api::new(server.cloud.clone()).mounted_at(prefix);
    let routes = warp::path("cloud")
        .and(warp::path("pinyto"))
        .and(routes::all(api));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(warp::serve(routes).incoming(listener).run());
    let key = server.cloud.server_public_key().clone();
    for slash in ["", "/"] {
        let url = format!("http://{address}/cloud/pinyto{slash}");
        let client = crate::support::quick(&url, key.clone()).build().unwrap();
        client.healthy().await.unwrap();
    }
    task.abort();
}
