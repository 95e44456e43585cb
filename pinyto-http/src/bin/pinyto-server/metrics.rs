//! What the operator's monitoring reads: counts and durations of requests, the key stock, what runs
//! code.
//!
//! Nothing in it tells users apart: labels are statuses and reasons only.

use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use pinyto_core::{Cloud, keyserver::KeyStock};
use pinyto_http::listener::Observer;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Counts what happens. Cheap to clone; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<Status, Counter>,
    abandoned: Counter,
    durations: Histogram,
    registry: Arc<Registry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// What a runtime for the code of assemblies does and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeFigures {
    /// Calls that have begun and not ended.
    pub(crate) running: usize,
    /// Those among them that pause because others use their share.
    pub(crate) paused: usize,
    /// Calls that wait for their turn.
    pub(crate) waiting: usize,
    /// Workers that wait for a call.
    pub(crate) idle_workers: usize,
    /// Workers started so far.
    pub(crate) started_workers: u64,
    /// How many calls have ended so far, by the reason. Reasons are few and stay the same.
    pub(crate) ended: Vec<(&'static str, u64)>,
}

/// Asked whenever the metrics are read.
pub(crate) type CodeSource = Box<dyn Fn() -> CodeFigures + Send + Sync>;

impl Metrics {
    /// Nothing counted yet. Tells also what the cloud has to tell, and what the runtime has, if
    /// code is run.
    #[must_use]
    pub(crate) fn new(cloud: &Cloud, code: Option<CodeSource>) -> Self {
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
        registry.register_collector(Box::new(StockLevel(cloud.key_stock().clone())));
        registry.register_collector(Box::new(DroppedRuns(cloud.clone())));
        if let Some(source) = code {
            registry.register_collector(Box::new(CodeState(source)));
        }
        Self {
            requests,
            abandoned,
            durations,
            registry: Arc::new(registry),
        }
    }

    /// `GET /metrics`: everything in the OpenMetrics text format 1.0.0, which Prometheus reads.
    ///
    /// Mount it where only the operator's monitoring gets.
    #[must_use]
    pub(crate) fn route(&self) -> BoxedFilter<(Response,)> {
        let metrics = self.clone();
        warp::path!("metrics")
            .and(warp::get().or(warp::head()).unify())
            .and(warp::method())
            .map(move |method| metrics.answer(&method))
            .boxed()
    }

    fn answer(&self, method: &Method) -> Response {
        let mut exposition = String::new();
        let written = text::encode(&mut exposition, &self.registry);
        let length = exposition.len();
        let mut response = match *method {
            Method::HEAD => Response::default(),
            _ => Response::new(exposition.into()),
        };
        if written.is_err() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
        headers.insert(CONTENT_LENGTH, length.into());
        response
    }
}

impl Observer for Metrics {
    fn answered(&self, status: StatusCode, after: Duration) {
        self.requests
            .get_or_create(&Status {
                status: status.as_u16(),
            })
            .inc();
        self.durations.observe(after.as_secs_f64());
    }

    fn abandoned(&self) {
        self.abandoned.inc();
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
        let help = "Key pairs ready for new keyserver accounts";
        gauge(&mut encoder, "key_stock_ready", help, self.0.ready())
    }
}

struct DroppedRuns(Cloud);

impl Collector for DroppedRuns {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Runs that could not be recorded because the database took too long";
        counter(&mut encoder, "runs_dropped", help, self.0.dropped_runs())
    }
}

impl fmt::Debug for DroppedRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DroppedRuns(..)")
    }
}

struct CodeState(CodeSource);

impl Collector for CodeState {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = (self.0)();
        for (name, help, number) in [
            (
                "code_calls_running",
                "Calls of code that have begun and not ended",
                now.running,
            ),
            (
                "code_calls_paused",
                "Calls of code among them that pause for others",
                now.paused,
            ),
            (
                "code_calls_waiting",
                "Calls of code that wait for their turn",
                now.waiting,
            ),
            (
                "code_workers_idle",
                "Worker processes that wait for a call",
                now.idle_workers,
            ),
        ] {
            gauge(&mut encoder, name, help, number)?;
        }
        let help = "Worker processes started";
        counter(
            &mut encoder,
            "code_workers_started",
            help,
            now.started_workers,
        )?;
        let help = "Calls of code that have ended, by the reason";
        let mut calls =
            encoder.encode_descriptor("code_calls_ended", help, None, MetricType::Counter)?;
        for (reason, count) in now.ended {
            ConstCounter::new(count).encode(calls.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for CodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeState(..)")
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    number: usize,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    number: u64,
) -> Result<(), fmt::Error> {
    let counter = ConstCounter::new(number);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use pinyto_core::{memory::MemoryStore, testing::keys};

    use super::*;

    async fn exposition(code: Option<CodeSource>) -> String {
        let cloud = Cloud::builder(Arc::new(MemoryStore::new()), keys::server());
        let metrics = Metrics::new(&cloud.build().unwrap(), code);
        metrics.answered(StatusCode::NOT_FOUND, Duration::from_millis(3));
        let body = metrics
            .answer(&Method::GET)
            .into_body()
            .collect()
            .await
            .unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn requests_stock_and_dropped_runs_are_told_always() {
        let text = exposition(None).await;
        for line in [
            "pinyto_http_requests_total{status=\"404\"} 1",
            "pinyto_http_requests_abandoned_total 0",
            "pinyto_key_stock_ready 0",
            "pinyto_runs_dropped_total 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(!text.contains("pinyto_code"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn what_runs_code_is_asked_when_the_metrics_are_read() {
        let source: CodeSource = Box::new(|| CodeFigures {
            running: 3,
            paused: 1,
            waiting: 2,
            idle_workers: 5,
            started_workers: 7,
            ended: vec![("finished", 40), ("cpu_time", 1)],
        });
        let text = exposition(Some(source)).await;
        for line in [
            "pinyto_code_calls_running 3",
            "pinyto_code_calls_paused 1",
            "pinyto_code_calls_waiting 2",
            "pinyto_code_workers_idle 5",
            "pinyto_code_workers_started_total 7",
            "pinyto_code_calls_ended_total{reason=\"finished\"} 40",
            "pinyto_code_calls_ended_total{reason=\"cpu_time\"} 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }
}
