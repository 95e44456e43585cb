//! For the tests of programs that have Pinyto under `/pinyto` and a route `/hello` of their own.

use pinyto_core::{
    Cloud, challenge::DeviceKey, crypto::default_backend, key::KeyHash, user::UserName,
};
use serde_json::{Value, json};

/// Ada's key hash and request token.
pub(crate) async fn logged_in(cloud: &Cloud) -> (KeyHash, String) {
    let device = DeviceKey::generate(default_backend()).unwrap();
    let ada = UserName::parse("ada").unwrap();
    let key = device.public_key().clone();
    cloud.register(ada.clone(), key).await.unwrap();
    let challenge = cloud.authenticate(&ada, &device.key_hash()).await.unwrap();
    let token = device.answer(&challenge, cloud.server_public_key());
    (device.key_hash(), token.unwrap().expose().to_owned())
}

/// Asks both for Ada.
pub(crate) fn both_know(server: &str, key_hash: &KeyHash, token: &str) {
    let (status, hello) = get(&format!("{server}/hello"), &format!("Bearer {token}"));
    assert_eq!((status, hello.lines().next()), (200, Some("Hello ada!")));
    let (status, refused) = get(&format!("{server}/hello"), "Bearer none");
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((status, &refused["code"]), (401, &json!("unknown_token")));
    assert_eq!(get(&format!("{server}/list_keys"), "").0, 404);
    assert_eq!(get(&format!("{server}/pinyto/list_keys"), "").0, 405);

    let keys = ureq::post(format!("{server}/pinyto/list_keys"));
    let mut keys = keys.send_json(json!({"token": token})).unwrap();
    let keys: Value = keys.body_mut().read_json().unwrap();
    assert_eq!(keys[0]["key_hash"], key_hash.as_str());
}

pub(crate) fn get(url: &str, authorization: &str) -> (u16, String) {
    let request = ureq::get(url).header("authorization", authorization);
    let request = request.config().http_status_as_error(false).build();
    let mut answer = request.call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}
