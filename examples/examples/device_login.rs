//! A device that has a key of its own: registers, logs in by the challenge, lists its keys.
//!
//!     cargo serve                                                # the server, in one terminal
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example device_login -- ada_phone

use std::{error::Error, fs, path::Path};

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
    println!("{}", list_keys(SERVER, &user, Path::new("."))?);
    Ok(())
}

/// Logs in with the device's key, which is in the folder, and has the server list the user's.
fn list_keys(url: &str, user: &str, folder: &Path) -> Result<Value, Box<dyn Error>> {
    let file = folder.join("device-key.pem");
    let kept = file.exists();
    let device = if kept {
        DeviceKey::from_pem(default_backend(), &fs::read_to_string(&file)?)?
    } else {
        DeviceKey::generate(default_backend())?
    };
    let server = pinned_server_key(url, &folder.join("known-server.pem"))?;

    let key = device.public_key();
    let public_key = json!({"N": key.n_decimal(), "e": key.e().to_string()});
    if !kept {
        let registration = json!({"username": user, "public_key": public_key});
        post(&format!("{url}/register"), &registration)?;
        // Kept once the server knows it. A real client lets nobody else read that file.
        fs::write(file, device.to_pkcs8_pem()?.as_bytes())?;
    }

    let login = json!({"username": user, "key_hash": device.key_hash().as_str()});
    let challenge = post(&format!("{url}/authenticate"), &login)?;
    let challenge: Challenge = serde_json::from_value(challenge)?;
    // Refuses unless the server's signature is right, so a stranger learns nothing.
    let token = device.answer(&challenge, &server)?;

    let request = json!({"token": token.expose()});
    post(&format!("{url}/list_keys"), &request)
}

/// Trust on first use: the server's key is asked for once and kept from then on.
fn pinned_server_key(url: &str, file: &Path) -> Result<PublicKey, Box<dyn Error>> {
    if !file.exists() {
        let answer: Value = ureq::get(format!("{url}/public_key"))
            .call()?
            .body_mut()
            .read_json()?;
        let pem = answer["pem"].as_str().ok_or("the server shows no key")?;
        fs::write(file, pem)?;
    }
    Ok(PublicKey::from_pem(&fs::read_to_string(file)?)?)
}

/// The answer, or the server's sentence about what is wrong.
fn post(url: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
    let mut answer = ureq::post(url)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pinyto_core::{Cloud, memory::MemoryStore, testing::keys};
    use pinyto_http::{Api, routes};
    use tokio::{net::TcpListener, task::spawn_blocking};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_device_registers_once_and_answers_only_the_server_that_it_knows() {
        let store = Arc::new(MemoryStore::new());
        let cloud = Cloud::builder(store, keys::server()).build().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = warp::serve(routes::all(Api::new(cloud))).incoming(listener);
        let serving = tokio::spawn(server.run());
        let asking = spawn_blocking(move || {
            let (phone, laptop) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let list = |folder: &Path| list_keys(&url, "ada", folder);
            let first = list(phone.path()).unwrap();
            let again = list(phone.path()).unwrap();
            assert_eq!(again.as_array().map(Vec::len), Some(1));
            assert_eq!(first[0]["key_hash"], again[0]["key_hash"]);
            // Another device of that name is another's.
            let taken = list(laptop.path()).unwrap_err().to_string();
            assert!(taken.contains("taken"), "{taken}");

            let other = keys::device(0).public_key().to_pem();
            fs::write(phone.path().join("known-server.pem"), other).unwrap();
            assert!(list(phone.path()).is_err());
        });
        asking.await.unwrap();
        serving.abort();
    }
}
