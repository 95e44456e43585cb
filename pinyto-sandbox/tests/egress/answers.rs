//! What is sent, and what is made of answers that are slow, huge, packed or wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pinyto_core::egress::{EgressError, RequestBudget};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::support::{
    Names, Server, egress, egress_with, fetch_within, get, ok, post, read_request, settings,
    talking,
};

#[tokio::test]
async fn a_page_is_fetched_and_nothing_else_told() {
    let server = Server::saying(ok("<p>hello</p>")).await;
    let page = get(&egress(), &server.url("/a b?q=ü&x=%20#fragment")).await;
    assert_eq!(page.as_deref(), Ok("<p>hello</p>"));
    assert_eq!(
        server.requests(),
        [format!(
            "GET /a%20b?q=%C3%BC&x=%20 HTTP/1.1\r\nhost: {}\r\nuser-agent: Pinyto/{}\r\n\
             accept: */*\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n",
            server.address,
            env!("CARGO_PKG_VERSION")
        )]
    );
}

#[tokio::test]
async fn a_form_is_posted() {
    let server = Server::saying(ok("stored")).await;
    let form = [("name", "Ursula K. Le Guin"), ("ü&=", "a+b\r\nX: y")];
    let page = post(&egress(), &server.url("/"), &form).await;
    assert_eq!(page.as_deref(), Ok("stored"));
    let request = server.requests().pop().unwrap();
    let (header, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(header.starts_with("POST / HTTP/1.1\r\n"));
    assert!(header.contains("content-type: application/x-www-form-urlencoded\r\n"));
    assert_eq!(
        body,
        "name=Ursula+K.+Le+Guin&%C3%BC%26%3D=a%2Bb%0D%0AX%3A+y"
    );
}

#[tokio::test]
async fn an_empty_form_is_posted_too() {
    let server = Server::saying(ok("x")).await;
    assert_eq!(
        post(&egress(), &server.url("/"), &[]).await.as_deref(),
        Ok("x")
    );
    assert!(server.requests()[0].starts_with("POST /"));
}

#[tokio::test]
async fn cookies_are_not_sent_back() {
    let cookie = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\nx";
    let server = Server::saying(cookie).await;
    let egress = egress();
    for _ in 0..2 {
        assert_eq!(get(&egress, &server.url("/")).await.as_deref(), Ok("x"));
    }
    assert!(!server.requests().concat().to_lowercase().contains("cookie"));
}

#[tokio::test]
async fn anything_but_a_200_gives_nothing() {
    for status in [
        201, 204, 206, 300, 304, 400, 401, 404, 407, 418, 500, 503, 599,
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let server = Server::saying(answer).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Status(status)));
    }
}

#[tokio::test]
async fn text_comes_as_utf_8() {
    let server = Server::saying(
        *b"HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\n\r\nB\xfccher",
    )
    .await;
    assert_eq!(
        get(&egress(), &server.url("/")).await.as_deref(),
        Ok("Bücher")
    );
}

fn small() -> pinyto_sandbox::HttpEgress {
    let mut settings = settings();
    settings.max_body = 1000;
    egress_with(settings, &Names::knowing(&[]))
}

#[tokio::test]
async fn an_answer_may_be_as_large_as_the_limit_and_no_larger() {
    let chunked = |size: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n",
            "x".repeat(size)
        )
        .into_bytes()
    };
    let until_the_end =
        |size: usize| format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(size)).into_bytes();
    for answer in [ok(&"x".repeat(1000)), chunked(1000), until_the_end(1000)] {
        let server = Server::saying(answer).await;
        let page = get(&small(), &server.url("/")).await;
        assert_eq!(page.map(|text| text.len()), Ok(1000));
    }
    for answer in [ok(&"x".repeat(1001)), chunked(1001), until_the_end(1001)] {
        let server = Server::saying(answer).await;
        let page = get(&small(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::TooLarge(1000)));
    }
    let grows = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(800));
    let mut grows = grows.into_bytes();
    grows.extend([0xfc; 150]);
    let server = Server::saying(grows).await;
    let page = get(&small(), &server.url("/")).await;
    assert_eq!(page, Err(EgressError::TooLarge(1000)), "as UTF-8");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let url = talking(async |mut stream| {
        read_request(&mut stream).await;
        let header = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(header).await.ok();
        while stream.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(get(&small(), &url).await, Err(EgressError::TooLarge(1000)));
}

#[tokio::test]
async fn an_answer_that_announces_too_much_is_not_read_at_all() {
    for length in ["1001", "99999999999", "9223372036854775807"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nx");
        let server = Server::saying(answer).await;
        let page = get(&small(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::TooLarge(1000)), "{length}");
    }
}

#[tokio::test]
async fn a_length_that_is_a_lie_gains_nothing() {
    for (header, body) in [
        ("Content-Length: 10", "short"),
        ("Content-Length: -1", "x"),
        ("Content-Length: 1\r\nContent-Length: 2", "xx"),
        ("Content-Length: 99999999999999999999999", "x"),
        ("Transfer-Encoding: chunked", "ffffffffffffffffff\r\nx"),
        ("Transfer-Encoding: chunked", "zz\r\nx"),
        ("Transfer-Encoding: chunked", "5\r\nab"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n{body}");
        let server = Server::saying(answer).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Unreadable), "{header}");
    }
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef").await;
    assert_eq!(get(&egress(), &server.url("/")).await.as_deref(), Ok("abc"));
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP"] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 4\r\n\r\n\u{1f}bom"
        );
        let server = Server::saying(answer).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Unreadable), "{coding}");
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 1\r\n\r\nx";
    let server = Server::saying(answer).await;
    assert_eq!(get(&egress(), &server.url("/")).await.as_deref(), Ok("x"));
}

