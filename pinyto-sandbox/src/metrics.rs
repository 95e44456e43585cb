//! What has happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a runtime does and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Calls that have begun and not ended.
    pub running: usize,
    /// Those among them that pause because others use their share of CPU time.
    pub paused: usize,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// Worker processes that wait for a call.
    pub idle_workers: usize,
    /// Worker processes started so far.
    pub started: u64,
    /// Calls refused because too many waited or were paused.
    pub refused: u64,
    /// Calls that ended by themselves, with an answer or an exception.
    pub finished: u64,
    /// Workers ended for using up CPU time.
    pub killed_cpu_time: u64,
    /// Workers ended for taking too long.
    pub killed_wall_time: u64,
    /// Workers that ended themselves for using up memory.
    pub killed_memory: u64,
    /// Workers ended for what they said: a limit that they should have kept, or a forged frame.
    pub killed_breach: u64,
    /// Workers that ended without a known reason.
    pub crashed: u64,
}

impl Metrics {
    /// The numbers that only grow, with a stable name each: why calls ended.
    #[must_use]
    pub const fn ends(&self) -> [(&'static str, u64); 7] {
        [
            ("finished", self.finished),
            ("refused", self.refused),
            ("cpu_time", self.killed_cpu_time),
            ("wall_time", self.killed_wall_time),
            ("memory", self.killed_memory),
            ("breach", self.killed_breach),
            ("crashed", self.crashed),
        ]
    }
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Refused,
    CpuTime,
    WallTime,
    Memory,
    Breach,
    Crashed,
}

#[derive(Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    ends: [AtomicU64; 7],
}

impl Counters {
    pub(crate) fn started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Metrics {
        let ended = |end: End| self.ends[end as usize].load(Relaxed);
        Metrics {
            started: self.started.load(Relaxed),
            finished: ended(End::Finished),
            refused: ended(End::Refused),
            killed_cpu_time: ended(End::CpuTime),
            killed_wall_time: ended(End::WallTime),
            killed_memory: ended(End::Memory),
            killed_breach: ended(End::Breach),
            crashed: ended(End::Crashed),
            ..Metrics::default()
        }
    }
}
