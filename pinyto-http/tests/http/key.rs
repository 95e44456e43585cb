//! Keys: listed, added, deactivated, deleted, and never those of others.

use crypto_numbers::{COLLIDING, power_of_two_plus};
use pinyto_core::testing::keys;
use serde_json::{Value, json};

use crate::support::{Server, numbers};

#[tokio::test]
async fn a_list_tells_all_about_each_key_oldest_first() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let body = json!({"token": token, "key_data": numbers(&keys::device(1)), "label": "Télé 📱"});
    server.post("/register_new_key", body).await.success();

    let listed = server.post("/list_keys", json!({"token": token})).await;
    let listed = listed.ok();
    let [first, second] = listed.as_array().unwrap().as_slice() else {
        panic!("{listed}")
    };
    let fingerprint = keys::device(0).public_key().fingerprint().to_hex();
    assert_eq!(first["fingerprint"], fingerprint);
    assert_eq!(first["key_hash"], fingerprint[..10]);
    assert_eq!(first["kind"], "rsa");
    assert_eq!(first["label"], Value::Null);
    assert_eq!(first["current"], true);
    for field in ["created", "last_used"] {
        let time = first[field].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    assert_eq!(second["label"], "Télé 📱");
    assert_eq!(second["current"], false);
    assert_eq!(second["active"], true);
    assert_eq!(second["last_used"], Value::Null);
}

#[tokio::test]
async fn a_deactivated_key_has_no_session_until_it_is_activated_and_logs_in() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let other = keys::device(1);
    let body = json!({"token": token, "public_key": numbers(&other)});
    server.post("/register_new_key", body).await.success();
    let of_other = server.login("alice", &other).await;

    let set = async |active: bool| {
        let key_hash = other.key_hash().to_string();
        let body = json!({"token": token, "key_hash": key_hash, "active_state": active});
        server.post("/set_key_active", body).await
    };
    set(false).await.success();
    let asked = server.post("/list_keys", json!({"token": of_other})).await;
    assert_eq!(asked.error(), (401, "unknown_token"));
    let key_hash = other.key_hash().to_string();
    let body = json!({"username": "alice", "key_hash": key_hash});
    let refused = server.post("/authenticate", body).await;
    assert_eq!(refused.error(), (401, "authentication_failed"));
    set(true).await.success();
    server.login("alice", &other).await;
}

#[tokio::test]
async fn the_last_active_key_stays() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let key_hash = keys::device(0).key_hash().to_string();
    let body = json!({"token": token, "key_hash": key_hash, "active_state": false});
    let refused = server.post("/set_key_active", body).await;
    assert_eq!(refused.error(), (409, "last_active_key"));
    let body = json!({"token": token, "key_hash": key_hash});
    let refused = server.post("/delete_key", body).await;
    assert_eq!(refused.error(), (409, "last_active_key"));
}

#[tokio::test]
async fn an_unknown_key_a_malformed_hash_and_a_bad_label_are_refused() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for (key_hash, error) in [
        ("0123456789", (404, "unknown_key")),
        ("012345678", (400, "invalid_key_hash")),
        ("é123456789", (400, "invalid_key_hash")),
    ] {
        let body = json!({"token": token, "key_hash": key_hash});
        assert_eq!(server.post("/delete_key", body).await.error(), error);
        let body = json!({"token": token, "key_hash": key_hash, "active_state": true});
        assert_eq!(server.post("/set_key_active", body).await.error(), error);
    }
    for label in ["", "a\nb", &"x".repeat(101)] {
        let key = numbers(&keys::device(1));
        let body = json!({"token": token, "public_key": key, "label": label});
        let refused = server.post("/register_new_key", body).await;
        assert_eq!(refused.error(), (400, "invalid_key_label"));
    }
}

#[tokio::test]
async fn a_key_is_registered_once_per_account_but_two_accounts_may_have_it() {
    let server = Server::new();
    let alice = server.user("alice", 0).await;
    let bob = server.user("bob", 1).await;
    let key = numbers(&keys::device(0));
    let again = json!({"token": alice, "public_key": key});
    let refused = server.post("/register_new_key", again).await;
    assert_eq!(refused.error(), (409, "key_already_registered"));

    // Bob registers Alice's key: that gives him nothing of hers.
    let body = json!({"token": bob, "public_key": key});
    server.post("/register_new_key", body).await.success();
    let body = json!({"token": bob, "key_hash": keys::device(0).key_hash().as_str()});
    server.post("/delete_key", body).await.success();
    let listed = server
        .post("/list_keys", json!({"token": alice}))
        .await
        .ok();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    server.login("alice", &keys::device(0)).await;
}

