//! Redirects: each one is checked like the first URL.

use std::sync::Arc;

use pinyto_core::{
    egress::{EgressError, RequestBudget},
    runtime::ServiceException,
};

use crate::support::{
    HERE, Names, Server, egress, egress_with, fetch, fetch_within, get, ok, post, redirect,
    settings,
};

#[tokio::test]
async fn a_redirect_is_followed_wherever_it_may_lead() {
    let end = Server::saying(ok("the end")).await;
    let (absolute, port) = (end.url("/x"), end.address.port());
    let server = Server::start(move |request| match request.split(' ').nth(1) {
        Some("/absolute") => redirect(302, &absolute),
        Some("/host") => redirect(301, &format!("//127.0.0.1:{port}/y")),
        Some("/path") => redirect(303, "/host"),
        Some("/relative/a") => redirect(308, "../path#fragment"),
        _ => ok("?"),
    })
    .await;
    for path in ["/absolute", "/host", "/path", "/relative/a"] {
        let page = get(&egress(), &server.url(path)).await;
        assert_eq!(page.as_deref(), Ok("the end"), "{path}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_place_is_refused() {
    for (location, code) in [
        ("http://127.0.0.2/", "forbidden_address"),
        ("http://127.0.0.2:8080/", "forbidden_address"),
        ("//127.0.0.2/", "forbidden_address"),
        ("\\\\127.0.0.2\\", "forbidden_address"),
        ("http://2130706434/", "forbidden_address"),
        ("http://0x7f000002/", "forbidden_address"),
        ("http://0177.0.0.2/", "forbidden_address"),
        ("http://127%2e0.0.2/", "forbidden_address"),
        ("http://10.0.0.1/", "forbidden_address"),
        ("http://0.0.0.0/", "forbidden_address"),
        (
            "http://169.254.169.254/latest/meta-data/",
            "forbidden_address",
        ),
        ("http://[::1]/", "forbidden_address"),
        ("http://[::ffff:127.0.0.1]/", "forbidden_address"),
        ("http://[::ffff:7f00:1]/", "forbidden_address"),
        ("http://localhost/", "forbidden_address"),
        ("http://internal.example/", "forbidden_address"),
        ("http://127.0.0.1:22/", "forbidden_port"),
        ("http://user:password@127.0.0.1/", "invalid_url"),
        ("file:///etc/passwd", "forbidden_scheme"),
        ("ftp://127.0.0.1/", "forbidden_scheme"),
        ("data:text/html,x", "forbidden_scheme"),
        ("javascript:alert(1)", "forbidden_scheme"),
        ("http://exa mple/", "unreadable_answer"),
        ("http://[", "unreadable_answer"),
    ] {
        let server = Server::saying(redirect(302, location)).await;
        let names = Names::knowing(&[("internal.example", &[&["192.168.0.1"]])]);
        let error = get(&egress_with(settings(), &names), &server.url("/"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{location}");
        assert_eq!(server.requests().len(), 1, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_does_not_leave_the_declared_hosts() {
    let server = Server::start(|request| match request.split(' ').nth(1) {
        Some("/inside") => redirect(302, "/"),
        Some("/") => ok("x"),
        _ => redirect(302, "http://other.example/"),
    })
    .await;
    let names = Names::knowing(&[
        ("declared.example", &[&[HERE]]),
        ("other.example", &[&[HERE]]),
    ]);
    let egress = egress_with(settings(), &names);
    let reach = async |path: &str| {
        let url = format!("http://declared.example:{}{path}", server.address.port());
        fetch(&egress, &url, None, Some(&["declared.example"])).await
    };
    assert_eq!(reach("/inside").await.as_deref(), Ok("x"));
    let error = reach("/outside").await.unwrap_err();
    assert_eq!(error.code(), "undeclared_host");
    assert_eq!(error.exception(), Some(ServiceException::Permission));
    assert!(!names.asked().contains(&"other.example".to_owned()));
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = Server::saying(redirect(302, "/again")).await;
    let page = get(&egress(), &server.url("/")).await;
    assert_eq!(page, Err(EgressError::TooManyRedirects(5)));
    assert_eq!(server.requests().len(), 6);

    let mut none = settings();
    none.max_redirects = 0;
    let page = get(&egress_with(none, &Names::knowing(&[])), &server.url("/")).await;
    assert_eq!(page, Err(EgressError::TooManyRedirects(0)));
    assert_eq!(server.requests().len(), 7);
}

#[tokio::test]
async fn every_redirect_counts_as_a_request_of_the_call() {
    let server = Server::start(|request| match request.split(' ').nth(1) {
        Some("/end") => ok("the end"),
        Some("/once") => redirect(302, "/end"),
        _ => redirect(302, "/again"),
    })
    .await;
    let egress = egress();
    let budget = Arc::new(RequestBudget::new(4));
    let reach = async |path: &str| {
        budget.take()?;
        fetch_within(&egress, &server.url(path), None, None, (1, &budget)).await
    };
    assert_eq!(reach("/once").await.as_deref(), Ok("the end"));
    let spent = Err(EgressError::TooManyRequests(4));
    assert_eq!(reach("/again").await, spent);
    assert_eq!(server.requests().len(), 4);
    assert_eq!(reach("/end").await, spent);
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_redirect_without_a_place_gives_nothing() {
    for answer in [
        "HTTP/1.1 302 X\r\n\r\n",
        "HTTP/1.1 302 X\r\nLocation: \u{fc}\r\n\r\n",
    ] {
        let bytes: Vec<u8> = answer.chars().map(|c| c as u8).collect();
        let server = Server::saying(bytes).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Status(302)));
    }
}

#[tokio::test]
async fn a_form_becomes_a_get_unless_the_redirect_keeps_it() {
    for (status, method, kept) in [
        (301, "GET", false),
        (302, "GET", false),
        (303, "GET", false),
        (307, "POST", true),
        (308, "POST", true),
    ] {
        let server = Server::start(move |request| match request.split(' ').nth(1) {
            Some("/") => redirect(status, "/end"),
            _ => ok("end"),
        })
        .await;
        let page = post(&egress(), &server.url("/"), &[("secret", "1")]).await;
        assert_eq!(page.as_deref(), Ok("end"), "{status}");
        let last = server.requests().pop().unwrap();
        assert!(
            last.starts_with(&format!("{method} /end HTTP/1.1\r\n")),
            "{status}: {last}"
        );
        assert_eq!(last.contains("secret"), kept, "{status}: {last}");
        assert_eq!(last.contains("content-type"), kept, "{status}: {last}");
    }
}
