//! URLs that are refused before anything is asked or opened.

use std::sync::Arc;

use pinyto_core::{egress::EgressError, runtime::ServiceException};

use crate::support::{Names, egress_with, get};
use pinyto_sandbox::EgressSettings;

/// Each with the exception that the code sees. `{long}` is too much of something.
const REFUSED: [(&str, &str); 92] = [
    // Other schemes.
    ("file:///etc/passwd", "PermissionError"),
    ("file://example.org/etc/passwd", "PermissionError"),
    ("ftp://example.org/", "PermissionError"),
    ("gopher://example.org:6379/_SET", "PermissionError"),
    ("dict://example.org:11211/stat", "PermissionError"),
    ("ldap://example.org/", "PermissionError"),
    ("ws://example.org/", "PermissionError"),
    ("data:text/html,x", "PermissionError"),
    ("javascript:alert(1)", "PermissionError"),
    ("about:blank", "PermissionError"),
    ("jar:http://example.org!/x", "PermissionError"),
    ("unix:/run/docker.sock", "PermissionError"),
    ("blob:http://example.org/x", "PermissionError"),
    // No URLs.
    ("", "ValueError"),
    ("example.org", "ValueError"),
    ("//example.org/", "ValueError"),
    ("/etc/passwd", "ValueError"),
    ("http://", "ValueError"),
    ("http://:80/", "ValueError"),
    ("http://exa mple.org/", "ValueError"),
    ("http://example.org:99999/", "ValueError"),
    ("http://example.org:-1/", "ValueError"),
    ("http://[::1/", "ValueError"),
    ("http://[fe80::1%25eth0]/", "ValueError"),
    ("http://[::1%eth0]/", "ValueError"),
    ("http://a..b/", "ValueError"),
    ("http://example.org../", "ValueError"),
    ("http://*.example.org/", "ValueError"),
    ("http://ex'ample.org/", "ValueError"),
    ("http://example.org/{long}", "ValueError"),
    ("http://{label}.org/", "ValueError"),
    ("http://1.2.3.4.5/", "ValueError"),
    ("http://256.1.1.1/", "ValueError"),
    ("http://0x100000000/", "ValueError"),
    // User names and passwords, also as a disguise.
    ("http://user@example.org/", "ValueError"),
    ("http://user:password@example.org/", "ValueError"),
    ("http://:password@example.org/", "ValueError"),
    ("http://example.org@127.0.0.1/", "PermissionError"),
    ("http://example.org:80@example.net/", "ValueError"),
    // Ports that are not for the web.
    ("http://example.org:22/", "PermissionError"),
    ("http://example.org:25/", "PermissionError"),
    ("http://example.org:0/", "PermissionError"),
    ("http://example.org:1023/", "PermissionError"),
    ("http://example.org:6379/", "PermissionError"),
    ("http://example.org:11211/", "PermissionError"),
    ("https://example.org:6667/", "PermissionError"),
    // Internal names.
    ("http://localhost/", "PermissionError"),
    ("http://LOCALHOST:8080/", "PermissionError"),
    ("http://localhost./", "PermissionError"),
    ("http://a.localhost/", "PermissionError"),
    ("http://intranet/", "PermissionError"),
    ("http://metadata.google.internal/", "PermissionError"),
    ("http://printer.local/", "PermissionError"),
    ("http://nas.home.arpa/", "PermissionError"),
    ("http://x.onion/", "PermissionError"),
    ("http://ⓛocalhost/", "PermissionError"),
    ("http://local%68ost/", "PermissionError"),
    ("http://lo\tcal\nhost/", "PermissionError"),
    // Internal IPv4 addresses.
    ("http://127.0.0.1/", "PermissionError"),
    ("http://127.0.0.1:8080/", "PermissionError"),
    ("http://127.0.0.1./", "PermissionError"),
    ("http://0.0.0.0/", "PermissionError"),
    ("http://10.0.0.1/", "PermissionError"),
    ("http://172.16.0.1/", "PermissionError"),
    ("http://192.168.1.1/", "PermissionError"),
    ("http://100.64.0.1/", "PermissionError"),
    (
        "http://169.254.169.254/latest/meta-data/",
        "PermissionError",
    ),
    ("http://198.18.0.1/", "PermissionError"),
    ("http://224.0.0.1/", "PermissionError"),
    ("http://255.255.255.255/", "PermissionError"),
    ("http:127.0.0.1/", "PermissionError"),
    ("http:\\\\127.0.0.1\\", "PermissionError"),
    ("http:////127.0.0.1/", "PermissionError"),
    // The same, and public ones, in other spellings.
    ("http://2130706433/", "PermissionError"),
    ("http://0x7f000001/", "PermissionError"),
    ("http://017700000001/", "PermissionError"),
    ("http://127.1/", "PermissionError"),
    ("http://0/", "PermissionError"),
    ("http://0177.0.0.1/", "PermissionError"),
    ("http://0x7f.0.0.0x1/", "PermissionError"),
    ("http://127%2e0%2e0%2e1/", "PermissionError"),
    ("http://１２７.0.0.1/", "PermissionError"),
    ("http://127。0。0。1/", "PermissionError"),
    ("http://134744072/", "PermissionError"),
    ("http://010.8.8.8/", "PermissionError"),
    // Internal IPv6 addresses, and those with an IPv4 address inside.
    ("http://[::]/", "PermissionError"),
    ("http://[::1]:8080/", "PermissionError"),
    ("http://[::ffff:127.0.0.1]/", "PermissionError"),
    ("http://[::ffff:8.8.8.8]/", "PermissionError"),
    ("http://[64:ff9b::169.254.169.254]/", "PermissionError"),
    ("http://[fe80::1]/", "PermissionError"),
    ("http://[fd00:ec2::254]/", "PermissionError"),
];

