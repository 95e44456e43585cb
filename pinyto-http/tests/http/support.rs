//! A server in memory and what clients of it do, in a line each.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use pinyto_core::{
    Cloud, Settings,
    challenge::{Challenge, DeviceKey},
    keyserver::HashCost,
    memory::MemoryStore,
    store::Store,
    testing::{ManualClock, ScriptedRuntime, keys},
};
use pinyto_http::{Api, HttpSettings, routes};
use serde_json::{Value, json};
use warp::{filters::BoxedFilter, reply::Response};

/// A cloud on a store in memory, with cheap passwords and no throttling.
pub(crate) fn cloud() -> Cloud {
    cloud_with(Arc::new(MemoryStore::new()), quick_settings())
}

pub(crate) fn quick_settings() -> Settings {
    let mut settings = Settings::default();
    settings.throttle.enabled = false;
    settings.hash_cost = HashCost::new(64, 1);
    settings
}

pub(crate) fn cloud_with(store: Arc<dyn Store>, settings: Settings) -> Cloud {
    Cloud::builder(store, keys::server())
        .settings(settings)
        .build()
        .unwrap()
}

/// The same, with what runs code, at [`given::at`](pinyto_core::testing::given::at)`(0)`.
pub(crate) fn running(runtime: ScriptedRuntime, settings: Settings) -> Cloud {
    Cloud::builder(Arc::new(MemoryStore::new()), keys::server())
        .runtime(Arc::new(runtime))
        .clock(Arc::new(ManualClock::default()))
        .settings(settings)
        .build()
        .unwrap()
}

/// All routes over one cloud.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) cloud: Cloud,
    pub(crate) routes: BoxedFilter<(Response,)>,
}

/// An answer whose body is JSON or nothing.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The status and the code of an error answer, whose form is checked.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, &str) {
        assert!(!self.status.is_success(), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        assert_eq!(self.headers["access-control-allow-origin"], "*", "{self:?}");
        let fields = self.body.as_object().unwrap();
        let is_exception = fields["code"] == "code_exception";
        assert_eq!(fields.contains_key("exception"), is_exception, "{self:?}");
        assert_eq!(fields.len(), 2 + usize::from(is_exception), "{self:?}");
        assert!(!fields["error"].as_str().unwrap().is_empty(), "{self:?}");
        (self.status.as_u16(), fields["code"].as_str().unwrap())
    }

    /// The sentence of an error answer.
    #[track_caller]
    pub(crate) fn sentence(&self) -> &str {
        self.body["error"].as_str().unwrap()
    }

    /// The body of a successful answer.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["access-control-allow-origin"], "*");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        assert_eq!(self.headers["cache-control"], "no-store");
        self.body
    }

    /// Checks for `{"success": true}`.
    #[track_caller]
    pub(crate) fn success(self) {
        assert_eq!(self.ok(), json!({"success": true}));
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::over(cloud())
    }

    pub(crate) fn over(cloud: Cloud) -> Self {
        Self::with(cloud, HttpSettings::default())
    }

    pub(crate) fn with(cloud: Cloud, settings: HttpSettings) -> Self {
        let api = Api::new(cloud.clone()).settings(settings);
        Self {
            cloud,
            routes: routes::all(api),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_bytes(path, body.to_string()).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request(warp::test::request().method("POST").path(path).body(body))
            .await
    }

    pub(crate) async fn request(&self, request: warp::test::RequestBuilder) -> Answer {
        let answer = request.reply(&self.routes).await;
        let (head, body) = answer.into_parts();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()))
        };
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Registers a user with one of the test keys.
    pub(crate) async fn register(&self, name: &str, device: &DeviceKey) {
        let body = json!({"username": name, "public_key": numbers(device)});
        self.post("/register", body).await.success();
    }

    /// Opens a session and gives its request token.
    pub(crate) async fn login(&self, name: &str, device: &DeviceKey) -> String {
        let key_hash = device.key_hash().to_string();
        let body = json!({"username": name, "key_hash": key_hash});
        let challenge = self.post("/authenticate", body).await.ok();
        let challenge: Challenge = serde_json::from_value(challenge).unwrap();
        let token = device
            .answer(&challenge, self.cloud.server_public_key())
            .unwrap();
        token.expose().to_owned()
    }

    /// A new user with a session.
    pub(crate) async fn user(&self, name: &str, device: usize) -> String {
        let device = keys::device(device);
        self.register(name, &device).await;
        self.login(name, &device).await
    }

    /// Saves an assembly of the user's and installs it for her.
    pub(crate) async fn with_assembly(&self, token: &str, author: &str, data: &Value) {
        let body = json!({"token": token, "original_name": data["name"], "data": data});
        self.post("/save_assembly", body).await.success();
        let body = json!({"token": token, "author": author, "name": data["name"]});
        self.post("/install_assembly", body).await.success();
    }
}

/// A device's public key as clients send it.
pub(crate) fn numbers(device: &DeviceKey) -> Value {
    let key = device.public_key();
    json!({"N": key.n_decimal(), "e": key.e().to_string()})
}
