//! Logins with an OpenPGP key, by one client.

use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use pinyto_core::{
    clock::{Clock as _, SystemClock},
    gpgauth::{OpenPgp as _, RPgp},
};
use serde_json::{Value, json};

use crate::{
    client::Connection,
    process::Process,
    scenarios::{log_in, millis, register},
};

const NONCE: &str = "gpgauthv1.3.0|36|de305d54-75b4-431b-adb2-eb6b9e546014|gpgauthv1.3.0";

/// Logs in, all three stages, one login after the other.
pub(crate) async fn run(server: &Process, duration: Duration) {
    let now = SystemClock.now();
    let ada = RPgp::generate("Ada <ada@example.org>", now).unwrap();
    register(server, "gpgauth").await;
    let token = log_in(server, "gpgauth").await;
    let mut connection = Connection::open(server.address).await;
    let key = json!({"token": token, "openpgp_key": ada.public_key()});
    let registered = connection.post_json("/register_new_key", &key).await;
    let challenge = registered["challenge"].as_str().unwrap();
    let answer = String::from_utf8(ada.decrypt(challenge).unwrap().to_vec()).unwrap();
    let proof = json!({"token": token, "key_hash": ada.fingerprint().to_hex(), "answer": answer});
    connection.post_json("/prove_openpgp_key", &proof).await;
    let shown = connection.get_json("/auth/verify.json").await;
    let shown = shown["body"]["keydata"].as_str().unwrap().to_owned();
    let server_key = ada.read_key(&shown, now).unwrap();

    let keyid = ada.fingerprint().to_hex();
    let say = |more: Value| {
        let mut fields = json!({"keyid": keyid});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"gpg_auth": fields})
    };
    let (mut stages, begin) = ([(); 3].map(|()| Vec::new()), Instant::now());
    let cpu = server.cpu_time();
    while begin.elapsed() < duration {
        let message = ada.encrypt(&server_key, NONCE, now).unwrap();
        let body = say(json!({"server_verify_token": message}));
        let sent = Instant::now();
        let (header, _) = connection
            .post_for_header("/auth/verify.json", &body, "x-gpgauth-verify-response")
            .await;
        stages[0].push(sent.elapsed());
        assert_eq!(header.as_deref(), Some(NONCE));

        let body = say(json!({}));
        let sent = Instant::now();
        let (header, _) = connection
            .post_for_header("/auth/login.json", &body, "x-gpgauth-user-auth-token")
            .await;
        stages[1].push(sent.elapsed());
        let message = header.unwrap().replace('+', " ");
        let message = percent_decode_str(&message).decode_utf8().unwrap();
        let nonce = ada.decrypt(&message.replace('\\', "")).unwrap();

        let body = say(json!({"user_token_result": str::from_utf8(&nonce).unwrap()}));
        let sent = Instant::now();
        let (_, answer) = connection
            .post_for_header("/auth/login.json", &body, "x-gpgauth-refer")
            .await;
        stages[2].push(sent.elapsed());
        assert!(answer["body"]["token"].is_string(), "{answer}");
    }
    let logins = u32::try_from(stages[0].len()).unwrap();
    let cpu = (server.cpu_time() - cpu) / logins;
    println!(
        "gpgAuth, 1 connection: {logins} logins, {:.2} ms CPU each",
        millis(cpu)
    );
    for (stage, times) in stages.iter_mut().enumerate() {
        times.sort_unstable();
        println!(
            "  stage {stage}: p50 {:.2} ms, p99 {:.2} ms",
            millis(times[times.len() / 2]),
            millis(times[(times.len() - 1) * 99 / 100]),
        );
    }
}
