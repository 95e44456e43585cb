//! What services tell code, and note for its author.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    Cloud, Page, Settings,
    assembly::{AssemblySource, CallRequest, DataAccess, Function},
    challenge::ServerKey,
    egress::{Egress, EgressError, EgressRequest, HostPattern},
    id::UserId,
    memory::MemoryStore,
    runtime::{Checked, CodeCall, CodeRuntime, Execution, Service, ServiceError, Services},
    session::Session,
    testing::{
        ManualClock, given,
        rsa::{Counting, Toy},
    },
};
use serde_json::{Value, json};

use crate::support::{World, settings};

/// Takes the code for a JSON list of services with their arguments, calls one after the other,
/// and answers with what each of them told.
struct Asking;

#[async_trait]
impl CodeRuntime for Asking {
    async fn check(&self, _author: UserId, _code: &str) -> Checked {
        Checked::new(Ok(()), Duration::ZERO)
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        let questions: Vec<(String, Value)> = serde_json::from_str(&call.code).unwrap();
        let mut told = Vec::new();
        let mut ended = None;
        for (service, arguments) in questions {
            let service = Service::ALL
                .into_iter()
                .find(|known| format!("{known:?}") == service)
                .unwrap();
            match services.call(service, &arguments.to_string()).await {
                Ok(text) => told.push(serde_json::from_str::<Value>(&text).unwrap()),
                Err(ServiceError::Ended(error)) => {
                    ended = Some(error);
                    break;
                }
                Err(error) => told.push(error.to_string().into()),
            }
        }
        let outcome = ended.map_or_else(|| Ok(Value::from(told).to_string()), Err);
        Execution::new(outcome, Duration::ZERO)
    }
}

/// Remembers what it was asked, and finds nobody at home.
#[derive(Default)]
struct NobodyHome(Mutex<Vec<EgressRequest>>);

#[async_trait]
impl Egress for NobodyHome {
    async fn fetch(&self, request: &EgressRequest) -> Result<String, EgressError> {
        self.0.lock().unwrap().push(request.clone());
        Err(EgressError::Status(404))
    }
}

struct Asked {
    world: World,
    hugo: Session,
    egress: Arc<NobodyHome>,
}

impl Asked {
    async fn new(settings: Settings, with_egress: bool) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
        let (rsa, egress) = (Counting::new(Toy::new()), Arc::new(NobodyHome::default()));
        let mut builder = Cloud::builder(store.clone(), ServerKey::generate(rsa.clone()).unwrap())
            .clock(Arc::new(clock.clone()))
            .settings(settings)
            .runtime(Arc::new(Asking));
        if with_egress {
            builder = builder.egress(egress.clone());
        }
        let cloud = builder.build().unwrap();
        let world = World {
            store,
            clock,
            rsa,
            cloud,
        };
        let hugo = world.session_of_new("hugo").await;
        Self {
            world,
            hugo,
            egress,
        }
    }

    async fn install(&self, source: &AssemblySource) {
        let cloud = &self.world.cloud;
        cloud.save_assembly(&self.hugo, None, source).await.unwrap();
        let assembly = given::assembly_ref(&format!("hugo/{}", source.name()));
        cloud.install_assembly(&self.hugo, &assembly).await.unwrap();
    }

    async fn call(&self, assembly: &str) -> Result<Value, pinyto_core::Error> {
        let ask = given::function_name("ask");
        let assembly = given::assembly_ref(&format!("hugo/{assembly}"));
        let request = CallRequest::empty();
        let cloud = &self.world.cloud;
        let answer = cloud.call_function(&self.hugo, &assembly, &ask, &request);
        Ok(serde_json::from_str(&answer.await?.body).unwrap())
    }

    /// What an assembly that asks this is told.
    async fn told(&self, questions: Value) -> Value {
        self.install(&source("Asks", &questions)).await;
        let told = self.call("Asks").await.unwrap();
        let name = given::assembly_ref("hugo/Asks").name;
        self.world
            .cloud
            .delete_assembly(&self.hugo, &name)
            .await
            .unwrap();
        told
    }

    /// What stands in the log of the last run.
    async fn log(&self) -> String {
        let runs = self
            .world
            .cloud
            .list_runs(&self.hugo, None, Page::first(1))
            .await;
        runs.unwrap()[0].output.text.clone()
    }
}

fn source(name: &str, questions: &Value) -> AssemblySource {
    given::source_with(name, "", &[("ask", &questions.to_string())])
}

fn queue(assembly: &str, job: &str) -> Value {
    json!(["Insert", {"document": {"type": "job", "data": {
        "assembly_user": "hugo", "assembly_name": assembly, "job_name": job,
    }}}])
}

#[tokio::test]
async fn the_hosts_that_an_assembly_names_are_handed_to_egress() {
    let asked = Asked::new(settings(), true).await;
    let fetch = json!([["HttpGet", {"url": "http://a.example/"}]]);
    asked.install(&source("Anywhere", &fetch)).await;
    let narrow = source("Narrow", &fetch);
    let hosts = vec![HostPattern::parse("b.example").unwrap()];
    let narrow = narrow.into_builder().http_hosts(hosts).build();
    asked.install(&narrow.unwrap()).await;
    for assembly in ["Anywhere", "Narrow"] {
        // Whatever goes wrong on the way is an empty text, of which the log tells more.
        assert_eq!(asked.call(assembly).await.unwrap(), json!([""]));
        let log = asked.log().await;
        assert!(log.contains("Http gave an empty text: "), "{log}");
    }
    let requests = asked.egress.0.lock().unwrap();
    assert_eq!(requests[0].allowed_hosts, None);
    let hosts = requests[1].allowed_hosts.as_ref().unwrap();
    assert_eq!(hosts.len(), 1);
    assert!(hosts[0].matches("b.example") && !hosts[0].matches("a.example"));
}

