//! A device that has a key of its own: registers, logs in by the challenge, lists its keys.
//!
//!     cargo serve                                                # the server, in one terminal
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example device_login -- ada_phone

use std::{error::Error, path::Path};

use pinyto_core::{
    challenge::{Challenge, DeviceKey},
    crypto::default_backend,
    key::PublicKey,
};
use serde_json::{Value, json};

const SERVER: &str = "http://127.0.0.1:8080";

fn main() -> Result<(), Box<dyn Error>> {
    let user = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "ada_phone".to_owned());
    let file = Path::new("device-key.pem");
    let kept = file.exists();
    let device = if kept {
        DeviceKey::from_pem(default_backend(), &std::fs::read_to_string(file)?)?
    } else {
        DeviceKey::generate(default_backend())?
    };
    let server = pinned_server_key(Path::new("known-server.pem"))?;

    let key = device.public_key();
    let public_key = json!({"N": key.n_decimal(), "e": key.e().to_string()});
    if !kept {
        post(
            "/register",
            &json!({"username": user, "public_key": public_key}),
        )?;
        // Kept once the server knows it. A real client lets nobody else read that file.
        std::fs::write(file, device.to_pkcs8_pem()?.as_bytes())?;
    }

    let login = json!({"username": user, "key_hash": device.key_hash().as_str()});
    let challenge: Challenge = serde_json::from_value(post("/authenticate", &login)?)?;
    // Refuses unless the server's signature is right, so a stranger learns nothing.
    let token = device.answer(&challenge, &server)?;

    println!("{}", post("/list_keys", &json!({"token": token.expose()}))?);
    Ok(())
}

/// Trust on first use: the server's key is asked for once and kept from then on.
fn pinned_server_key(file: &Path) -> Result<PublicKey, Box<dyn Error>> {
    if !file.exists() {
        let answer: Value = ureq::get(format!("{SERVER}/public_key"))
            .call()?
            .body_mut()
            .read_json()?;
        let pem = answer["pem"].as_str().ok_or("the server shows no key")?;
        std::fs::write(file, pem)?;
    }
    Ok(PublicKey::from_pem(&std::fs::read_to_string(file)?)?)
}

/// The answer, or the server's sentence about what is wrong.
fn post(path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
    let mut answer = ureq::post(format!("{SERVER}{path}"))
        .config()
        .http_status_as_error(false)
        .build()
        .send_json(body)?;
    let status = answer.status();
    let body: Value = answer.body_mut().read_json()?;
    if status.is_success() {
        return Ok(body);
    }
    Err(body["error"].as_str().unwrap_or("no reason given").into())
}
