//! Whole requests to servers whose data is in PostgreSQL: how often each waits for the database, and
//! what of one server's doing is in force on another.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    Cloud, Settings,
    challenge::{Challenge, DeviceKey},
    keyserver::HashCost,
    testing::{ScriptedRuntime, executed, keys},
};
use pinyto_http::{Api, routes};
use pinyto_postgres_cluster::{Database, RoundTrips, database_if_any};
use pinyto_store::postgres::PostgresStore;
use serde_json::{Value, json};
use warp::{filters::BoxedFilter, reply::Response};

/// A server within this process.
struct Server {
    cloud: Cloud,
    routes: BoxedFilter<(Response,)>,
}

impl Server {
    async fn on(url: &str) -> Self {
        let store = Arc::new(PostgresStore::open(url).await.unwrap());
        let mut settings = Settings::default();
        settings.throttle.enabled = false;
        settings.hash_cost = HashCost::new(64, 1);
        let runtime = ScriptedRuntime::default().on("f", |_| executed(Ok("1".to_owned())));
        let cloud = Cloud::builder(store, keys::server())
            .settings(settings)
            .runtime(Arc::new(runtime))
            .build()
            .unwrap();
        let routes = routes::all(Api::new(cloud.clone()));
        Self { cloud, routes }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = warp::test::request().method("POST").path(path);
        let answer = request.body(body.to_string()).reply(&self.routes).await;
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(answer.body()).unwrap())
    }

    async fn expect(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn register(&self, user: &str, device: &DeviceKey) {
        let body = json!({"username": user, "public_key": numbers(device)});
        self.expect("/register", &body).await;
    }

    async fn log_in(&self, user: &str, device: &DeviceKey) -> String {
        let body = json!({"username": user, "key_hash": device.key_hash().as_str()});
        let challenge = self.expect("/authenticate", &body).await;
        let challenge: Challenge = serde_json::from_value(challenge).unwrap();
        let server_key = self.cloud.server_public_key();
        let token = device.answer(&challenge, server_key).unwrap();
        token.expose().to_owned()
    }

    /// Whether the token opens anything: to read and to write.
    async fn knows(&self, token: &str) -> bool {
        let read = self.post("/list_keys", &json!({"token": token})).await.0;
        let new = json!({"token": token, "type": "t", "data": 1});
        let wrote = self.post("/alice/Code/store", &new).await.0;
        let called = self.post("/alice/Code/f", &json!({"token": token})).await.0;
        match [read, wrote, called] {
            [200, 200, 200] => true,
            [401, 401, 401] => false,
            others => panic!("{others:?}"),
        }
    }
}

fn numbers(device: &DeviceKey) -> Value {
    let key = device.public_key();
    json!({"N": key.n_decimal(), "e": key.e().to_string()})
}

/// Alice, who has written and installed `alice/Code` with the function `f`.
async fn alice(server: &Server) -> String {
    let device = keys::device(0);
    server.register("alice", &device).await;
    let token = server.log_in("alice", &device).await;
    let functions = json!([{"name": "f", "code": "f"}]);
    let data = json!({"name": "Code", "description": "", "api_functions": functions});
    let save = json!({"token": token, "original_name": "Code", "data": data});
    server.expect("/save_assembly", &save).await;
    let install = json!({"token": token, "author": "alice", "name": "Code"});
    server.expect("/install_assembly", &install).await;
    token
}

