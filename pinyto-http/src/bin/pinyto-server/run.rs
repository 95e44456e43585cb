//! From settings to a running server, and to its orderly end.

use std::net::SocketAddr;
use std::sync::Arc;

use pinyto_core::Cloud;
use pinyto_http::listener::{Listener, Tls};

use crate::cloud::RunningCloud;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::routes::{self, Routes};
use crate::{say, signals};

/// Serves until a signal ends it.
///
/// # Errors
///
/// One sentence for the operator, when the server can't start; nothing was served then.
pub(crate) async fn run(settings: &Settings) -> Result<(), String> {
    let tls = tls(settings)?;
    let public = bind(settings.listen).await?.with_limits(settings.limits());
    let public = public.trusting_proxy(settings.trust_proxy);
    let admin = match settings.admin_listen {
        Some(address) => Some(bind(address).await?.with_limits(settings.limits())),
        None => None,
    };
    let stop = signals::watch(tls.clone())?;
    warn(settings);
    let running = RunningCloud::open(settings).await?;
    running
        .warn_of_reserved_names(&settings.reserved_names)
        .await;
    let metrics = Metrics::new(&running.cloud, running.code_source());
    let Routes {
        public: public_routes,
        admin: admin_routes,
    } = routes::of(running.cloud.clone(), &metrics, settings);

    greet(settings, &running.cloud, &public, admin.as_ref());
    let public = public.observed_by(Arc::new(metrics));
    let public = match tls {
        Some(tls) => public.with_tls(tls),
        None => public,
    };
    let public = public.serve(warp::service(public_routes), stop.clone().requested());
    let admin = async {
        match admin {
            Some(admin) => Some(
                admin
                    .serve(warp::service(admin_routes), stop.requested())
                    .await,
            ),
            None => None,
        }
    };
    let (public, _) = tokio::join!(public, admin);
    running.close().await;
    tracing::info!(dropped_connections = public.dropped, "stopped");
    Ok(())
}

/// Certificate and key, if the settings name them.
pub(crate) fn tls(settings: &Settings) -> Result<Option<Tls>, String> {
    let tls = settings.tls.clone().map(Tls::load).transpose();
    tls.map_err(|error| format!("TLS can't be used: {error}."))
}

pub(crate) async fn bind(address: SocketAddr) -> Result<Listener, String> {
    let listener = Listener::bind(address).await;
    listener.map_err(|error| format!("Can't listen on {address}: {error}."))
}

fn warn(settings: &Settings) {
    if settings.is_exposed_without_tls() {
        tracing::warn!(
            listen = %settings.listen,
            "NO TLS: passwords and tokens cross the network readable for everyone on the way. \
             Set --tls-cert and --tls-key, or --trust-proxy behind a proxy that does TLS"
        );
    }
    if settings.is_in_memory() {
        tracing::warn!("DATABASE IN MEMORY: everything is lost when the server ends");
    }
    if !settings.throttle {
        tracing::warn!("THROTTLING IS OFF: anyone may guess passwords without a limit");
    }
    if let Some(admin) = settings.admin_listen
        && !admin.ip().to_canonical().is_loopback()
    {
        tracing::warn!(admin_listen = %admin, "health and metrics are open to the network");
    }
}

fn greet(settings: &Settings, cloud: &Cloud, public: &Listener, admin: Option<&Listener>) {
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = public.local_addr().unwrap_or(settings.listen);
    say(&format!("Pinyto serves {scheme}://{address}"));
    say(&format!(
        "  server key {} ({}), database {}",
        cloud.server_public_key().fingerprint().short(),
        settings.server_key.display(),
        settings.database
    ));
    #[cfg(feature = "gpgauth")]
    if let Ok(openpgp) = cloud.openpgp() {
        let fingerprint = openpgp.fingerprint().to_hex().to_uppercase();
        say(&format!("  OpenPGP key {fingerprint}, for gpgAuth"));
    }
    if settings.is_in_memory() {
        say("  THE DATABASE IS IN MEMORY: everything is lost when the server ends");
    }
    say(&format!(
        "  next: make an account and log in, see the README, or read all calls at {scheme}://{address}/docs"
    ));
    if let Some(Ok(address)) = admin.map(Listener::local_addr) {
        say(&format!("Health and metrics on http://{address}"));
    }
}
