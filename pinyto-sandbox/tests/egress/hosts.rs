//! Who may be reached: lists of hosts, and what names lead to.

use std::net::SocketAddr;

use pinyto_core::egress::EgressError;
use pinyto_sandbox::{EgressSettings, HttpEgress};
use tokio::net::TcpListener;

use crate::support::{
    HERE, Names, Server, egress, egress_with, fetch, get, ok, pattern, redirect, settings,
};

fn forbidden(host: &str) -> Result<String, EgressError> {
    Err(EgressError::ForbiddenAddress {
        host: host.to_owned(),
    })
}

/// Two servers on the same port of two addresses, of which only the first one is allowed.
async fn public_and_internal() -> (Server, Server) {
    loop {
        let public = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = public.local_addr().unwrap().port();
        if let Ok(internal) = TcpListener::bind(("127.0.0.2", port)).await {
            return (
                Server::on(public, |request| match request.split(' ').nth(1) {
                    Some("/again") => redirect(302, "/"),
                    _ => ok("public"),
                }),
                Server::on(internal, |_| ok("internal")),
            );
        }
    }
}

fn url(server: &Server, host: &str, path: &str) -> String {
    format!("http://{host}:{}{path}", server.address.port())
}

#[tokio::test]
async fn a_name_that_changes_its_address_leads_nowhere_else() {
    let (public, internal) = public_and_internal().await;
    let answers: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"]];

    // The connection goes to what was checked, and nobody is asked a second time.
    let names = Names::knowing(&[("rebinding.example", answers)]);
    let egress = egress_with(settings(), &names);
    let page = get(&egress, &url(&public, "rebinding.example", "/")).await;
    assert_eq!(page.as_deref(), Ok("public"));
    assert_eq!(names.asked(), ["rebinding.example"]);

    // A redirect to the same name is a new connection, checked anew.
    let names = Names::knowing(&[("rebinding.example", answers)]);
    let egress = egress_with(settings(), &names);
    let page = get(&egress, &url(&public, "rebinding.example", "/again")).await;
    assert_eq!(page, forbidden("rebinding.example"));
    assert_eq!(names.asked().len(), 2);
    assert_eq!(internal.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn one_internal_address_of_a_name_is_enough_to_refuse_it() {
    let (public, internal) = public_and_internal().await;
    for addresses in [
        &["127.0.0.2"] as &[&str],
        &["127.0.0.1", "127.0.0.2"],
        &["127.0.0.2", "127.0.0.1"],
        &["127.0.0.1", "::ffff:127.0.0.1"],
        &["127.0.0.1", "::1"],
        &["0.0.0.0"],
        &["::"],
        &["169.254.169.254"],
        &["64:ff9b::7f00:2"],
    ] {
        let names = Names::knowing(&[("mixed.example", &[addresses])]);
        let page = get(
            &egress_with(settings(), &names),
            &url(&public, "mixed.example", "/"),
        )
        .await;
        assert_eq!(page, forbidden("mixed.example"), "{addresses:?}");
    }
    assert_eq!(public.requests(), Vec::<String>::new());
    assert_eq!(internal.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn the_next_address_is_tried_if_one_does_not_answer() {
    let server = Server::saying(ok("second")).await;
    let mut settings = settings();
    settings.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let names = Names::knowing(&[("two.example", &[&["127.9.9.9", "127.0.0.1"]])]);
    let egress = egress_with(settings, &names);
    let page = get(&egress, &url(&server, "two.example", "/")).await;
    assert_eq!(page.as_deref(), Ok("second"));
}

#[tokio::test]
async fn a_host_nobody_listens_at_gives_nothing() {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let page = get(&egress(), &format!("http://{free}/")).await;
    assert_eq!(page, Err(EgressError::Unreachable));
}

#[tokio::test]
async fn the_operators_lists_hold_for_every_spelling() {
    let server = Server::saying(ok("x")).await;
    let names = Names::knowing(&[
        ("good.example", &[&[HERE]]),
        ("www.good.example", &[&[HERE]]),
        ("bad.good.example", &[&[HERE]]),
        ("other.example", &[&[HERE]]),
    ]);
    let mut settings = settings();
    settings.allowed_hosts = Some(vec![pattern("good.example"), pattern("*.good.example")]);
    settings.denied_hosts = vec![pattern("bad.good.example")];
    let egress = egress_with(settings, &names);
    for host in [
        "good.example",
        "GOOD.example",
        "good.example.",
        "www.good.example",
    ] {
        let page = get(&egress, &url(&server, host, "/")).await;
        assert_eq!(page.as_deref(), Ok("x"), "{host}");
    }
    for host in [
        "other.example",
        "bad.good.example",
        "BAD.good.example",
        "bad.good.example.",
        "b%61d.good.example",
        "ｂad.good.example",
        "127.0.0.1",
    ] {
        let error = get(&egress, &url(&server, host, "/")).await.unwrap_err();
        assert_eq!(error.code(), "forbidden_host", "{host}");
    }
}

#[tokio::test]
async fn a_host_may_be_denied_by_its_address() {
    let server = Server::saying(ok("x")).await;
    let mut settings = settings();
    settings.denied_hosts = vec![pattern(HERE)];
    let error = get(
        &egress_with(settings.clone(), &Names::knowing(&[])),
        &server.url("/"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "forbidden_host");

    // The list of networks is the one that also holds for names.
    settings.denied_networks = vec!["127.0.0.1/32".parse().unwrap()];
    let names = Names::knowing(&[("denied.example", &[&[HERE]])]);
    let page = get(
        &egress_with(settings, &names),
        &url(&server, "denied.example", "/"),
    )
    .await;
    assert_eq!(page, forbidden("denied.example"));
}

#[tokio::test]
async fn the_assemblys_hosts_narrow_what_the_operator_allows() {
    let server = Server::saying(ok("x")).await;
    let names = Names::knowing(&[
        ("one.example", &[&[HERE]]),
        ("two.example", &[&[HERE]]),
        ("denied.example", &[&[HERE]]),
    ]);
    let mut settings = settings();
    settings.denied_hosts = vec![pattern("denied.example")];
    let egress = egress_with(settings, &names);
    let reach = async |host: &str, declared: Option<&[&str]>| {
        let fetched = fetch(&egress, &url(&server, host, "/"), None, declared).await;
        fetched.map_err(|error| error.code())
    };
    assert_eq!(reach("one.example", None).await.as_deref(), Ok("x"));
    assert_eq!(
        reach("one.example", Some(&["one.example"]))
            .await
            .as_deref(),
        Ok("x")
    );
    assert_eq!(
        reach("one.example", Some(&["*.example"])).await.as_deref(),
        Ok("x")
    );
    assert_eq!(
        reach("two.example", Some(&["one.example"])).await,
        Err("undeclared_host")
    );
    assert_eq!(
        reach("one.example", Some(&[])).await,
        Err("undeclared_host")
    );
    // Declaring allows nothing.
    assert_eq!(
        reach("denied.example", Some(&["denied.example"])).await,
        Err("forbidden_host")
    );
    let declared: &[&str] = &["127.0.0.2", "localhost"];
    assert_eq!(
        reach("127.0.0.2", Some(declared)).await,
        Err("forbidden_address")
    );
    assert_eq!(
        reach("localhost", Some(declared)).await,
        Err("forbidden_address")
    );
}

#[tokio::test]
async fn an_internal_name_needs_the_operators_word_for_name_and_address() {
    let server = Server::saying(ok("x")).await;
    let names = || Names::knowing(&[("nas.local", &[&[HERE]])]);
    let url = url(&server, "nas.local", "/");

    assert_eq!(
        get(&egress_with(settings(), &names()), &url).await,
        forbidden("nas.local")
    );
    let mut by_name = EgressSettings::default();
    by_name.allowed_hosts = Some(vec![pattern("*.local")]);
    assert_eq!(
        get(&egress_with(by_name, &names()), &url).await,
        forbidden("nas.local")
    );
    let mut by_both = settings();
    by_both.allowed_hosts = Some(vec![pattern("*.local")]);
    assert_eq!(
        get(&egress_with(by_both, &names()), &url).await.as_deref(),
        Ok("x")
    );
}

#[tokio::test]
async fn the_operating_system_is_asked_by_default() {
    let server = Server::saying(ok("local")).await;
    let SocketAddr::V4(_) = server.address else {
        panic!("the test needs an IPv4 server");
    };
    let url = url(&server, "localhost", "/");
    let mut settings = EgressSettings::default();
    settings.allowed_hosts = Some(vec![pattern("localhost")]);
    let build = |settings| HttpEgress::builder().settings(settings).build().unwrap();
    assert_eq!(
        get(&build(settings.clone()), &url).await,
        forbidden("localhost")
    );
    settings.allowed_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    assert_eq!(get(&build(settings), &url).await.as_deref(), Ok("local"));
}
