//! TLS with certificates made for the test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pinyto_http::listener::{Tls, TlsError, TlsFiles};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::helper::{TestServer, get, http1, http2, limits, raw, text, until_closed};

struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn write(&self, directory: &Path) -> TlsFiles {
        let files = TlsFiles::new(directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&files.certificate, &self.certificate).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        files
    }

    /// A client that trusts this certificate only.
    async fn connect(
        &self,
        server: &TestServer,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, server.connect().await)
            .await
    }
}

#[tokio::test]
async fn both_http_versions_work_as_alpn_agrees() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let tls = Tls::load(certificate.write(directory.path())).unwrap();
    let server = TestServer::start_with(|listener| listener.with_tls(tls)).await;

    let stream = certificate
        .connect(&server, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = http2(stream)
        .await
        .send_request(get("https://localhost/hello"))
        .await
        .unwrap();
    assert_eq!(text(answer).await.1, "hello");

    let stream = certificate.connect(&server, &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = http1(stream)
        .await
        .send_request(get("/hello"))
        .await
        .unwrap();
    assert_eq!(text(answer).await.1, "hello");
}

#[tokio::test]
async fn a_reload_serves_the_new_certificate_and_keeps_old_connections() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Certificate::new(), Certificate::new());
    let tls = Tls::load(old.write(directory.path())).unwrap();
    let serving = tls.clone();
    let server = TestServer::start_with(|listener| listener.with_tls(serving)).await;
    let mut before = http1(old.connect(&server, &[]).await.unwrap()).await;
    text(before.send_request(get("/hello")).await.unwrap()).await;

    new.write(directory.path());
    old.connect(&server, &[])
        .await
        .expect("nothing changes before the reload");
    tls.reload().unwrap();
    new.connect(&server, &[])
        .await
        .expect("the new certificate");
    old.connect(&server, &[])
        .await
        .expect_err("the old certificate is gone");
    let answer = before.send_request(get("/hello")).await.unwrap();
    assert_eq!(text(answer).await.1, "hello", "a connection was lost");
}

#[tokio::test]
async fn a_broken_new_certificate_leaves_the_old_one_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let (old, other) = (Certificate::new(), Certificate::new());
    let files = old.write(directory.path());
    let tls = Tls::load(files.clone()).unwrap();
    let serving = tls.clone();
    let server = TestServer::start_with(|listener| listener.with_tls(serving)).await;

    std::fs::write(&files.certificate, "not PEM").unwrap();
    assert!(matches!(
        tls.reload(),
        Err(TlsError::Pem {
            wanted: "certificate",
            ..
        })
    ));
    std::fs::write(&files.certificate, &old.certificate).unwrap();
    std::fs::write(&files.key, &old.certificate).unwrap();
    assert!(matches!(
        tls.reload(),
        Err(TlsError::Pem {
            wanted: "private key",
            ..
        })
    ));
    std::fs::write(&files.key, &other.key).unwrap();
    let refused = tls.reload().unwrap_err();
    assert!(
        matches!(refused, TlsError::Refused { .. }),
        "another one's key"
    );
    assert_eq!(refused.code(), "tls_files_refused");
    std::fs::remove_file(&files.key).unwrap();
    let missing = tls.reload().unwrap_err();
    assert!(matches!(missing, TlsError::Read { .. }));
    assert_eq!(missing.code(), "tls_file_unreadable");
    old.connect(&server, &[])
        .await
        .expect("the old certificate");
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::load(Certificate::new().write(directory.path())).unwrap();
    let limits = limits(|limits| limits.header_timeout = Duration::from_millis(200));
    let server =
        TestServer::start_with(|listener| listener.with_tls(tls).with_limits(limits)).await;
    until_closed(&mut server.connect().await).await;
    let plain = raw(&mut server.connect().await, "GET /hello HTTP/1.1\r\n\r\n").await;
    assert!(!plain.contains("200 OK"));
}

#[tokio::test]
async fn a_client_silent_after_its_handshake_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let tls = Tls::load(certificate.write(directory.path())).unwrap();
    let limits = limits(|limits| limits.header_timeout = Duration::from_secs(1));
    let server =
        TestServer::start_with(|listener| listener.with_tls(tls).with_limits(limits)).await;
    until_closed(&mut certificate.connect(&server, &[]).await.unwrap()).await;
}
