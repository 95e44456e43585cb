//! Servers with users, in a line.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use pinyto_core::testing::keys;
use serde_json::{Value, json};

use crate::running_server::{Client, RunningServer};

/// A server and the token of a user who has logged in with a password.
pub(crate) async fn logged_in(
    folder: &Path,
    arguments: &[&str],
) -> (RunningServer, Client, String) {
    let server = RunningServer::start_with_fixed_key(folder, arguments);
    let mut client = server.client().await;
    let account = json!({"username": "ada", "password": "correct horse"});
    client.expect("/keyserver/register", account.clone()).await;
    let answer = client.expect("/keyserver/authenticate", account).await;
    let token = answer["token"].as_str().unwrap().to_owned();
    (server, client, token)
}

pub(crate) async fn install(client: &mut Client, token: &str, author: &str, name: &str) {
    let request = json!({"token": token, "author": author, "name": name});
    client.expect("/install_assembly", request).await;
}

/// Asks until the answer is as wanted.
pub(crate) async fn wait_for(
    client: &mut Client,
    path: &str,
    request: impl Fn() -> Value,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.expect(path, request()).await;
        if is_wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The token of a new user with one of the test keys.
pub(crate) async fn with_device(client: &mut Client, name: &str, device: usize) -> String {
    let device = keys::device(device);
    client.register(name, device.public_key()).await;
    let server = keys::server();
    client.log_in(name, &device, server.public_key()).await
}

/// Saves an assembly with these functions and installs it for its author.
pub(crate) async fn with_functions(
    client: &mut Client,
    token: &str,
    author: &str,
    name: &str,
    functions: &[(&str, &str)],
) {
    let functions = functions
        .iter()
        .map(|(name, code)| json!({"name": name, "code": code}));
    let functions: Vec<Value> = functions.collect();
    let data = json!({"name": name, "description": "", "api_functions": functions, "jobs": []});
    let request = json!({"token": token, "original_name": name, "data": data});
    client.expect("/save_assembly", request).await;
    install(client, token, author, name).await;
}
