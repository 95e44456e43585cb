//! Servers on loopback addresses that answer whatever a test wants.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use pinyto_core::{
    egress::{Egress, EgressError, EgressRequest, HostPattern, RequestBudget},
    id::UserId,
};
use pinyto_sandbox::{EgressSettings, HttpEgress, Resolver};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

/// Where the tests' servers are; 127.0.0.2 stays forbidden.
pub(crate) const HERE: &str = "127.0.0.1";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of it.
    pub(crate) async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        Self::on(listener, answer)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(&str) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                let reply = answer(&request);
                received.lock().unwrap().push(request);
                // The client may have had enough.
                tokio::spawn(async move {
                    stream.write_all(&reply).await.ok();
                    stream.shutdown().await.ok();
                });
            }
        });
        Self { address, requests }
    }

    /// Always the same answer.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_| answer.clone()).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests received so far, each as it came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The header and as much of a body as it says.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((header, body)) = text.split_once("\r\n\r\n") {
            let length = header
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A server that talks to each client as it likes.
pub(crate) async fn talking<F>(talk: impl Fn(Box<dyn ReadWrite>) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(Box::new(stream)));
        }
    });
    format!("http://{address}/")
}

pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ReadWrite for S {}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// Settings that allow 127.0.0.1 alone.
pub(crate) fn settings() -> EgressSettings {
    let mut settings = EgressSettings::default();
    settings.allowed_networks = vec!["127.0.0.1/32".parse().unwrap()];
    settings
}

pub(crate) fn egress() -> HttpEgress {
    egress_with(settings(), &Arc::new(Names::default()))
}

pub(crate) fn egress_with(settings: EgressSettings, names: &Arc<Names>) -> HttpEgress {
    HttpEgress::builder()
        .settings(settings)
        .resolver(Arc::clone(names) as Arc<dyn Resolver>)
        .build()
        .unwrap()
}

pub(crate) fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

pub(crate) async fn get(egress: &HttpEgress, url: &str) -> Result<String, EgressError> {
    fetch(egress, url, None, None).await
}

pub(crate) async fn post(
    egress: &HttpEgress,
    url: &str,
    form: &[(&str, &str)],
) -> Result<String, EgressError> {
    fetch(egress, url, Some(form), None).await
}

pub(crate) async fn fetch(
    egress: &HttpEgress,
    url: &str,
    form: Option<&[(&str, &str)]>,
    declared: Option<&[&str]>,
) -> Result<String, EgressError> {
    let budget = Arc::new(RequestBudget::new(100));
    fetch_within(egress, url, form, declared, (1, &budget)).await
}

/// For a user, within what one of her calls may still send.
pub(crate) async fn fetch_within(
    egress: &HttpEgress,
    url: &str,
    form: Option<&[(&str, &str)]>,
    declared: Option<&[&str]>,
    (user, budget): (i64, &Arc<RequestBudget>),
) -> Result<String, EgressError> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut request = EgressRequest::get(UserId::new(user), url, Arc::clone(budget));
    request.form = form.map(|form| form.iter().map(owned).collect());
    request.allowed_hosts = declared.map(|hosts| hosts.iter().map(|host| pattern(host)).collect());
    egress.fetch(&request).await
}

/// Names with one list of addresses for each time they are asked for; the last one stays.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn knowing(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let addresses = |list: &&[&str]| {
            list.iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<_>>()
        };
        let answers = names
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().map(addresses).collect()))
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str, _: UserId) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answers = answers
            .get_mut(name)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        })
    }
}