#[tokio::test]
async fn a_request_that_reads_waits_once_for_the_database_and_one_that_stores_twice() {
    let Some(database) = database_if_any().await else {
        return;
    };
    let Some(counter) = RoundTrips::counted(database.url()) else {
        return;
    };
    let server = Server::on(counter.url()).await;
    let token = alice(&server).await;
    let with = |more: Value| {
        let mut body = json!({"token": token});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    server.expect("/alice/Code/f", &with(json!({}))).await;
    let runs = server.expect("/list_runs", &with(json!({}))).await;
    let run = runs[0]["id"].clone();
    let code = json!({"author": "alice", "name": "Code"});
    let requests = [
        ("/list_keys", json!({}), 1),
        ("/whoami", json!({}), 1),
        ("/ticket", json!({"audience": "photos"}), 1),
        ("/statistics", json!({}), 1),
        ("/list_own_assemblies", json!({}), 1),
        ("/list_all_assemblies", json!({"skip": 0, "count": 9}), 1),
        ("/list_installed_assemblies", json!({}), 1),
        ("/get_assembly_source", code.clone(), 1),
        ("/list_jobs", json!({}), 1),
        ("/list_runs", json!({}), 1),
        ("/list_runs", code, 1),
        ("/get_run", json!({"id": run}), 1),
        ("/list_assembly_runs", json!({"name": "Code"}), 1),
        // The session and the function; what the code asks for comes on top.
        ("/alice/Code/f", json!({}), 1),
        ("/alice/Code/store", json!({"type": "t", "data": [1]}), 2),
    ];
    for (path, more, expected) in requests {
        let body = with(more);
        let mut counts = Vec::new();
        // Statements are prepared once per connection, and the task that keeps indexes may be
        // asking at the same time.
        for _ in 0..6 {
            counts.push(counter.of(server.expect(path, &body)).await);
            // What has run is written by itself.
            server.cloud.flush_runs().await.unwrap();
        }
        assert_eq!(counts.iter().min(), Some(&expected), "{path}: {counts:?}");
    }
}

/// Two servers with the same key on one database. The guard goes last.
async fn two_servers() -> Option<(Server, Server, Database)> {
    let database = database_if_any().await?;
    let one = Server::on(database.url()).await;
    let other = Server::on(database.url()).await;
    Some((one, other, database))
}

#[tokio::test]
async fn a_logout_on_one_server_is_in_force_on_the_other_at_the_next_request() {
    let Some((one, other, _database)) = two_servers().await else {
        return;
    };
    let token = alice(&one).await;
    for _ in 0..2 {
        // The second time its text is remembered.
        assert!(other.knows(&token).await);
    }
    one.expect("/logout", &json!({"token": token})).await;
    assert!(!other.knows(&token).await);
    assert!(!one.knows(&token).await);
}

#[tokio::test]
async fn a_key_deactivated_or_deleted_on_one_server_opens_nothing_on_the_other() {
    let Some((one, other, _database)) = two_servers().await else {
        return;
    };
    let token = alice(&one).await;
    let (phone, hash) = (keys::device(1), keys::device(1).key_hash());
    let change = json!({"token": token, "public_key": numbers(&phone)});
    one.expect("/register_new_key", &change).await;
    let stolen = other.log_in("alice", &phone).await;
    assert!(other.knows(&stolen).await && other.knows(&stolen).await);
    let state = |active| json!({"token": token, "key_hash": hash.as_str(), "active_state": active});
    one.expect("/set_key_active", &state(false)).await;
    assert!(!other.knows(&stolen).await);
    let log_in = json!({"username": "alice", "key_hash": hash.as_str()});
    assert_eq!(other.post("/authenticate", &log_in).await.0, 401);
    // It comes back without its session.
    one.expect("/set_key_active", &state(true)).await;
    assert!(!other.knows(&stolen).await);
    let stolen = other.log_in("alice", &phone).await;
    assert!(other.knows(&stolen).await);
    let delete = json!({"token": token, "key_hash": hash.as_str()});
    one.expect("/delete_key", &delete).await;
    assert!(!other.knows(&stolen).await);
    assert!(other.knows(&token).await);
}

#[tokio::test]
async fn a_login_on_one_server_ends_the_keys_former_session_on_the_other() {
    let Some((one, other, _database)) = two_servers().await else {
        return;
    };
    let former = alice(&one).await;
    assert!(other.knows(&former).await && other.knows(&former).await);
    let next = one.log_in("alice", &keys::device(0)).await;
    assert!(!other.knows(&former).await);
    assert!(other.knows(&next).await);
}

#[tokio::test]
async fn a_password_changed_on_one_server_is_the_only_one_on_the_other() {
    let Some((one, other, _database)) = two_servers().await else {
        return;
    };
    let account = |password: &str| json!({"username": "bob", "password": password});
    let former = account("correct horse battery");
    one.expect("/keyserver/register", &former).await;
    let token = other.expect("/keyserver/authenticate", &former).await;
    let token = token["token"].as_str().unwrap().to_owned();
    let list = json!({"token": token});
    other.expect("/list_keys", &list).await;
    let change = json!({"token": token, "password": "another horse altogether"});
    one.expect("/keyserver/change_password", &change).await;
    let (status, _) = other.post("/keyserver/authenticate", &former).await;
    assert_eq!(status, 403);
    // The session that asked for it lives on, with the new key.
    let listed = other.expect("/list_keys", &list).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let new = account("another horse altogether");
    other.expect("/keyserver/authenticate", &new).await;
    assert_eq!(other.post("/list_keys", &list).await.0, 401);
}

/// Measures, asserts nothing: what asking the database for the session costs a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten seconds and asserts nothing"]
#[allow(clippy::print_stdout, reason = "a measurement")]
async fn what_the_look_up_of_a_session_costs() {
    let Some(database) = database_if_any().await else {
        return;
    };
    let store = Arc::new(PostgresStore::open(database.url()).await.unwrap());
    use pinyto_core::{store::Store as _, testing::given};
    let ann = given::account(store.as_ref(), "ann", 1).await.user;
    let key = given::first_key(store.as_ref(), &ann).await;
    let session = given::session(store.as_ref(), &ann, key, 1).await.id;
    macro_rules! time {
        ($name:literal, $call:expr) => {
            let mut times = Vec::new();
            for _ in 0..4000 {
                let begun = std::time::Instant::now();
                $call;
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            let (half, most) = (times[2000], times[3960]);
            println!("{}: {half:?}, 99 %: {most:?}", $name);
        };
    }
    for _ in 0..2 {
        time!("keys alone", store.keys().list(ann.id).await.unwrap());
        time!(
            "session alone",
            store.sessions().find(session).await.unwrap()
        );
        time!("session, then keys", {
            store.sessions().find(session).await.unwrap();
            store.keys().list(ann.id).await.unwrap()
        });
        time!(
            "both in one statement",
            store.reads().list_keys(session).await.unwrap()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
