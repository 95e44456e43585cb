//! What a client is made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{Certificate, Url, redirect};
use tokio::sync::OnceCell;

use super::{
    Client, Parts,
    error::{Error, InvalidSettings},
    pin::PinStore,
    retry::Retries,
    transport::Transport,
};
use crate::timeout::bounded;

/// Builds a [`Client`]; [`Client::builder`] gives one.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use pinyto_http::client::{Client, PinFile, Retries};
///
/// let client = Client::builder("https://example.org/pinyto", PinFile::new("example.org.pem"))
///     .connect_timeout(Duration::from_secs(5))
///     .max_answer_bytes(1024 * 1024)
///     .retries(Retries::at_most(5))
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[must_use]
#[derive(Debug)]
pub struct ClientBuilder {
    url: String,
    pin: Arc<dyn PinStore>,
    connect_timeout: Duration,
    request_timeout: Duration,
    max_answer_bytes: usize,
    retries: Retries,
    roots: Vec<Vec<u8>>,
    allow_plain_http: bool,
}

impl ClientBuilder {
    pub(super) fn new(url: String, pin: Arc<dyn PinStore>) -> Self {
        Self {
            url,
            pin,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(130),
            max_answer_bytes: 16 * 1024 * 1024,
            retries: Retries::default(),
            roots: Vec::new(),
            allow_plain_http: false,
        }
    }

    /// How long a connection may take to be made, TLS included; at most a year. Default: 10 seconds.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = bounded(time);
        self
    }

    /// How long one try of a call may take altogether; at most a year. Default: 130 seconds, so that
    /// the server, which takes up to 120 if it is not told otherwise, can say itself that it gives up.
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = bounded(time);
        self
    }

    /// The largest answer that is read, in bytes. Default: 16 MiB.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// How often what is safe to repeat is tried again.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Trusts these certificate authorities (PEM, one or several) besides those that the system
    /// trusts: for a server whose certificate one has made oneself.
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Allows an address that begins with `http:` and is not on this machine. Whoever listens in
    /// between then gets the session, and the password if there is one.
    pub fn allow_plain_http(mut self) -> Self {
        self.allow_plain_http = true;
        self
    }

    /// The client. It connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] tells which setting is wrong.
    pub fn build(self) -> Result<Client, Error> {
        let base = self.base()?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("pinyto-http/", env!("CARGO_PKG_VERSION")))
            // A redirected call would give the session to somebody else.
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .timeout(self.request_timeout)
            // The server closes after 60 seconds; a call sent at that moment would be lost.
            .pool_idle_timeout(Duration::from_secs(45));
        if base.scheme() == "http" {
            // A proxy would read it all.
            http = http.no_proxy();
        }
        for pem in &self.roots {
            let unread = |error| InvalidSettings::Certificate(Arc::new(error));
            let roots = Certificate::from_pem_bundle(pem).map_err(unread)?;
            http = http.tls_certs_merge(roots);
        }
        let http = http.build();
        let http = http.map_err(|error| InvalidSettings::Http(Arc::new(error)))?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Client(Arc::new(Parts {
            transport: Transport::new(http, base, self.max_answer_bytes, self.retries),
            pin: self.pin,
            pinned: OnceCell::new(),
        })))
    }

    fn base(&self) -> Result<Url, InvalidSettings> {
        let wrong = || InvalidSettings::Url(self.url.clone());
        let url = Url::parse(&self.url).map_err(|_| wrong())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSettings::UserInUrl);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.allow_plain_http || is_this_machine(&url) => Ok(url),
            "http" => Err(InvalidSettings::PlainHttp(self.url.clone())),
            _ => Err(wrong()),
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::PinFile;

    fn build(url: &str) -> Result<Client, &'static str> {
        let client = Client::builder(url, PinFile::new("no such file")).build();
        client.map_err(|error| error.code())
    }

    #[test]
    fn only_what_keeps_the_session_secret_is_an_address() {
        for fine in [
            "https://example.org",
            "https://example.org:8443/pinyto/",
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert!(build(fine).is_ok(), "{fine}");
        }
        for (url, code) in [
            ("", "invalid_url"),
            ("example.org", "invalid_url"),
            ("ftp://example.org", "invalid_url"),
            ("https://example.org?a=1", "invalid_url"),
            ("https://example.org#a", "invalid_url"),
            ("https://ada:secret@example.org", "user_in_url"),
            ("http://example.org", "plain_http"),
            ("http://127.0.0.1.example.org", "plain_http"),
            ("http://localhost.example.org", "plain_http"),
        ] {
            assert_eq!(build(url).unwrap_err(), code, "{url}");
        }
        let allowed = Client::builder("http://192.0.2.1", PinFile::new("no such file"));
        assert!(allowed.allow_plain_http().build().is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let client = Client::builder("https://example.org", PinFile::new("no such file"));
        assert!(client.root_certificates_pem(pem).build().is_err());
    }
}
