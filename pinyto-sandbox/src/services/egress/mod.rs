//! `Http`: fetching from other servers, for code that is not trusted.
//!
//! Runs in the server. For each connection (the first one and one per redirect) the same happens,
//! once and in this order:
//!
//! 1. The URL is checked: scheme, port, the operator's lists of hosts, the assembly's hosts.
//! 2. Its name is resolved, and every address it has is checked.
//! 3. A connection is opened to one of these addresses. Nothing is resolved again, so that a
//!    second, different answer of the DNS changes nothing.
//! 4. One HTTP/1.1 request is sent, and the connection closed.

mod address;
mod exchange;
mod resolver;
mod target;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ipnet::IpNet;
use pinyto_core::{
    egress::{Egress, EgressError, EgressRequest, HostPattern},
    id::UserId,
    slots::Slots,
};
use rustls::{
    ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, pki_types::ServerName,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::form_urlencoded;

use self::{
    address::AddressRules,
    exchange::{Answer, Size, exchange},
    resolver::SystemResolver,
    target::{Rules, Target},
};

pub use self::resolver::Resolver;

/// What an operator decides about fetching.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EgressSettings {
    /// The only hosts that may be fetched from. Default: all that are on the public internet.
    pub allowed_hosts: Option<Vec<HostPattern>>,
    /// Hosts that may not be fetched from, whatever else is allowed. Default: none.
    pub denied_hosts: Vec<HostPattern>,
    /// Addresses that may be reached although they are not on the public internet. Default: none.
    pub allowed_networks: Vec<IpNet>,
    /// Addresses that may not be reached although they are on the public internet, such as those
    /// of services that trust this server by its address. Default: none.
    pub denied_networks: Vec<IpNet>,
    /// Time for all of it, redirects and waiting for a slot included. Default: 10 s.
    pub total_time: Duration,
    /// Time for a connection to one address; then the next one is tried. Default: 3 s.
    pub connect_time: Duration,
    /// Bytes of an answer's body, and of its text as UTF-8. Default: 2 MiB.
    pub max_body: usize,
    /// Bytes of an answer's header, at least 8192. Default: 16 KiB.
    pub max_header: usize,
    /// How many redirects are followed. Default: 5.
    pub max_redirects: usize,
    /// How many fetches run at a time, for all users together; more wait, users in turn. One user
    /// has at most a quarter of them. Default: 64.
    pub max_running: usize,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            allowed_hosts: None,
            denied_hosts: Vec::new(),
            allowed_networks: Vec::new(),
            denied_networks: Vec::new(),
            total_time: Duration::from_secs(10),
            connect_time: Duration::from_secs(3),
            max_body: 2 * 1024 * 1024,
            max_header: 16 * 1024,
            max_redirects: 5,
            max_running: 64,
        }
    }
}

/// Fetches over HTTP, only from the public internet.
///
/// Knows no cookies, no authorization, no proxy, no cache and no compression, and keeps nothing
/// from one request to the next.
pub struct HttpEgress {
    rules: Rules,
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
    slots: Arc<Slots>,
    total_time: Duration,
    connect_time: Duration,
    max_redirects: usize,
    size: Size,
}

impl fmt::Debug for HttpEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEgress").finish_non_exhaustive()
    }
}

/// Builds a [`HttpEgress`].
pub struct HttpEgressBuilder {
    settings: EgressSettings,
    resolver: Arc<dyn Resolver>,
    roots: RootCertStore,
}

impl fmt::Debug for HttpEgressBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEgressBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS for fetching from other servers can't be set up.")]
pub struct EgressUnavailable(#[source] rustls::Error);

impl EgressUnavailable {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "egress_unavailable"
    }
}

impl HttpEgressBuilder {
    /// Decides otherwise than the defaults.
    #[must_use]
    pub fn settings(mut self, settings: EgressSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Takes addresses from `resolver` instead of the operating system. They are checked all the
    /// same.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Trusts these certificate authorities instead of Mozilla's.
    #[must_use]
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }

