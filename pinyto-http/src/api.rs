//! What the routes hold: a cloud and the limits of its HTTP side.

use std::{fmt, sync::Arc, time::Duration};

use pinyto_core::Cloud;

#[cfg(feature = "gpgauth")]
use crate::routes::gpgauth::GpgAuthHttp;
use crate::{
    body::BodyMemory, client_address::ClientAddress, cors::AllowedOrigins, prefix::PathPrefix,
    timeout::bounded,
};

/// A cloud, ready to be mounted. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    cloud: Cloud,
    settings: Arc<HttpSettings>,
    body_memory: BodyMemory,
    prefix: Arc<PathPrefix>,
    #[cfg(feature = "gpgauth")]
    gpgauth: Arc<GpgAuthHttp>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Serves `cloud` with the default [`HttpSettings`].
    #[must_use]
    pub fn new(cloud: Cloud) -> Self {
        let settings = HttpSettings::default();
        Self {
            cloud,
            body_memory: BodyMemory::of(&settings),
            settings: Arc::new(settings),
            prefix: Arc::default(),
            #[cfg(feature = "gpgauth")]
            gpgauth: Arc::default(),
        }
    }

    /// Uses these settings instead of the default ones.
    ///
    /// ```
    /// # fn limited(cloud: pinyto_core::Cloud) -> pinyto_http::Api {
    /// use pinyto_http::{Api, HttpSettings};
    ///
    /// let mut settings = HttpSettings::default();
    /// settings.max_body_bytes = 64 * 1024;
    /// Api::new(cloud).settings(settings)
    /// # }
    /// ```
    #[must_use]
    pub fn settings(mut self, mut settings: HttpSettings) -> Self {
        settings.body_timeout = bounded(settings.body_timeout);
        self.body_memory = BodyMemory::of(&settings);
        self.settings = Arc::new(settings);
        self
    }

    /// Says where clients find the routes, if not at the root: for links, for the description, for
    /// what gpgAuth tells its clients and the path of its cookies. Mounting them there is left to
    /// you:
    ///
    /// ```
    /// # fn mount(api: pinyto_http::Api) -> Result<(), Box<dyn std::error::Error>> {
    /// use pinyto_http::{PathPrefix, routes};
    /// use warp::Filter;
    ///
    /// let api = api.mounted_at(PathPrefix::parse("/pinyto")?);
    /// let pinyto = warp::path("pinyto").and(routes::all(api));
    /// # drop(pinyto);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn mounted_at(mut self, prefix: PathPrefix) -> Self {
        self.prefix = Arc::new(prefix);
        self
    }

    /// Serves gpgAuth as it says there, instead of by default.
    #[cfg(feature = "gpgauth")]
    #[must_use]
    pub fn gpgauth(mut self, settings: GpgAuthHttp) -> Self {
        self.gpgauth = Arc::new(settings);
        self
    }

    /// The cloud that is served.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn limits(&self) -> &HttpSettings {
        &self.settings
    }

    pub(crate) fn origins(&self) -> AllowedOrigins {
        self.settings.allowed_origins.clone()
    }

    pub(crate) fn prefix(&self) -> &Arc<PathPrefix> {
        &self.prefix
    }

    #[cfg(feature = "gpgauth")]
    pub(crate) fn gpgauth_settings(&self) -> &Arc<GpgAuthHttp> {
        &self.gpgauth
    }

    pub(crate) fn body_memory(&self) -> &BodyMemory {
        &self.body_memory
    }

    /// The cloud for one request. Without an address nothing is throttled by address.
    pub(crate) fn cloud_for(&self, address: Option<ClientAddress>) -> Cloud {
        self.cloud.for_address(address.map(|ClientAddress(ip)| ip))
    }
}

/// What the HTTP side allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// The largest body that is read, in bytes; a larger one is answered with 413. Default: 2 MiB.
    pub max_body_bytes: usize,
    /// What the bodies of all requests together may take in memory until they are decoded, in
    /// bytes; the first 16 KiB of each count for nothing. A body that doesn't fit is answered with
    /// 429. At least `max_body_bytes` count. Default: 64 MiB.
    pub body_memory: usize,
    /// How long a client may take to send the whole body, however steadily; a slower one is
    /// answered with 408. At most a year counts. Default: 60 seconds.
    pub body_timeout: Duration,
    /// Whose pages' scripts may call and read the answers (CORS). Default: everybody's.
    pub allowed_origins: AllowedOrigins,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 * 1024 * 1024,
            body_memory: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
            allowed_origins: AllowedOrigins::Any,
        }
    }
}
