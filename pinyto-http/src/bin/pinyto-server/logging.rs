//! The log: to stderr, for people or as JSON, and panics in it too.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// The filter is not understood.
    #[error("the log filter is not understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// This process has a log already.
    #[error("a log is set up already: {0}")]
    Taken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the process's events that pass `filter` to stderr, panics included.
///
/// The filter is a list such as `info,pinyto_core=debug`; `RUST_LOG` is not looked at.
///
/// # Errors
///
/// When the filter is not understood, or a subscriber was set before.
pub(crate) fn init(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(self::filter(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(LoggingError::Taken)?;
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(panic = text, place, "a task panicked");
    }));
    Ok(())
}

/// Parses a filter, strictly.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(text)
}