#[tokio::test]
async fn what_leads_somewhere_else_than_to_the_web_is_refused_unasked() {
    let names = Arc::new(Names::default());
    let egress = egress_with(EgressSettings::default(), &names);
    for (text, exception) in REFUSED {
        let url = text
            .replace("{long}", &"x".repeat(8192))
            .replace("{label}", &"x".repeat(64));
        let error = get(&egress, &url).await.unwrap_err();
        let raised = error.exception().map(ServiceException::name);
        assert_eq!(raised, Some(exception), "{text}: {error}");
    }
    assert_eq!(names.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_leads_to_the_web_is_looked_up_as_it_is() {
    let names = Arc::new(Names::default());
    let egress = egress_with(EgressSettings::default(), &names);
    for url in [
        "http://example.org",
        "HTTPS://Example.ORG:443/a b?c=ü#d",
        "http://example.org.:8080/",
        "http://bücher.example/",
        "http://a_b.example:1024/",
        " http://localhost.example/ ",
    ] {
        // These names have no address.
        assert_eq!(
            get(&egress, url).await,
            Err(EgressError::Unreachable),
            "{url}"
        );
    }
    assert_eq!(
        names.asked(),
        [
            "example.org",
            "example.org",
            "example.org",
            "xn--bcher-kva.example",
            "a_b.example",
            "localhost.example",
        ]
    );
}

#[tokio::test]
async fn an_error_tells_the_author_what_to_do() {
    let egress = egress_with(EgressSettings::default(), &Arc::new(Names::default()));
    for (url, message) in [
        (
            "ftp://example.org/",
            "Only http and https URLs can be fetched.",
        ),
        (
            "http://example.org:25/",
            "Port 25 can't be reached. Ports 80, 443 and most from 1024 on can.",
        ),
        (
            "http://user:secret@example.org/",
            "That URL can't be fetched: it has a user name or password.",
        ),
        (
            "http://2130706433/",
            "The host 127.0.0.1 is not on the public internet, or its address is not written plainly.",
        ),
    ] {
        assert_eq!(get(&egress, url).await.unwrap_err().to_string(), message);
    }
}
