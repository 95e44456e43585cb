//! The client over TLS, against the listener, with certificates made for the test.

use std::{future::pending, sync::Arc};

use pinyto_core::{
    Cloud,
    memory::MemoryStore,
    testing::{ScriptedRuntime, keys},
};
use pinyto_http::{
    Api,
    client::{Client, ClientBuilder, Error, Login, PinFile},
    listener::{Listener, Tls, TlsFiles},
    service,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::task::JoinHandle;

use crate::support::{Server, cloud, name, quick};

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
    task: JoinHandle<()>,
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
        let serving = listener.with_tls(tls).serve(served, pending());
        let task = tokio::spawn(async move {
            let _ = serving.await;
        });
        Self { cloud, port, task }
    }

    fn at(&self, host: &str) -> ClientBuilder {
        let key = self.cloud.server_public_key().clone();
        quick(&format!("https://{host}:{}", self.port), key)
    }
}

const NOW: [i32; 2] = [2020, 3000];

/// Why no user of this client gets in. No way to log in tells or sends anything.
async fn refusal(client: Client) -> String {
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
    }
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server("localhost", NOW).await;
    let without = server.at("localhost").build().unwrap();
    assert!(refusal(without).await.contains("UnknownIssuer"));
    let others = server.at("localhost").root_certificates_pem(other.0.pem());
    refusal(others.build().unwrap()).await;
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
        let told = refusal(client.allow_plain_http().build().unwrap()).await;
        assert!(
            told.contains(host) && told.contains("other.example"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_certificate_out_of_date_is_refused() {
    let authority = Authority::new();
    for (years, reason) in [
        ([2019, 2020], "certificate expired"),
        ([2999, 3000], "certificate not valid yet"),
    ] {
        let server = authority.server("localhost", years).await;
        let client = server
            .at("localhost")
            .root_certificates_pem(authority.0.pem());
        let told = refusal(client.build().unwrap()).await;
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_taken_for_one_with_it() {
    let server = Server::start().await;
    let url = server.url().replace("http:", "https:");
    let client = quick(&url, server.cloud.server_public_key().clone());
    let password = Login::password(name("ada"), "correct horse".into());
    let error = client.build().unwrap().log_in(password).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert_eq!(server.asked("/public_key"), 0);
}
