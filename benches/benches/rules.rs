//! Criterion benches of the rules themselves, without HTTP.
//!
//!     cargo bench --ignore-rust-version -p pinyto-benches

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench ends when anything fails")]

use std::{sync::Arc, time::SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use pinyto_core::{
    Cloud,
    challenge::SessionToken,
    crypto::{AwsLc, RsaBackend, RustCrypto},
    gpgauth::{OpenPgp, RPgp},
    key::PublicKey,
    memory::MemoryStore,
    randomness::OsRandomness,
    store::Store,
    testing::keys,
    user::UserName,
};
use pinyto_store::sqlite::SqliteStore;
use tokio::runtime::Runtime;

fn rsa(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rsa-4096");
    let backends: [Arc<dyn RsaBackend>; 2] = [Arc::new(AwsLc), Arc::new(RustCrypto)];
    for backend in backends {
        let name = backend.name();
        let server =
            pinyto_core::challenge::ServerKey::from_pem(backend, keys::server_pem()).unwrap();
        let device = keys::device(0);
        let token = SessionToken::generate(&OsRandomness).unwrap();
        let sealed = server.seal(&token).unwrap();
        group.bench_function(format!("issue a challenge, {name}"), |bencher| {
            bencher.iter(|| server.issue(device.public_key(), &token).unwrap());
        });
        group.bench_function(format!("open a request token, {name}"), |bencher| {
            bencher.iter(|| server.open(&sealed).unwrap());
        });
    }
    group.finish();
}

fn public_key(criterion: &mut Criterion) {
    let key = keys::device(0).public_key().clone();
    let (n, e) = (key.n_decimal().to_owned(), key.e().to_string());
    criterion.bench_function("parse a public key", |bencher| {
        bencher.iter(|| PublicKey::from_decimal(&n, &e).unwrap());
    });
}

fn openpgp(criterion: &mut Criterion) {
    let now = SystemTime::now().into();
    let server = RPgp::generate("Pinyto", now).unwrap();
    let user = RPgp::generate("Ada", now).unwrap();
    let nonce = "gpgauthv1.3.0|36|de305d54-75b4-431b-adb2-eb6b9e546014|gpgauthv1.3.0";
    let mut group = criterion.benchmark_group("openpgp");

    let to = user.read_key(server.public_key(), now).unwrap();
    let message = user.encrypt(&to, nonce, now).unwrap();
    group.bench_function("decrypt a message to the server", |bencher| {
        bencher.iter(|| server.decrypt(&message).unwrap());
    });
    let rsa = include_str!("../../pinyto-core/tests/gpgauth/keys/rsa4096-public.asc");
    for (name, armored) in [("cv25519", user.public_key()), ("rsa4096", rsa)] {
        group.bench_function(format!("read a key, {name}"), |bencher| {
            bencher.iter(|| server.read_key(armored, now).unwrap());
        });
        let key = server.read_key(armored, now).unwrap();
        group.bench_function(format!("sign and encrypt, {name}"), |bencher| {
            bencher.iter(|| server.encrypt(&key, nonce, now).unwrap());
        });
    }
    // The fingerprints of nobodies of each kind.
    let mut lengths = std::collections::BTreeMap::new();
    for number in 0..100 {
        let fingerprint = format!("{number:040}").parse().unwrap();
        let message = server.encrypt_for_nobody(&fingerprint, nonce, now).unwrap();
        lengths.entry(message.len() / 40).or_insert(fingerprint);
    }
    for (length, fingerprint) in lengths {
        let name = format!("encrypt for nobody, about {} characters", length * 40);
        group.bench_function(name, |bencher| {
            bencher.iter(|| server.encrypt_for_nobody(&fingerprint, nonce, now).unwrap());
        });
    }
    group.finish();
}

fn login(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite:{}?mode=rwc",
        folder.path().join("bench.db").display()
    );
    let sqlite = runtime.block_on(SqliteStore::open(&url)).unwrap();
    let stores: [(&str, Arc<dyn Store>); 2] = [
        ("memory", Arc::new(MemoryStore::new())),
        ("sqlite", Arc::new(sqlite)),
    ];
    for (name, store) in stores {
        let cloud = Cloud::builder(store, keys::server()).build().unwrap();
        let (device, user) = (keys::device(0), UserName::parse("bench").unwrap());
        let hash = device.key_hash();
        let registered = cloud.register(user.clone(), device.public_key().clone());
        runtime.block_on(registered).unwrap();
        criterion.bench_function(&format!("authenticate, {name}"), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { cloud.authenticate(&user, &hash).await.unwrap() });
        });
        let challenge = runtime.block_on(cloud.authenticate(&user, &hash)).unwrap();
        let token = device
            .answer(&challenge, cloud.server_public_key())
            .unwrap();
        criterion.bench_function(
            &format!("session of a remembered token, {name}"),
            |bencher| {
                bencher
                    .to_async(&runtime)
                    .iter(|| async { cloud.session(&token).await.unwrap() });
            },
        );
        let session = runtime.block_on(cloud.session(&token)).unwrap();
        criterion.bench_function(&format!("list keys, {name}"), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { cloud.list_keys(&session).await.unwrap() });
        });
    }
}

criterion_group!(benches, rsa, public_key, openpgp, login);
criterion_main!(benches);