    /// The finished [`HttpEgress`].
    ///
    /// # Errors
    ///
    /// [`EgressUnavailable`] if TLS can't be set up.
    pub fn build(self) -> Result<HttpEgress, EgressUnavailable> {
        let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(EgressUnavailable)?
            .with_root_certificates(self.roots)
            .with_no_client_auth();
        // A resumed session would tell the other server which requests belong together.
        tls.resumption = Resumption::disabled();
        let settings = self.settings;
        Ok(HttpEgress {
            rules: Rules {
                allowed: settings.allowed_hosts,
                denied: settings.denied_hosts,
                addresses: AddressRules {
                    allowed: settings.allowed_networks,
                    denied: settings.denied_networks,
                },
            },
            resolver: self.resolver,
            tls: TlsConnector::from(Arc::new(tls)),
            slots: Slots::new(settings.max_running, settings.max_running / 4),
            total_time: settings.total_time,
            connect_time: settings.connect_time,
            max_redirects: settings.max_redirects,
            size: Size {
                header: settings.max_header.max(8192),
                body: settings.max_body,
            },
        })
    }
}

/// What a request is sent through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl HttpEgress {
    /// Begins to build one.
    #[must_use]
    pub fn builder() -> HttpEgressBuilder {
        HttpEgressBuilder {
            settings: EgressSettings::default(),
            resolver: Arc::new(SystemResolver::new()),
            roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        }
    }

    async fn follow(&self, request: &EgressRequest) -> Result<String, EgressError> {
        let mut url = target::parse(&request.url)?;
        let mut form = request.form.as_deref().map(encoded);
        let declared = request.allowed_hosts.as_deref();
        self.rules.check(&url, declared)?;
        let _slot = self.slots.take(request.user).await;
        for redirects in 0..=self.max_redirects {
            let target = self.rules.check(&url, declared)?;
            if redirects > 0 {
                request.requests.take()?;
            }
            let stream = self.connect(&target, request.user).await?;
            match exchange(stream, &url, form.as_ref(), self.size).await? {
                Answer::Page(text) => return Ok(text),
                Answer::Redirect {
                    location,
                    keeps_form,
                } => {
                    url = target::follow(&url, &location)?;
                    form = form.filter(|_| keeps_form);
                }
            }
        }
        Err(EgressError::TooManyRedirects(self.max_redirects))
    }

    async fn connect(&self, target: &Target, user: UserId) -> Result<Box<dyn Stream>, EgressError> {
        let addresses = self.addresses(target, user).await?;
        let tcp = self.connect_to_one(&addresses, target.port).await?;
        if !target.is_https {
            return Ok(Box::new(tcp));
        }
        let name = match target.address {
            Some(address) => ServerName::from(address),
            None => {
                ServerName::try_from(target.host.clone()).map_err(|_| EgressError::Unreachable)?
            }
        };
        let tls = self.tls.connect(name, tcp).await;
        Ok(Box::new(tls.map_err(|_| EgressError::Unreachable)?))
    }

    /// The addresses to connect to. One that is forbidden forbids all: a name of the public
    /// internet has none of those.
    async fn addresses(&self, target: &Target, user: UserId) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = match target.address {
            Some(address) => vec![address],
            None => self
                .resolver
                .resolve(&target.host, user)
                .await
                .map_err(|_| EgressError::Unreachable)?,
        };
        if addresses
            .iter()
            .all(|address| self.rules.addresses.allow(*address))
        {
            Ok(addresses)
        } else {
            Err(EgressError::ForbiddenAddress {
                host: target.host.clone(),
            })
        }
    }

    async fn connect_to_one(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<TcpStream, EgressError> {
        for address in addresses {
            let connecting = TcpStream::connect(SocketAddr::new(*address, port));
            if let Ok(Ok(stream)) = timeout(self.connect_time, connecting).await {
                return Ok(stream);
            }
        }
        Err(EgressError::Unreachable)
    }
}

#[async_trait]
impl Egress for HttpEgress {
    async fn fetch(&self, request: &EgressRequest) -> Result<String, EgressError> {
        timeout(self.total_time, self.follow(request))
            .await
            .unwrap_or(Err(EgressError::TimedOut(self.total_time)))
    }
}

fn encoded(form: &[(String, String)]) -> Bytes {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish()
        .into()
}
