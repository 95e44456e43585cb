//! HTTPS: the certificate has to be the host's.

use std::sync::Arc;

use pinyto_core::egress::EgressError;
use pinyto_sandbox::{HttpEgress, Resolver};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{HERE, Names, get, ok, read_request, settings, talking};

/// An authority that is not Mozilla's.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for these names; its port.
async fn serve(authority: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> u16 {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, authority)
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_request(&mut stream).await;
                stream.write_all(&ok("secure")).await.ok();
                stream.shutdown().await.ok();
            }
        }
    });
    port
}

fn trusting(root: Option<&CertificateDer<'static>>) -> HttpEgress {
    let names = Names::knowing(&[("right.example", &[&[HERE]]), ("wrong.example", &[&[HERE]])]);
    let builder = HttpEgress::builder()
        .settings(settings())
        .resolver(names as Arc<dyn Resolver>);
    let Some(root) = root else {
        return builder.build().unwrap();
    };
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    builder.roots(roots).build().unwrap()
}

#[tokio::test]
async fn a_certificate_has_to_be_the_hosts_and_trusted() {
    let authority = authority();
    let port = serve(&authority, &["right.example", HERE]).await;
    let url = |host: &str| format!("https://{host}:{port}/");
    let egress = trusting(Some(authority.der()));
    assert_eq!(
        get(&egress, &url("right.example")).await.as_deref(),
        Ok("secure")
    );
    assert_eq!(
        get(&egress, &url("right.example.")).await.as_deref(),
        Ok("secure")
    );
    assert_eq!(get(&egress, &url(HERE)).await.as_deref(), Ok("secure"));
    let unreachable = Err(EgressError::Unreachable);
    assert_eq!(get(&egress, &url("wrong.example")).await, unreachable);
    assert_eq!(
        get(&trusting(None), &url("right.example")).await,
        unreachable
    );
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_over_https() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let url = talking(move |mut stream| {
        let told = told.clone();
        async move {
            let mut begin = [0; 4096];
            let count = stream.read(&mut begin).await.unwrap();
            told.send(begin[..count].to_vec()).unwrap();
            stream.write_all(&ok("plain")).await.ok();
        }
    })
    .await;
    let url = format!("{}secret", url.replace("http:", "https:"));
    assert_eq!(
        get(&trusting(None), &url).await,
        Err(EgressError::Unreachable)
    );
    let heard = String::from_utf8_lossy(&heard.recv().await.unwrap()).into_owned();
    assert!(!heard.contains("secret"), "{heard}");
}