#[tokio::test]
async fn a_header_has_its_limits() {
    let fields = |count: usize, length: usize| {
        let field = format!("X: {}\r\n", "x".repeat(length));
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
            field.repeat(count)
        )
    };
    for answer in [fields(1, 20_000), fields(30, 1000), fields(101, 1)] {
        let server = Server::saying(answer).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Unreadable));
    }
    let server = Server::saying(fields(90, 100)).await;
    assert_eq!(get(&egress(), &server.url("/")).await.as_deref(), Ok(""));
}

#[tokio::test]
async fn what_is_no_http_gives_nothing() {
    for answer in [
        "",
        "\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        "-ERR unknown command\r\n",
        "<html></html>",
    ] {
        let server = Server::saying(answer).await;
        let page = get(&egress(), &server.url("/")).await;
        assert_eq!(page, Err(EgressError::Unreadable), "{answer:?}");
    }
}

/// The clock of these tests is moved on whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn a_server_that_takes_its_time_is_left() {
    let silent = talking(async |mut stream| {
        read_request(&mut stream).await;
        sleep(Duration::from_secs(3600)).await;
    })
    .await;
    let slow_header = talking(async |mut stream| {
        read_request(&mut stream).await;
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" {
            stream.write_all(&[*byte]).await.ok();
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let dripping = talking(async |mut stream| {
        read_request(&mut stream).await;
        let header = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(header).await.ok();
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let not_yet = talking(async |mut stream| {
        read_request(&mut stream).await;
        while stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .is_ok()
        {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let circle = talking(async |mut stream| {
        read_request(&mut stream).await;
        sleep(Duration::from_secs(4)).await;
        let header = b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(header).await.ok();
    })
    .await;
    let limit = Duration::from_secs(10);
    for url in [silent, slow_header, dripping, not_yet, circle] {
        let begin = Instant::now();
        assert_eq!(
            get(&egress(), &url).await,
            Err(EgressError::TimedOut(limit))
        );
        let took = begin.elapsed();
        assert!(
            (limit..limit + Duration::from_secs(1)).contains(&took),
            "{took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_but_not_too_slow_is_waited_for() {
    let url = talking(async |mut stream| {
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            .await
            .ok();
        for byte in b"hello" {
            sleep(Duration::from_secs(1)).await;
            stream.write_all(&[*byte]).await.ok();
        }
    })
    .await;
    assert_eq!(get(&egress(), &url).await.as_deref(), Ok("hello"));
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_run_at_a_time_than_allowed() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counter, maximum) = (Arc::clone(&running), Arc::clone(&most));
    let url = talking(move |mut stream| {
        let (counter, maximum) = (Arc::clone(&counter), Arc::clone(&maximum));
        async move {
            let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
            maximum.fetch_max(now, Ordering::SeqCst);
            read_request(&mut stream).await;
            sleep(Duration::from_secs(1)).await;
            counter.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(&ok("x")).await.ok();
        }
    })
    .await;
    let mut settings = settings();
    settings.max_running = 2;
    let egress = Arc::new(egress_with(settings, &Names::knowing(&[])));
    let tasks: Vec<_> = (0..6)
        .map(|user| {
            let (egress, url) = (Arc::clone(&egress), url.clone());
            tokio::spawn(async move {
                let budget = Arc::new(RequestBudget::new(1));
                fetch_within(&egress, &url, None, None, (user, &budget)).await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().as_deref(), Ok("x"));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn many_fetches_of_one_user_do_not_delay_those_of_others() {
    let url = talking(async |mut stream| {
        if read_request(&mut stream).await.contains("/slow") {
            sleep(Duration::from_secs(9)).await;
        }
        stream.write_all(&ok("x")).await.ok();
    })
    .await;
    let mut settings = settings();
    settings.max_running = 4;
    let egress = Arc::new(egress_with(settings, &Names::knowing(&[])));
    let budget = Arc::new(RequestBudget::new(1));
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let (egress, url, budget) = (Arc::clone(&egress), format!("{url}slow"), budget.clone());
            tokio::spawn(async move { fetch_within(&egress, &url, None, None, (1, &budget)).await })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    for user in 2..5 {
        let page = fetch_within(&egress, &url, None, None, (user, &budget)).await;
        assert_eq!(page.as_deref(), Ok("x"));
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(greedy.iter().all(|fetch| !fetch.is_finished()));
}
