//! The client over TLS, against the listener, with certificates made for the test.

use std::{
    future::pending,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use pinyto_core::{
    Cloud,
    memory::MemoryStore,
    testing::{ScriptedRuntime, keys},
};
use pinyto_http::{
    Api,
    client::{Client, ClientBuilder, Error, Login, PinFile},
    listener::{Listener, Observer, Tls, TlsFiles},
    service,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::{JoinHandle, spawn_blocking},
};

use crate::support::{cloud, name, quick};

/// Whom no system trusts.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A server with a certificate for `host`, good in these years.
    async fn server(&self, host: &str, years: [i32; 2]) -> Secure {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years[0], 1, 1);
        params.not_after = date_time_ymd(years[1], 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles::new(
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        Secure::start(Tls::load(files).unwrap()).await
    }
}

struct Secure {
    cloud: Cloud,
    port: u16,
    requests: Arc<Requests>,
    task: JoinHandle<()>,
}

/// How many requests a server got.
#[derive(Default)]
struct Requests(AtomicUsize);

impl Requests {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Observer for Requests {
    fn answered(&self, _: StatusCode, _: Duration) {
        self.one_more();
    }

    fn abandoned(&self) {
        self.one_more();
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Secure {
    async fn start(tls: Tls) -> Self {
        let store = Arc::new(MemoryStore::new());
        let cloud = cloud(store, keys::server(), ScriptedRuntime::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = service(Api::new(cloud.clone()));
        let requests = Arc::new(Requests::default());
        let listener = listener.with_tls(tls).observed_by(requests.clone());
        let serving = listener.serve(served, pending());
        let task = tokio::spawn(async move {
            let _ = serving.await;
        });
        Self {
            cloud,
            port,
            requests,
            task,
        }
    }

    fn at(&self, host: &str) -> ClientBuilder {
        let key = self.cloud.server_public_key().clone();
        quick(&format!("https://{host}:{}", self.port), key)
    }
}

const NOW: [i32; 2] = [2020, 3000];

/// Why no user of this client gets into that server. No way to log in tells anything of her, nor sends
/// a request.
async fn refusal(server: &Secure, client: Client) -> String {
    let before = server.requests.count();
    let mut told = None;
    for login in [
        Login::key(name("ada"), keys::device(0)),
        Login::password(name("ada"), "correct horse".into()),
    ] {
        let error = client.log_in(login).await.unwrap_err();
        assert!(matches!(error, Error::UntrustedCertificate(_)), "{error:?}");
        assert_eq!(error.code(), "untrusted_certificate");
        let shown = format!("{error} {error:?}");
        for secret in ["correct horse", "ada", "authenticate", "public_key"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        told = Some(error.to_string());
    }
    assert_eq!(server.requests.count(), before);
    told.unwrap()
}

#[tokio::test]
async fn a_server_of_an_authority_of_ones_own_is_trusted() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let server = authority.server(host, NOW).await;
        let folder = tempfile::tempdir().unwrap();
        let pin = PinFile::new(folder.path().join("server.pem"));
        let client = quick(&format!("https://{host}:{}", server.port), pin);
        let client = client.root_certificates_pem(authority.0.pem()).build();
        let (client, device) = (client.unwrap(), keys::device(0));
        client
            .register(&name("ada"), device.public_key())
            .await
            .unwrap();
        let session = client
            .log_in(Login::key(name("ada"), device))
            .await
            .unwrap();
        assert_eq!(session.list_keys().await.unwrap().len(), 1);
        let pinned = client.pinned_key().await.unwrap();
        assert_eq!(&pinned, server.cloud.server_public_key());
        assert!(server.requests.count() > 0);
    }
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("localhost", NOW).await;
    let without = server.at("localhost").build().unwrap();
    let sentence =
        "the server's certificate is not trusted: it is signed by an authority that isn't trusted";
    assert_eq!(refusal(&server, without).await, sentence);
    let others = server.at("localhost").root_certificates_pem(other.0.pem());
    // It has the same name.
    let told = refusal(&server, others.build().unwrap()).await;
    let sentence =
        "the server's certificate is not trusted: it is not signed by the authority that it names";
    assert_eq!(told, sentence);
    // Several, of which one is right.
    let both = format!("{}{}", other.0.pem(), authority.0.pem());
    let client = server.at("localhost").root_certificates_pem(both).build();
    client.unwrap().healthy().await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let server = authority.server("other.example", NOW).await;
    for host in ["localhost", "127.0.0.1"] {
        let client = server.at(host).root_certificates_pem(authority.0.pem());
        // What allows plain HTTP allows nothing else.
        let client = client.allow_plain_http().build().unwrap();
        let sentence = format!(
            "the server's certificate is not trusted: it is not for {host} but for other.example"
        );
        assert_eq!(refusal(&server, client).await, sentence);
    }
}

#[tokio::test]
async fn a_certificate_out_of_date_is_refused() {
    let authority = Authority::new();
    for (years, reason) in [
        ([2019, 2020], "it has expired"),
        ([2999, 3000], "it is not valid yet"),
    ] {
        let server = authority.server("localhost", years).await;
        let client = server
            .at("localhost")
            .root_certificates_pem(authority.0.pem());
        let told = refusal(&server, client.build().unwrap()).await;
        let sentence = format!(
            "the server's certificate is not trusted: {reason}, or the clock of this machine is wrong"
        );
        assert_eq!(told, sentence);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_taken_for_one_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut begin = vec![0; 2];
            stream.read_exact(&mut begin).await.unwrap();
            log.lock().unwrap().push(begin);
            // As a server does that wonders what kind of HTTP this is.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = quick(&url, keys::server().public_key().clone());
    let password = Login::password(name("ada"), "correct horse".into());
    let error = client.build().unwrap().log_in(password).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    task.abort();
    let heard = heard.lock().unwrap();
    assert!(!heard.is_empty());
    // Each time a TLS handshake (RFC 8446, 5.1) and nothing in the clear.
    assert!(heard.iter().all(|begin| *begin == [22, 3]), "{heard:?}");
}

#[tokio::test]
async fn the_certificate_of_a_proxy_counts_as_well() {
    // The proxy is named by the environment, so the client is in a process of its own.
    const INSIDE: &str = "PINYTO_TEST_BEHIND_PROXY";
    if std::env::var_os(INSIDE).is_some() {
        let key = keys::server().public_key().clone();
        let client = quick("https://pinyto.invalid", key).build().unwrap();
        let error = client.healthy().await.unwrap_err();
        assert_eq!(error.code(), "untrusted_certificate", "{error}");
        return;
    }
    let proxy = Authority::new().server("localhost", NOW).await;
    let mut inside = Command::new(std::env::current_exe().unwrap());
    inside.args(["--exact", "tls::the_certificate_of_a_proxy_counts_as_well"]);
    for other in ["https_proxy", "NO_PROXY", "no_proxy"] {
        inside.env_remove(other);
    }
    inside.env("HTTPS_PROXY", format!("https://localhost:{}", proxy.port));
    inside.env(INSIDE, "1");
    let output = spawn_blocking(move || inside.output()).await.unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(proxy.requests.count(), 0);
}
