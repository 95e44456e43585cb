//! The same requests with SQLite, with PostgreSQL, and with two servers on one PostgreSQL.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use pinyto_postgres_cluster::Instance;
use serde_json::json;

use crate::{
    client::{Connection, Load, spread},
    process::{Process, family_cpu_time, own_cpu_time},
    scenarios::{log_in, millis, register},
    wire::Wire,
};

/// Users who store at the same time: each user's changes come one after the other.
const USERS: usize = 16;

/// Users who call functions at the same time.
const CALLERS: usize = 4;

/// A server counts as saturated with the processors when they were this busy.
const BUSY: f64 = 0.9;

pub(crate) async fn run(duration: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Process::pinyto(folder.path(), 0);
    println!("SQLite, one server");
    Deployment::new(vec![&sqlite], None)
        .await
        .measure(duration)
        .await;
    drop(sqlite);
    let Some(postgres) = Instance::start().await else {
        return;
    };
    let url = postgres.url("postgres");
    let first = Process::pinyto_on(folder.path(), 0, Some(&url));
    println!("PostgreSQL, one server");
    Deployment::new(vec![&first], Some(&postgres))
        .await
        .measure(duration)
        .await;
    let second = Process::pinyto_on(folder.path(), 0, Some(&url));
    println!("PostgreSQL, two servers");
    let both = Deployment::of_known(vec![&first, &second], Some(&postgres)).await;
    both.measure(duration).await;
    drop((first, second));

    let wire = Wire::start(postgres.address()).await;
    let url = format!("postgres://pinyto@{}/postgres", wire.address);
    let counted = Process::pinyto_on(folder.path(), 0, Some(&url));
    let deployment = Deployment::of_known(vec![&counted], Some(&postgres)).await;
    println!("statements and round trips of one request");
    deployment.count(&wire).await;
}

struct Deployment<'a> {
    servers: Vec<&'a Process>,
    postgres: Option<&'a Instance>,
    tokens: Vec<String>,
}

fn user(number: usize) -> String {
    format!("user{number}")
}

impl<'a> Deployment<'a> {
    /// With an empty database.
    async fn new(servers: Vec<&'a Process>, postgres: Option<&'a Instance>) -> Self {
        for number in 0..USERS {
            register(servers[0], &user(number)).await;
        }
        let deployment = Self::of_known(servers, postgres).await;
        let mut connection = Connection::open(deployment.servers[0].address).await;
        let token = &deployment.tokens[0];
        let functions = [
            json!({"name": "empty", "code": "return {}"}),
            json!({"name": "find", "code": "return {'result': db.find({'type': 'book'}, limit=20)}"}),
        ];
        let data = json!({"name": "Bench", "description": "", "api_functions": functions});
        let save = json!({"token": token, "original_name": "", "data": data});
        connection.post_json("/save_assembly", &save).await;
        for token in &deployment.tokens {
            let bench = json!({"token": token, "author": user(0), "name": "Bench"});
            connection.post_json("/install_assembly", &bench).await;
            for number in 0..20 {
                let data = json!({"number": number, "text": "x".repeat(300)});
                let book = json!({"token": token, "type": "book", "data": data});
                connection.post_json("/user0/Bench/store", &book).await;
            }
        }
        deployment
    }

    /// Everybody is there already.
    async fn of_known(servers: Vec<&'a Process>, postgres: Option<&'a Instance>) -> Self {
        let mut tokens = Vec::new();
        for number in 0..USERS {
            tokens.push(log_in(servers[0], &user(number)).await);
        }
        Self {
            servers,
            postgres,
            tokens,
        }
    }

    fn requests(&self) -> [Scenario; 5] {
        let empty = |token: &String| Bytes::from(json!({"token": token}).to_string());
        let document = |token: &String| {
            let data = "x".repeat(240);
            Bytes::from(json!({"token": token, "type": "t", "data": data}).to_string())
        };
        let everybody: Vec<Bytes> = self.tokens.iter().map(empty).collect();
        let documents: Vec<Bytes> = self.tokens.iter().map(document).collect();
        // A server doesn't keep more users' workers than it needs at once.
        let some = everybody[..CALLERS].to_vec();
        let scenario = |name, connections, path, bodies| Scenario {
            name,
            connections,
            path,
            bodies,
        };
        [
            scenario("list_keys", 16, "/list_keys", everybody),
            scenario(
                "store, one user",
                64,
                "/user0/Bench/store",
                documents[..1].to_vec(),
            ),
            scenario("store, 16 users", 64, "/user0/Bench/store", documents),
            scenario("empty function", 16, "/user0/Bench/empty", some.clone()),
            scenario("find of 20 documents", 16, "/user0/Bench/find", some),
        ]
    }

    async fn measure(&self, duration: Duration) {
        let addresses: Vec<SocketAddr> = self.servers.iter().map(|server| server.address).collect();
        for Scenario {
            name,
            connections,
            path,
            bodies,
        } in self.requests()
        {
            let warm_up = Duration::from_millis(500);
            spread(&addresses, connections, warm_up, path, &bodies).await;
            let before = self.cpu_times();
            let load = spread(&addresses, connections, duration, path, &bodies).await;
            let used = self.cpu_times();
            let used = [0, 1, 2].map(|part| used[part] - before[part]);
            tell(&format!("{name}, {connections} connections"), &load, used);
        }
    }

    /// Of the servers with their workers, of PostgreSQL, and of this program.
    fn cpu_times(&self) -> [Duration; 3] {
        let servers = self
            .servers
            .iter()
            .map(|server| server.family_cpu_time())
            .sum();
        let postgres = self
            .postgres
            .map(|it| family_cpu_time(&it.process_id().to_string()));
        [servers, postgres.unwrap_or_default(), own_cpu_time()]
    }

    async fn count(&self, wire: &Wire) {
        let mut connection = Connection::open(self.servers[0].address).await;
        for Scenario {
            name, path, bodies, ..
        } in self.requests()
        {
            // All connections have prepared their statements afterwards.
            for _ in 0..100 {
                connection.post(path, bodies[0].clone()).await;
            }
            let before = wire.counted();
            let requests = 200;
            for _ in 0..requests {
                connection.post(path, bodies[0].clone()).await;
            }
            let after = wire.counted();
            let [statements, round_trips] =
                [0, 1].map(|part| (after[part] - before[part]) as f64 / f64::from(requests));
            println!("  {name}: {statements:.2} statements, {round_trips:.2} round trips");
        }
    }
}

struct Scenario {
    name: &'static str,
    connections: usize,
    path: &'static str,
    /// One for each user.
    bodies: Vec<Bytes>,
}

fn tell(name: &str, load: &Load, used: [Duration; 3]) {
    let [servers, postgres, own] = used;
    let each = |time: Duration| millis(time.div_f64(load.requests as f64));
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    let busy = (servers + postgres + own).as_secs_f64() / load.elapsed.as_secs_f64() / cores;
    let saturated = if busy >= BUSY { ": saturated" } else { "" };
    println!(
        "  {name}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms; CPU each: servers {:.3} ms, PostgreSQL {:.3} ms, \
        this client {:.3} ms; processors {:.0} % busy with it{saturated}",
        load.per_second(),
        millis(load.percentile(50)),
        millis(load.percentile(99)),
        each(servers),
        each(postgres),
        each(own),
        busy * 100.0,
    );
}