#[tokio::test]
async fn nobody_touches_the_key_of_another() {
    let server = Server::new();
    let alice = server.user("alice", 0).await;
    let bob = server.user("bob", 1).await;
    let of_alice = keys::device(0).public_key().fingerprint().to_hex();
    let body = json!({"token": bob, "key_hash": of_alice});
    let refused = server.post("/delete_key", body).await;
    assert_eq!(refused.error(), (404, "unknown_key"));
    let body = json!({"token": bob, "key_hash": of_alice, "active_state": false});
    let refused = server.post("/set_key_active", body).await;
    assert_eq!(refused.error(), (404, "unknown_key"));
    server
        .post("/list_keys", json!({"token": alice}))
        .await
        .ok();
}

#[tokio::test]
async fn two_keys_with_one_short_hash_need_a_longer_one() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    for offset in COLLIDING {
        let key = json!({"N": power_of_two_plus(offset), "e": "65537"});
        let body = json!({"token": token, "public_key": key});
        server.post("/register_new_key", body).await.success();
    }
    let listed = server
        .post("/list_keys", json!({"token": token}))
        .await
        .ok();
    assert_eq!(listed[1]["key_hash"], "58f6e49c2f");
    assert_eq!(listed[2]["key_hash"], "58f6e49c2f");
    let long = listed[2]["fingerprint"].as_str().unwrap();

    let short = json!({"token": token, "key_hash": "58f6e49c2f", "active_state": false});
    let refused = server.post("/set_key_active", short).await;
    assert_eq!(refused.error(), (409, "ambiguous_key_hash"));
    let body = json!({"username": "alice", "key_hash": "58f6e49c2f"});
    let refused = server.post("/authenticate", body).await;
    assert_eq!(refused.error(), (409, "ambiguous_key_hash"));
    let body = json!({"token": token, "key_hash": "58f6e49c2f"});
    let refused = server.post("/delete_key", body).await;
    assert_eq!(refused.error(), (409, "ambiguous_key_hash"));
    let body = json!({"token": token, "key_hash": long});
    server.post("/delete_key", body).await.success();
    let listed = server
        .post("/list_keys", json!({"token": token}))
        .await
        .ok();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_ne!(listed[1]["fingerprint"], long);
}

#[tokio::test]
async fn keys_of_two_accounts_with_one_short_hash_do_not_meet() {
    let server = Server::new();
    let tokens = [server.user("alice", 0).await, server.user("bob", 1).await];
    for (token, offset) in tokens.iter().zip(COLLIDING) {
        let key = json!({"N": power_of_two_plus(offset), "e": "65537"});
        let body = json!({"token": token, "public_key": key});
        server.post("/register_new_key", body).await.success();
    }
    let body = json!({"username": "alice", "key_hash": "58f6e49c2f"});
    server.post("/authenticate", body).await.ok();
    let [alice, bob] = tokens;
    let body = json!({"token": bob, "key_hash": "58f6e49c2f"});
    server.post("/delete_key", body.clone()).await.success();
    assert_eq!(
        server.post("/delete_key", body).await.error(),
        (404, "unknown_key")
    );
    let listed = server
        .post("/list_keys", json!({"token": alice}))
        .await
        .ok();
    assert_eq!(listed[1]["key_hash"], "58f6e49c2f");
}

/// Two moduli that were searched for: with the exponent 65537 they share the 10-digit hash.
mod crypto_numbers {
    /// What has to be added to 2^4095.
    pub(super) const COLLIDING: [u64; 2] = [306_515, 1_327_963];

    /// 2^4095 plus `offset` in decimal digits.
    pub(super) fn power_of_two_plus(offset: u64) -> String {
        let mut digits = vec![1_u8];
        for _ in 0..4095 {
            let mut carry = 0;
            for digit in &mut digits {
                let doubled = *digit * 2 + carry;
                (*digit, carry) = (doubled % 10, doubled / 10);
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        let mut carry = offset;
        for digit in &mut digits {
            let sum = u64::from(*digit) + carry;
            (*digit, carry) = (u8::try_from(sum % 10).unwrap(), sum / 10);
        }
        digits
            .iter()
            .rev()
            .map(|digit| char::from(b'0' + digit))
            .collect()
    }
}

#[tokio::test]
async fn a_key_of_one_kind_is_registered_at_a_time() {
    let server = Server::new();
    let token = server.user("alice", 0).await;
    let none = json!({"token": token, "label": "x"});
    let none = server.post("/register_new_key", none).await;
    assert_eq!(none.error(), (400, "missing_field"));
    assert!(none.sentence().contains("field public_key "), "{none:?}");
    let key = json!({"N": keys::device(1).public_key().n_decimal(), "e": "65537"});
    let both = json!({"token": token, "public_key": key, "openpgp_key": "x"});
    let both = server.post("/register_new_key", both).await;
    assert_eq!(both.error(), (400, "invalid_field"));
    let openpgp = json!({"token": token, "openpgp_key": "x"});
    let openpgp = server.post("/register_new_key", openpgp).await;
    assert_eq!(openpgp.error(), (404, "gpgauth_disabled"));
}
