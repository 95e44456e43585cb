//! What the operator's monitoring reads: counts and durations of requests, the key stock.
//!
//! Nothing in it tells users apart: labels are statuses only.

use std::{fmt, sync::Arc, time::Duration};

use crate::reply;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use pinyto_core::keyserver::KeyStock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Counts what happens. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<Status, Counter>,
    abandoned: Counter,
    durations: Histogram,
    registry: Arc<Registry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    /// Nothing counted yet; tells also how many key pairs `stock` has ready.
    #[must_use]
    pub fn new(stock: Arc<KeyStock>) -> Self {
        let requests = Family::<Status, Counter>::default();
        let abandoned = Counter::default();
        let durations = Histogram::new(BUCKETS);
        let mut registry = Registry::with_prefix("pinyto");
        registry.register(
            "http_requests",
            "Answered requests by status",
            requests.clone(),
        );
        registry.register(
            "http_requests_abandoned",
            "Requests whose client went away before the answer",
            abandoned.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Time from a request's head to its answer's head",
            durations.clone(),
        );
        registry.register_collector(Box::new(StockLevel(stock)));
        Self {
            requests,
            abandoned,
            durations,
            registry: Arc::new(registry),
        }
    }

    pub(super) fn answered(&self, status: StatusCode, after: Duration) {
        self.requests
            .get_or_create(&Status {
                status: status.as_u16(),
            })
            .inc();
        self.durations.observe(after.as_secs_f64());
    }

    pub(super) fn abandoned(&self) {
        self.abandoned.inc();
    }

    /// `GET /metrics`: everything in the OpenMetrics text format 1.0.0, which Prometheus reads.
    ///
    /// Mount it where only the operator's monitoring gets.
    #[must_use]
    pub fn route(&self) -> BoxedFilter<(Response,)> {
        let metrics = self.clone();
        warp::path!("metrics")
            .and(warp::get().or(warp::head()).unify())
            .and(warp::method())
            .map(move |method| reply::for_method(&method, metrics.exposition()))
            .boxed()
    }

    fn exposition(&self) -> Response {
        let mut exposition = String::new();
        let written = text::encode(&mut exposition, &self.registry);
        let mut response = Response::new(exposition.into());
        if written.is_err() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(format));
        response
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// Asked for when the metrics are read.
#[derive(Debug)]
struct StockLevel(Arc<KeyStock>);

impl Collector for StockLevel {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let ready = ConstGauge::new(i64::try_from(self.0.ready()).unwrap_or(i64::MAX));
        let help = "Key pairs ready for new keyserver accounts";
        let descriptor =
            encoder.encode_descriptor("key_stock_ready", help, None, ready.metric_type())?;
        ready.encode(descriptor)
    }
}
