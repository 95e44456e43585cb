//! Registration and the challenge, with real RSA and with tokens that are none.

use pinyto_core::{
    challenge::{ChallengeError, RequestToken, ServerKey, SessionToken},
    crypto::default_backend,
    id::KeyId,
    session::NewSession,
    testing::{given, keys, rsa::Counting},
    user::{NewUser, UserName},
};
use serde_json::Value;

use crate::support::{World, code, new_key, password, settings};

#[tokio::test]
async fn a_device_registers_answers_the_challenge_and_is_known_by_its_token() {
    let world = World::real();
    let device = world.user("hugo").await;
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    assert_eq!(session.user.name, given::name("hugo"));
    let keys = world.cloud.list_keys(&session).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].current);
    assert_eq!(keys[0].key.material, *device.public_key());
}

#[tokio::test]
async fn a_challenge_is_of_no_use_to_another_device_or_under_another_servers_name() {
    let world = World::real();
    let device = world.user("hugo").await;
    let other = world.device();
    let (name, hash) = (given::name("hugo"), device.key_hash());
    let challenge = world.cloud.authenticate(&name, &hash).await.unwrap();
    let server = world.cloud.server_public_key();
    let refused = |result: Result<_, ChallengeError>| result.unwrap_err();
    assert_eq!(
        refused(other.answer(&challenge, server)),
        ChallengeError::OtherKey
    );
    assert_eq!(
        refused(device.answer(&challenge, other.public_key())),
        ChallengeError::BadSignature
    );
}

