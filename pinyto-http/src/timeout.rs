//! How long times may be that are set.

use std::time::Duration;

/// Longer ones count as this: added to a moment, they might be none any more.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// At most a year.
pub(crate) fn bounded(time: Duration) -> Duration {
    time.min(LONGEST)
}
