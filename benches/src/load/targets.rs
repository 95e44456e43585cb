//! What was promised, beside what was measured.

use std::process::ExitCode;

/// Judges figures, and remembers those that miss their target.
#[derive(Default)]
pub(crate) struct Targets {
    missed: Vec<String>,
}

impl Targets {
    /// `measured` must not be above `target`.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, target: f64, unit: &str) {
        self.judge(
            what,
            measured,
            ("at most", target),
            unit,
            measured <= target,
        );
    }

    /// `measured` must not be below `target`.
    pub(crate) fn at_least(&mut self, what: &str, measured: f64, target: f64, unit: &str) {
        self.judge(
            what,
            measured,
            ("at least", target),
            unit,
            measured >= target,
        );
    }

    fn judge(
        &mut self,
        what: &str,
        measured: f64,
        (word, target): (&str, f64),
        unit: &str,
        met: bool,
    ) {
        let verdict = if met { "met" } else { "MISSED" };
        let line = format!("{what}: {measured:.3} {unit} (target: {word} {target}): {verdict}");
        println!("  {line}");
        if !met {
            self.missed.push(line);
        }
    }

    /// Tells what was missed; the bench fails if anything was.
    pub(crate) fn conclude(self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("missed:");
        for line in &self.missed {
            eprintln!("  {line}");
        }
        ExitCode::FAILURE
    }
}