#[tokio::test]
async fn a_server_without_egress_says_so() {
    let asked = Asked::new(settings(), false).await;
    let told = asked.told(json!([["HttpPost", {"url": "http://a.example/", "data": {}}]]));
    assert_eq!(
        told.await,
        json!(["PermissionError: This server fetches nothing from other servers."])
    );
}

#[tokio::test]
async fn an_assembly_queues_its_own_jobs_within_bounds() {
    let mut settings = settings();
    settings.max_queued_jobs = 2;
    let asked = Asked::new(settings, false).await;
    asked
        .install(&given::source_with_jobs("Other", &[("tidy", "pass", 5)]))
        .await;
    let told = asked.told(json!([queue("Other", "tidy")])).await;
    assert_eq!(
        told,
        json!(["PermissionError: An assembly with only_own_data can queue its own jobs only."])
    );
    let questions = json!([
        queue("Other", "tidy"),
        queue("Other", "nothing"),
        queue("Other", "tidy"),
        queue("Other", "tidy"),
    ]);
    let ask = Function::new(given::function_name("ask"), questions.to_string());
    let name = given::assembly_name("Wide");
    let wide = AssemblySource::builder(name).functions([ask]);
    let wide = wide.access(DataAccess::All).build();
    asked.install(&wide.unwrap()).await;
    let told = asked.call("Wide").await.unwrap();
    assert!(told[0].as_str().is_some_and(|id| id.len() == 24), "{told}");
    assert_eq!(
        told[1],
        "LookupError: There is no such job in an assembly that the user has installed."
    );
    assert_eq!(
        told[3],
        "RuntimeError: At most 2 runs of jobs may be queued."
    );
}

#[tokio::test]
async fn arguments_have_bounds() {
    let mut settings = settings();
    settings.code_limits.service_bytes = 10_000;
    let asked = Asked::new(settings, true).await;
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let form = json!({"x".repeat(1000): vec![0; 100]});
    let told = asked.told(json!([
        ["Insert", {"document": {"data": deep}}],
        ["HttpPost", {"url": "http://a.example/", "data": form}],
    ]));
    let told = told.await;
    assert!(told[0].to_string().contains("nested too deeply"), "{told}");
    // Each of the values would repeat the name.
    assert_eq!(told[1], "ValueError: The form has more than 10000 bytes.");
    assert!(asked.egress.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn full_storage_is_told_to_code() {
    let mut settings = settings();
    settings.quotas.bytes = Some(300);
    let asked = Asked::new(settings, false).await;
    let insert = json!(["Insert", {"document": {"text": "x".repeat(100)}}]);
    let told = asked.told(json!([insert, insert, insert])).await;
    assert!(told[0].as_str().is_some_and(|id| id.len() == 24), "{told}");
    assert_eq!(
        told[2],
        "RuntimeError: The user may store at most 300 bytes."
    );
}

#[tokio::test]
async fn a_query_that_is_given_up_tells_why_and_which_index_would_help() {
    let mut settings = settings();
    settings.query_limits.examined = 2;
    settings.code_limits.service_bytes = 400;
    let asked = Asked::new(settings, false).await;
    let insert = json!(["Insert", {"document": {"data": {"n": 1}, "text": "x".repeat(100)}}]);
    let told = asked
        .told(json!([
            insert, insert, insert, insert,
            ["Count", {"query": {"data.n": 2}}],
            ["Find", {"query": {}, "limit": 1}],
        ]))
        .await;
    assert_eq!(
        told[4],
        "RuntimeError: The query was given up: it had to look at more than 2 documents. An index \
         on data.n would help: add it to the assembly's indexes."
    );
    assert_eq!(told[5].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(
        asked.log().await,
        "[pinyto] A query was given up after it had looked at 2 documents. An index on data.n \
         would help: add it to the assembly's indexes.\n"
    );

    let mut settings = crate::support::settings();
    settings.code_limits.service_bytes = 400;
    let asked = Asked::new(settings, false).await;
    let told = asked
        .told(json!([insert, insert, insert, ["Find", {"query": {}}]]))
        .await;
    assert_eq!(
        told[3],
        "RuntimeError: The query was given up: the documents found have more than 400 bytes. Use \
         limit and skip."
    );
}

#[tokio::test]
async fn what_the_store_works_for_one_call_is_bounded_and_booked() {
    let mut settings = settings();
    settings.query_limits.all_together = Duration::from_micros(450);
    let asked = Asked::new(settings, false).await;
    let insert = json!(["Insert", {"document": {}}]);
    asked
        .install(&source(
            "Asks",
            &json!([insert, insert, insert, insert, insert, insert]),
        ))
        .await;
    let error = asked.call("Asks").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "The code was stopped: the database worked for it for more than 0.00045 s."
    );
    let runs = asked
        .world
        .cloud
        .list_runs(&asked.hugo, None, Page::first(1))
        .await;
    let run = &runs.unwrap()[0];
    // As much as a change beyond the limit.
    assert!(run.cpu_time >= Duration::from_micros(450), "{run:?}");
    assert!(run.cpu_time <= Duration::from_micros(700), "{run:?}");
}
