//! What the operating system's signals do to the server.

use std::process;

use pinyto_http::listener::Tls;
use tokio::sync::watch;

/// Becomes ready when the server shall stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for the request to stop.
    pub(crate) async fn requested(mut self) {
        // The sender lives as long as the process, so an error never comes.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Starts the task that waits for signals: the first SIGTERM or SIGINT stops, the second one ends
/// the process at once, SIGHUP reloads `tls`.
#[cfg(unix)]
pub(crate) fn watch(tls: Option<Tls>) -> Result<Stop, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| format!("Can't wait for signals: {error}."));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = terminate.recv() => 128 + 15,
                _ = interrupt.recv() => 128 + 2,
                _ = hang_up.recv() => {
                    reload(tls.as_ref());
                    continue;
                }
            };
            stop_or_exit(&stop, code);
        }
    });
    Ok(Stop(stopped))
}

/// Starts the task that waits for Ctrl-C: the first stops, the second ends the process at once.
#[cfg(not(unix))]
pub(crate) fn watch(_tls: Option<Tls>) -> Result<Stop, String> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            stop_or_exit(&stop, 130);
        }
    });
    Ok(Stop(stopped))
}

fn stop_or_exit(stop: &watch::Sender<bool>, code: i32) {
    if stop.send_replace(true) {
        tracing::warn!("second signal: ending at once");
        process::exit(code);
    }
    tracing::info!("stopping: finishing running requests; a second signal ends at once");
}

#[cfg(unix)]
fn reload(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => tracing::info!("SIGHUP: there is no TLS certificate to reload"),
        Some(Ok(())) => tracing::info!("SIGHUP: TLS certificate reloaded"),
        Some(Err(error)) => {
            tracing::error!(%error, "SIGHUP: the new TLS certificate can't be used, the old stays");
        }
    }
}
