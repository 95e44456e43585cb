//! The test vectors and the backends.

use std::sync::{Arc, LazyLock};

use pinyto_core::{
    challenge::{DeviceKey, ServerKey},
    crypto::RsaBackend,
};
use serde::Deserialize;

/// `tests/vectors/challenge.json`, made with another implementation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    pub(crate) server: KeyVector,
    pub(crate) devices: Vec<KeyVector>,
    pub(crate) too_small: Numbers,
    pub(crate) key_hash_only: Vec<serde_json::Value>,
    pub(crate) sessions: Vec<SessionVector>,
    pub(crate) bad_signatures: Vec<BadSignature>,
    pub(crate) bad_request_tokens: Vec<BadRequestToken>,
}

#[derive(Deserialize)]
pub(crate) struct Numbers {
    #[serde(rename = "N")]
    pub(crate) n: String,
    pub(crate) e: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyVector {
    #[serde(rename = "N")]
    pub(crate) n: String,
    pub(crate) e: String,
    pub(crate) key_hash: String,
    pub(crate) sha256: String,
    pub(crate) private_pem_pkcs8: String,
    pub(crate) public_pem: String,
    pub(crate) private_pem_pkcs1: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionVector {
    pub(crate) device: usize,
    pub(crate) session_token: String,
    pub(crate) encrypted_token: String,
    pub(crate) signature: String,
    pub(crate) request_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadSignature {
    pub(crate) why: String,
    pub(crate) encrypted_token: String,
    pub(crate) signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadRequestToken {
    pub(crate) why: String,
    pub(crate) token: String,
}

pub(crate) static VECTORS: LazyLock<Vectors> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vectors/challenge.json")).unwrap());

pub(crate) fn backends() -> Vec<Arc<dyn RsaBackend>> {
    vec![
        #[cfg(feature = "rustcrypto")]
        Arc::new(pinyto_core::crypto::RustCrypto),
        #[cfg(feature = "aws-lc")]
        Arc::new(pinyto_core::crypto::AwsLc),
    ]
}

/// Every backend with every backend, itself included.
pub(crate) fn pairs_of_backends() -> Vec<(Arc<dyn RsaBackend>, Arc<dyn RsaBackend>)> {
    let all = backends();
    all.iter()
        .flat_map(|one| all.iter().map(|other| (one.clone(), other.clone())))
        .collect()
}

pub(crate) fn server(backend: &Arc<dyn RsaBackend>) -> ServerKey {
    ServerKey::from_pem(backend.clone(), &VECTORS.server.private_pem_pkcs8).unwrap()
}

pub(crate) fn device(backend: &Arc<dyn RsaBackend>, index: usize) -> DeviceKey {
    DeviceKey::from_pem(backend.clone(), &VECTORS.devices[index].private_pem_pkcs8).unwrap()
}
