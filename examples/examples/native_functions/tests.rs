//! The program's tests, over HTTP where a user would notice.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use pinyto_core::{
    store::Store as _,
    testing::{given, keys},
};
use pinyto_http::{Api, routes};
use tokio::{net::TcpListener, runtime::Runtime, task::spawn_blocking};

use super::{runtime::clock, *};

/// Makes a test of each function.
macro_rules! trials {
    ($($case:ident)*) => {
        vec![$(Trial::test(stringify!($case), || {
            Runtime::new()?.block_on($case());
            Ok(())
        })),*]
    };
}

pub(crate) fn run() -> ExitCode {
    let trials = trials! {
        functions_in_both_languages_answer_over_http
        a_native_function_sees_its_users_documents_only
        nothing_that_an_author_writes_is_native
        nobody_may_be_able_to_log_in_as_the_author
        a_user_is_booked_what_a_function_computes_and_not_what_it_waits
        a_panic_is_an_error_of_that_call_only
        a_native_function_has_limits
        the_program_tells_what_its_comment_says
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

const TRICKS: [(&str, Native); 6] = [
    ("count", |call| Box::pin(count(call))),
    ("panic", |call| Box::pin(panics(call))),
    ("compute", |call| Box::pin(computes(call))),
    ("wait", |call| Box::pin(waits(call))),
    ("endless", |call| Box::pin(is_endless(call))),
    ("greedy", |call| Box::pin(is_greedy(call))),
];

async fn panics(call: &NativeCall<'_>) -> Result<Value, CodeError> {
    panic!("a request of {} is a bug", call.user)
}

async fn computes(_: &NativeCall<'_>) -> Result<Value, CodeError> {
    compute(Duration::from_millis(50));
    Ok(Value::Null)
}

/// Uses so much CPU time, however long that takes.
fn compute(time: Duration) {
    let begun = clock::now();
    while clock::now() - begun < time {
        std::hint::spin_loop();
    }
}

async fn waits(call: &NativeCall<'_>) -> Result<Value, CodeError> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(call.body.clone())
}

async fn is_endless(_: &NativeCall<'_>) -> Result<Value, CodeError> {
    loop {
        compute(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

/// Goes on asking, whatever it is told.
async fn is_greedy(call: &NativeCall<'_>) -> Result<Value, CodeError> {
    loop {
        let asked = call.ask(Service::Count, &json!({"query": {}})).await;
        drop(asked);
        tokio::task::yield_now().await;
    }
}

/// A cloud with the functions above as `app/Words`, served over HTTP.
struct Served {
    cloud: Cloud,
    python: Arc<PythonRuntime>,
    url: String,
}

/// Somebody who has installed `app/Words`.
struct Caller {
    session: Session,
    token: String,
}

impl Served {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (cloud, python) = cloud(store, keys::server(), &TRICKS).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = routes::all(Api::new(cloud.clone()));
        // Ends with the runtime of the test.
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { cloud, python, url }
    }

    async fn user(&self, name: &str, device: usize) -> Caller {
        let token = logged_in(&self.cloud, name, &keys::device(device)).await;
        let token = token.unwrap();
        let session = self.cloud.session(&token).await.unwrap();
        let words = AssemblyRef::parse("app/Words").unwrap();
        self.cloud.install_assembly(&session, &words).await.unwrap();
        let token = token.expose().to_owned();
        Caller { session, token }
    }

    /// The status and the answer.
    async fn post(&self, path: &str, by: &Caller, mut body: Value) -> (u16, Value) {
        body["token"] = json!(by.token);
        let url = format!("{}/{path}", self.url);
        let asked = spawn_blocking(move || {
            let request = ureq::post(url).config().http_status_as_error(false);
            let mut answer = request.build().send_json(body).unwrap();
            let status = answer.status().as_u16();
            (status, answer.body_mut().read_json().unwrap())
        });
        asked.await.unwrap()
    }

    async fn note(&self, by: &Caller, text: &str) {
        let note = json!({"type": "note", "data": text});
        let (status, answer) = self.post("app/Words/store", by, note).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// What the last run has cost.
    async fn cost(&self, of: &Caller) -> Duration {
        let runs = self
            .cloud
            .list_runs(&of.session, None, Page::first(1))
            .await;
        runs.unwrap()[0].cpu_time
    }

    async fn close(self) {
        self.python.close(Duration::from_secs(5)).await;
    }
}

async fn functions_in_both_languages_answer_over_http() {
    let served = Served::new().await;
    let ada = served.user("ada", 0).await;
    served.note(&ada, "to be or").await;
    served.note(&ada, "not to").await;
    let counted = served.post("app/Words/count", &ada, json!({})).await;
    assert_eq!(
        counted,
        (200, json!({"of": "ada", "documents": 2, "words": 5}))
    );
    let lists = served
        .post("app/Words/count", &ada, json!({"type": "list"}))
        .await;
    assert_eq!(
        lists,
        (200, json!({"of": "ada", "documents": 0, "words": 0}))
    );
    // Without the token.
    let waited = served.post("app/Words/wait", &ada, json!({"a": [1]})).await;
    assert_eq!(waited, (200, json!({"a": [1]})));

    let code = "return {\"notes\": db.count({\"type\": \"note\"})}";
    save(&served.cloud, &ada.session, "Mine", "notes", code)
        .await
        .unwrap();
    let mine = AssemblyRef::parse("ada/Mine").unwrap();
    served
        .cloud
        .install_assembly(&ada.session, &mine)
        .await
        .unwrap();
    let notes = served.post("ada/Mine/notes", &ada, json!({})).await;
    assert_eq!(notes, (200, json!({"notes": 2})));
    // Python says what is wrong when it is saved.
    let wrong = save(&served.cloud, &ada.session, "Wrong", "wrong", "return )");
    assert!(wrong.await.is_err());
    served.close().await;
}

async fn a_native_function_sees_its_users_documents_only() {
    let served = Served::new().await;
    let (ada, bob) = (served.user("ada", 0).await, served.user("bob", 1).await);
    served.note(&ada, "hers alone").await;
    let counted = served.post("app/Words/count", &bob, json!({})).await;
    assert_eq!(
        counted,
        (200, json!({"of": "bob", "documents": 0, "words": 0}))
    );
    served.close().await;
}

async fn nothing_that_an_author_writes_is_native() {
    let served = Served::new().await;
    let eve = served.user("eve", 0).await;
    let words = AssemblyRef::parse("app/Words").unwrap();
    let source = served.cloud.assembly_source(&eve.session, &words).await;
    let source = source.unwrap().source;
    let stand_in = &source.api_functions()[0].code;
    // The same text under the same names.
    save(&served.cloud, &eve.session, "Words", "count", stand_in)
        .await
        .unwrap();
    let hers = AssemblyRef::parse("eve/Words").unwrap();
    served
        .cloud
        .install_assembly(&eve.session, &hers)
        .await
        .unwrap();
    let (status, refused) = served.post("eve/Words/count", &eve, json!({})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("code_exception")));
    let message = "app/Words/count is a native function of another program.";
    assert_eq!(refused["exception"]["message"], message);
    served.close().await;
}

async fn nobody_may_be_able_to_log_in_as_the_author() {
    let store = Arc::new(MemoryStore::new());
    store
        .users()
        .register(&given::new_user("app", 0))
        .await
        .unwrap();
    let refused = cloud(store, keys::server(), &WORDS).await.unwrap_err();
    assert!(refused.to_string().contains("log in as app"), "{refused}");
}

async fn a_user_is_booked_what_a_function_computes_and_not_what_it_waits() {
    let served = Served::new().await;
    let ada = served.user("ada", 0).await;
    served.post("app/Words/compute", &ada, json!({})).await;
    let computing = served.cost(&ada).await;
    assert!(computing >= Duration::from_millis(50), "{computing:?}");
    assert!(computing < Duration::from_millis(90), "{computing:?}");
    served.post("app/Words/wait", &ada, json!({})).await;
    let waiting = served.cost(&ada).await;
    assert!(waiting < Duration::from_millis(20), "{waiting:?}");
    assert!(waiting > Duration::ZERO);
    served.close().await;
}

async fn a_panic_is_an_error_of_that_call_only() {
    let served = Served::new().await;
    let ada = served.user("ada", 0).await;
    let (status, refused) = served.post("app/Words/panic", &ada, json!({})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("code_exception")));
    // What it says is for the log.
    assert!(!refused.to_string().contains("bug"), "{refused}");
    let counted = served.post("app/Words/count", &ada, json!({})).await;
    assert_eq!(counted.0, 200);
    served.close().await;
}

async fn a_native_function_has_limits() {
    let served = Served::new().await;
    let ada = served.user("ada", 0).await;
    for (function, limit) in [("endless", "CPU time"), ("greedy", "1000 times")] {
        let path = format!("app/Words/{function}");
        let (status, refused) = served.post(&path, &ada, json!({})).await;
        assert_eq!(
            (status, &refused["code"]),
            (400, &json!("code_limit_reached"))
        );
        assert!(
            refused["error"].as_str().unwrap().contains(limit),
            "{refused}"
        );
    }
    served.close().await;
}

async fn the_program_tells_what_its_comment_says() {
    let told = two_calls().await.unwrap();
    let expected = [
        r#"app/Words/count in Rust: {"documents":2,"of":"ada","words":5} ("#,
        r#"ada/Greet/hello in Python: {"hello":"ada"} ("#,
    ];
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
        assert!(!told.ends_with("(0ns of CPU time)"), "{told}");
    }
}
