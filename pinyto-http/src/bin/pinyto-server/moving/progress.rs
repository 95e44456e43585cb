//! How far it is, on stderr: a bar where somebody sees it, otherwise a line now and then.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::complain;

/// How often a line is written.
const INTERVAL: Duration = Duration::from_secs(5);

/// How often a bar is drawn in a second.
const DRAWN: u8 = 5;

/// What is told of how far it is.
pub(super) struct Bar {
    shown: Option<ProgressBar>,
    what: &'static str,
    unit: &'static str,
    length: Option<u64>,
    told: Instant,
}

impl Bar {
    /// Tells how much of `length` units is done, if that is known.
    pub(super) fn new(what: &'static str, unit: &'static str, length: Option<u64>) -> Self {
        let shown = io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWN);
            let bar = ProgressBar::with_draw_target(length, target);
            let template = match length {
                Some(_) => "{prefix} [{bar:30}] {percent}%, {eta} left, {msg}",
                None => "{prefix} {spinner} {pos} in {elapsed}, {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(what);
            bar
        });
        Self {
            shown,
            what,
            unit,
            length,
            told: Instant::now(),
        }
    }

    /// It is known only now.
    pub(super) fn set_length(&mut self, length: Option<u64>) {
        if self.length.is_none() && length.is_some() {
            *self = Self::new(self.what, self.unit, length);
        }
    }

    pub(super) fn set(&mut self, done: u64, subject: &str) {
        if let Some(bar) = &self.shown {
            bar.set_message(subject.to_owned());
            bar.set_position(done);
        } else if self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            let of = self
                .length
                .map_or_else(String::new, |all| format!(" of {all}"));
            complain(&format!(
                "{}: {done}{of} {} ({subject})",
                self.what, self.unit
            ));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
