//! A client of gpgAuth that keeps cookies, and looks at headers.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, client::conn::http1, http::request::Builder};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use crate::running_server::RunningServer;

/// How fields are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Multipart,
    UrlEncoded,
    Json,
    NestedJson,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [
        Self::Multipart,
        Self::UrlEncoded,
        Self::Json,
        Self::NestedJson,
    ];

    /// Content type and body.
    fn write(self, fields: &[(&str, &str)]) -> (&'static str, String) {
        let names = fields.iter().map(|(name, value)| {
            let name = format!("data[gpg_auth][{name}]");
            (name, *value)
        });
        let object = || -> Map<String, Value> {
            let fields = fields.iter();
            fields
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect()
        };
        match self {
            Self::Multipart => {
                let parts: String = names
                    .map(|(name, value)| {
                        format!("--x-x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    })
                    .collect();
                let body = format!("{parts}--x-x--\r\n");
                ("multipart/form-data; boundary=x-x", body)
            }
            Self::UrlEncoded => {
                let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                let pairs: Vec<String> = names
                    .map(|(name, value)| format!("{}={}", encode(&name), encode(value)))
                    .collect();
                ("application/x-www-form-urlencoded", pairs.join("&"))
            }
            Self::Json => {
                let body = json!({"gpg_auth": object()});
                ("application/json", body.to_string())
            }
            Self::NestedJson => {
                let body = json!({"data": {"gpg_auth": object()}});
                ("application/json; charset=utf-8", body.to_string())
            }
        }
    }
}

/// An answer with the envelope undone.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) message: String,
    pub(crate) body: Value,
    /// The envelope's `header`.
    pub(crate) envelope: Value,
}

impl Answer {
    /// The header `X-GPGAuth-...`.
    pub(crate) fn gpgauth(&self, name: &str) -> Option<&str> {
        self.header(&format!("x-gpgauth-{name}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, `Authenticated`, `Progress` and `Error`.
    pub(crate) fn outcome(&self) -> (u16, &str, Option<&str>, Option<&str>) {
        let authenticated = self.gpgauth("authenticated").unwrap();
        let (progress, error) = (self.gpgauth("progress"), self.gpgauth("error"));
        (self.status, authenticated, progress, error)
    }

    #[track_caller]
    fn lacks(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.gpgauth(name), None, "{name}: {self:?}");
        }
    }

    #[track_caller]
    pub(crate) fn expect_stage0(&self, nonce: &str) {
        assert_eq!(
            self.outcome(),
            (200, "false", Some("stage0"), None),
            "{self:?}"
        );
        assert_eq!(self.gpgauth("verify-response"), Some(nonce));
        self.lacks(&["user-auth-token", "refer"]);
    }

    #[track_caller]
    pub(crate) fn expect_stage1(&self) {
        assert_eq!(
            self.outcome(),
            (200, "false", Some("stage1"), None),
            "{self:?}"
        );
        self.lacks(&["verify-response", "refer"]);
        assert_eq!(self.message, "The authentication failed.");
        assert_eq!(
            (&self.envelope["status"], &self.envelope["code"]),
            (&json!("error"), &json!(200))
        );
        assert_eq!(self.header("set-cookie"), None);
    }

    #[track_caller]
    pub(crate) fn expect_complete(&self) {
        assert_eq!(
            self.outcome(),
            (200, "true", Some("complete"), None),
            "{self:?}"
        );
        assert_eq!(self.gpgauth("refer"), Some("/"));
        self.lacks(&["verify-response", "user-auth-token"]);
        assert_eq!(
            (&self.envelope["status"], &self.envelope["code"]),
            (&json!("success"), &json!(200))
        );
    }

    #[track_caller]
    pub(crate) fn expect_bad_token(&self) {
        let expected = (400, "false", Some("stage2"), Some("true"));
        assert_eq!(self.outcome(), expected, "{self:?}");
        assert_eq!(self.message, crate::BAD_TOKEN);
        self.lacks(&["verify-response", "user-auth-token", "refer"]);
        assert_eq!(self.header("set-cookie"), None);
        assert_eq!(self.body, Value::Null);
    }

    /// The message of stage 1, undone as PHP's `stripslashes(urldecode(..))` does it.
    pub(crate) fn user_token(&self) -> String {
        let encoded = self.gpgauth("user-auth-token").unwrap();
        assert!(
            encoded.starts_with(r"-----BEGIN\+PGP\+MESSAGE-----%0A%0A"),
            "{encoded}"
        );
        let spaced = encoded.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().unwrap();
        decoded.replace('\\', "")
    }
}

/// Keeps cookies for one server.
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(server: &RunningServer) -> Self {
        Self::at(server.address)
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            cookies: BTreeMap::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), String::new()).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        shape: Shape,
        fields: &[(&str, &str)],
    ) -> Answer {
        let (content_type, body) = shape.write(fields);
        let request = Request::post(path).header("content-type", content_type);
        self.send(request, body).await
    }

    /// With the header that a page of the server's would send.
    pub(crate) async fn log_out(&mut self, csrf_token: Option<&str>) -> Answer {
        let mut request = Request::post("/auth/logout.json");
        if let Some(token) = csrf_token {
            request = request.header("x-csrf-token", token);
        }
        self.send(request, String::new()).await
    }

    pub(crate) async fn send(&mut self, mut request: Builder, body: String) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        request = request.header("host", "localhost");
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter();
            let pairs: Vec<String> = pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        for cookie in head.headers.get_all("set-cookie") {
            self.keep(cookie.to_str().unwrap());
        }
        let body = body.collect().await.unwrap().to_bytes();
        let mut envelope: Value = serde_json::from_slice(&body).unwrap();
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            message: envelope["header"]["message"].as_str().unwrap().to_owned(),
            body: envelope["body"].take(),
            envelope: envelope["header"].take(),
        };
        assert_eq!(answer.gpgauth("version"), Some("1.3.0"), "{answer:?}");
        for (name, place) in [
            ("login-url", "/auth/login"),
            ("logout-url", "/auth/logout"),
            ("verify-url", "/auth/verify"),
            ("pubkey-url", "/auth/verify.json"),
        ] {
            assert_eq!(answer.gpgauth(name), Some(place), "{answer:?}");
        }
        assert_eq!(answer.envelope["code"], answer.status);
        answer
    }

    fn keep(&mut self, cookie: &str) {
        assert!(cookie.contains("SameSite=Strict"), "{cookie}");
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        if value.is_empty() {
            assert!(cookie.contains("Max-Age=0"), "{cookie}");
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
