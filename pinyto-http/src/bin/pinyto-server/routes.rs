//! What the two listeners answer.

use pinyto_core::Cloud;
use pinyto_http::{Api, HttpSettings, routes};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{config::Settings, metrics::Metrics};

/// The filters of the two listeners.
pub(crate) struct Routes {
    pub(crate) public: BoxedFilter<(Response,)>,
    pub(crate) admin: BoxedFilter<(Response,)>,
}

pub(crate) fn of(cloud: Cloud, metrics: &Metrics, settings: &Settings) -> Routes {
    let mut limits = HttpSettings::default();
    limits.max_body_bytes = settings.max_body_bytes;
    limits.body_timeout = settings.body_timeout;
    let api = Api::new(cloud).settings(limits);
    #[cfg(feature = "gpgauth")]
    let api = api.gpgauth(crate::openpgp::http_settings(settings));
    let admin = metrics
        .route()
        .or(routes::health(api.clone()))
        .unify()
        .or(routes::nothing_else())
        .unify()
        .boxed();
    Routes {
        public: routes::all(api),
        admin,
    }
}
