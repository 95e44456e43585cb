//! How often the code of one call may send something to other servers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pinyto_core::{
    Cloud,
    assembly::CallRequest,
    challenge::ServerKey,
    egress::{Egress, EgressError, EgressRequest},
    id::{AssemblyId, UserId},
    memory::MemoryStore,
    runtime::{Checked, CodeCall, CodeRuntime, Execution, Service, ServiceError, Services},
    testing::{
        ManualClock, given,
        rsa::{Counting, Toy},
    },
};
use serde_json::{Value, json};

use crate::support::{World, settings};

/// Follows as many redirects as the URL says, if there may be so many.
#[derive(Default)]
struct Redirected(Mutex<Vec<UserId>>);

#[async_trait]
impl Egress for Redirected {
    async fn fetch(&self, request: &EgressRequest) -> Result<String, EgressError> {
        self.0.lock().unwrap().push(request.user);
        let redirects: usize = request.url.parse().unwrap();
        for _ in 0..redirects {
            request.requests.take()?;
        }
        Ok(format!("after {redirects}"))
    }
}

/// Fetches each word of the code and gives what came of it.
#[derive(Default)]
struct Fetching(Mutex<Vec<(UserId, AssemblyId)>>);

#[async_trait]
impl CodeRuntime for Fetching {
    async fn check(&self, _author: UserId, _code: &str) -> Checked {
        Checked::new(Ok(()), Duration::ZERO)
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        self.0.lock().unwrap().push((call.user, call.assembly));
        let mut fetched = Vec::<Value>::new();
        for url in call.code.split(' ') {
            let arguments = json!({"url": url}).to_string();
            fetched.push(match services.call(Service::HttpGet, &arguments).await {
                Ok(text) => serde_json::from_str(&text).unwrap(),
                Err(ServiceError::Raised { exception, message }) => {
                    format!("{}: {message}", exception.name()).into()
                }
                Err(other) => other.to_string().into(),
            });
        }
        Execution::new(Ok(Value::from(fetched).to_string()), Duration::ZERO)
    }
}

#[tokio::test]
async fn every_request_of_a_call_counts_redirects_included() {
    let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::default());
    let rsa = Counting::new(Toy::new());
    let (egress, runtime) = (
        Arc::new(Redirected::default()),
        Arc::new(Fetching::default()),
    );
    let mut settings = settings();
    settings.http_requests = 5;
    let cloud = Cloud::builder(store.clone(), ServerKey::generate(rsa.clone()).unwrap())
        .clock(Arc::new(clock.clone()))
        .settings(settings)
        .runtime(runtime.clone())
        .egress(egress.clone())
        .build()
        .unwrap();
    let world = World {
        store,
        clock,
        rsa,
        cloud,
    };
    let hugo = world.session_of_new("hugo").await;
    let functions = [
        ("plain", "0 0 0 0 0 0 0"),
        ("redirected", "3 0 0"),
        ("within", "9 0"),
    ];
    for name in ["Notes", "Papers"] {
        let source = given::source_with(name, "", &functions);
        world
            .cloud
            .save_assembly(&hugo, None, &source)
            .await
            .unwrap();
        let assembly = given::assembly_ref(&format!("hugo/{name}"));
        world
            .cloud
            .install_assembly(&hugo, &assembly)
            .await
            .unwrap();
    }
    let call = async |assembly: &str, function: &str| {
        let (assembly, function) = (
            given::assembly_ref(assembly),
            given::function_name(function),
        );
        let request = CallRequest::empty();
        let answer = world
            .cloud
            .call_function(&hugo, &assembly, &function, &request);
        serde_json::from_str::<Value>(&answer.await.unwrap().body).unwrap()
    };
    let spent = "RuntimeError: One call may send 5 requests by Http, redirects included.";
    assert_eq!(
        call("hugo/Notes", "plain").await,
        json!([
            "after 0", "after 0", "after 0", "after 0", "after 0", spent, spent
        ])
    );
    assert_eq!(
        egress.0.lock().unwrap().len(),
        5,
        "the others never went out"
    );
    assert_eq!(
        call("hugo/Notes", "redirected").await,
        json!(["after 3", "after 0", spent])
    );
    assert_eq!(call("hugo/Papers", "within").await, json!([spent, spent]));

    // Who it was for, and whose code it was, is told.
    assert!(
        egress
            .0
            .lock()
            .unwrap()
            .iter()
            .all(|user| *user == hugo.user.id)
    );
    let calls = runtime.0.lock().unwrap();
    assert!(calls.iter().all(|(user, _)| *user == hugo.user.id));
    assert_eq!(calls[0].1, calls[1].1);
    assert_ne!(calls[1].1, calls[2].1);
}