#[tokio::test]
async fn who_and_what_opens_no_account_gets_the_same_answer_after_the_same_work() {
    let world = World::toy();
    let device = world.user("hugo").await;
    let unused = world.device();
    let stranger = world.user("erna").await;
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let new = crate::support::new_key(unused.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    let deactivated = world
        .cloud
        .deactivate_key(&session, &unused.key_hash())
        .await;
    deactivated.unwrap();
    let openpgp = given::openpgp_key(1, None);
    let added = world.cloud.register_new_key(&session, &openpgp).await;
    added.unwrap();

    let mut texts = Vec::new();
    for (name, hash) in [
        ("nobody", device.key_hash()),
        ("hugo", stranger.key_hash()),
        ("hugo", unused.key_hash()),
        ("hugo", openpgp.material.fingerprint().key_hash()),
    ] {
        let (signed, decrypted) = (world.rsa.signed(), world.rsa.decrypted());
        let refused = world.cloud.authenticate(&given::name(name), &hash).await;
        let error = refused.unwrap_err();
        assert_eq!(error.code(), "authentication_failed");
        assert_eq!(world.rsa.signed() - signed, 1);
        assert_eq!(world.rsa.decrypted(), decrypted);
        texts.push(error.to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    assert!(world.lives(&token).await);
}

#[tokio::test]
async fn a_hash_of_two_keys_of_one_user_is_ambiguous_and_a_longer_one_is_not() {
    let world = World::toy();
    let session = world.session_of_new("hugo").await;
    let [one, other] = keys::colliding();
    for key in [&one, &other] {
        let new = crate::support::new_key(key, None);
        world.cloud.register_new_key(&session, &new).await.unwrap();
    }
    let name = given::name("hugo");
    let authenticate = async |hash| code(world.cloud.authenticate(&name, &hash).await);
    let short = given::key_hash(keys::COLLIDING_HASH);
    assert_eq!(authenticate(short.clone()).await, "ambiguous_key_hash");
    assert_eq!(authenticate(crate::support::full_hash(&one)).await, "ok");
    // Of two users the short hash always means one's own.
    world
        .cloud
        .register(given::name("erna"), other)
        .await
        .unwrap();
    let hers = world.cloud.authenticate(&given::name("erna"), &short).await;
    assert_eq!(code(hers), "ok");
}

#[tokio::test]
async fn a_key_whose_hash_collides_with_anothers_opens_nothing_of_hers() {
    let world = World::toy();
    let [one, other] = keys::colliding();
    world
        .cloud
        .register(given::name("hugo"), one.clone())
        .await
        .unwrap();
    world
        .cloud
        .register(given::name("mallory"), other.clone())
        .await
        .unwrap();
    let short = given::key_hash(keys::COLLIDING_HASH);
    for (name, key) in [("hugo", one), ("mallory", other)] {
        let found = world
            .store()
            .keys()
            .matching(&given::name(name), &short)
            .await;
        let found = found.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.material, key);
    }
}

#[tokio::test]
async fn a_name_is_given_once_and_reserved_ones_never() {
    let world = World::toy();
    let device = world.user("hugo").await;
    assert_eq!(
        code(world.register("hugo", &device).await),
        "user_name_taken"
    );
    assert_eq!(code(world.register("Hugo", &device).await), "ok");
    for reserved in ["keyserver", "Authenticate", "webapps", "pinyto", "PINYTO"] {
        let refused = world.register(reserved, &device).await;
        assert_eq!(code(refused), "reserved_user_name", "{reserved}");
    }
}

#[tokio::test]
async fn a_program_reserves_names_of_its_own_and_who_has_one_keeps_it() {
    let mut settings = settings();
    settings.reserved_user_names = vec![given::name("hello"), given::name("Shop")];
    let world = World::with(settings);
    let device = world.device();
    for reserved in ["hello", "HELLO", "shop", "keyserver"] {
        let refused = world.register(reserved, &device).await;
        assert_eq!(code(refused), "reserved_user_name", "{reserved}");
        let password = password("correct horse");
        let refused = world
            .cloud
            .keyserver_register(given::name(reserved), password);
        assert_eq!(code(refused.await), "reserved_user_name", "{reserved}");
    }
    assert_eq!(code(world.register("hello_", &device).await), "ok");
    // As before the name was reserved.
    let key = new_key(device.public_key(), None);
    let new = NewUser::new(given::name("hello"), key, given::at(0));
    world.store().users().register(&new).await.unwrap();
    assert_eq!(code(world.login("hello", &device).await), "ok");
}

#[tokio::test]
async fn nobody_logs_in_as_the_bundled_author() {
    let world = World::toy();
    world.cloud.install_bundled_assemblies().await.unwrap();
    let device = world.user("hugo").await;
    let refused = world.login("pinyto", &device).await;
    assert_eq!(code(refused), "authentication_failed");
    let author = UserName::parse("pinyto").unwrap();
    let attempt = pinyto_core::keyserver::Password::attempt("");
    let refused = world.cloud.keyserver_authenticate(&author, attempt).await;
    assert_eq!(code(refused), "wrong_password");
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/challenge.json")).unwrap()
}

/// A living session with the token of the vectors, in a cloud with their server's key.
async fn world_of_vectors(vectors: &Value) -> (World, KeyId) {
    let rsa = Counting::new(default_backend());
    let pem = vectors["server"]["private_pem_pkcs8"].as_str().unwrap();
    let server_key = ServerKey::from_pem(rsa.clone(), pem).unwrap();
    let world = World::build(rsa, server_key, settings());
    let hugo = given::user(world.store(), "hugo", 1).await;
    let key = given::first_key(world.store(), &hugo).await;
    let token = vectors["sessions"][0]["session_token"].as_str().unwrap();
    let session = NewSession {
        user: hugo.id,
        key,
        token_hash: SessionToken::parse(token).unwrap().hash(),
        at: given::at(0),
    };
    world.store().sessions().replace(&session).await.unwrap();
    (world, key)
}

#[tokio::test]
async fn a_token_made_by_another_implementation_opens_its_session() {
    let vectors = vectors();
    let (world, key) = world_of_vectors(&vectors).await;
    let token = vectors["sessions"][0]["request_token"].as_str().unwrap();
    let session = world
        .cloud
        .session(&RequestToken::new(token))
        .await
        .unwrap();
    assert_eq!(session.key, key);
    let again = world
        .cloud
        .session(&RequestToken::new(token))
        .await
        .unwrap();
    assert_eq!(again.id, session.id);
    assert_eq!(world.rsa.decrypted(), 1);
}

#[tokio::test]
async fn tokens_under_the_wrong_padding_or_key_are_unknown() {
    let vectors = vectors();
    let (world, _) = world_of_vectors(&vectors).await;
    let bad = vectors["bad_request_tokens"].as_array().unwrap();
    assert!(bad.len() >= 6);
    for case in bad {
        let token = RequestToken::new(case["token"].as_str().unwrap());
        for _ in 0..2 {
            let refused = world.cloud.session(&token).await.unwrap_err();
            assert_eq!(refused.code(), "unknown_token", "{}", case["why"]);
            assert_eq!(refused.to_string(), "Unknown token. Please authenticate.");
        }
    }
}

#[tokio::test]
async fn texts_that_can_be_no_token_cost_no_private_operation() {
    let world = World::toy();
    world.user("hugo").await;
    for text in ["", "%%%", "YWJj", "\0", "𝄞", "=", &"A".repeat(100_000)] {
        assert!(!world.lives(&RequestToken::new(text)).await);
    }
    assert_eq!(world.rsa.decrypted(), 0);
}
