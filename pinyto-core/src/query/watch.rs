//! What keeps an evaluation within bounds.

use std::{convert::Infallible, fmt};

use super::Pattern;

/// Why an evaluation gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The one who was asked from time to time said so.
    #[error("The evaluation was interrupted.")]
    Interrupted,
    /// A regular expression would have to be looked for in a text that is too long for it:
    /// [`Watch::LONGEST_SEARCH`].
    #[error("A regular expression is too large for the length of a text it is looked for in.")]
    LongSearch,
}

impl Stopped {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Interrupted => "query_interrupted",
            Self::LongSearch => "query_long_search",
        }
    }
}

impl From<Infallible> for Stopped {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Watches over the evaluation of one query or of many, so that none takes longer than somebody
/// wants to wait: asks again and again whether it is to be interrupted, and refuses the single
/// step that could take long, a regular expression in a long text.
pub struct Watch<'a> {
    /// Values that may be looked at until the next question.
    left: usize,
    is_interrupted: Option<&'a mut (dyn FnMut() -> bool + 'a)>,
    longest_search: u64,
    is_quick: bool,
}

impl<'a> Watch<'a> {
    /// How many values are looked at between two questions: a fraction of a millisecond.
    const BETWEEN: usize = 16 * 1024;

    /// The most that looking for a regular expression in a text may cost in its worst case:
    /// [`Pattern::states`] times the text's bytes, which take up to 8 ns each (but mostly a
    /// thousandth of that). Beyond, a search is refused unless a way is tried and found that
    /// bounds it; that takes some 100 ms at worst.
    pub const LONGEST_SEARCH: u64 = 40_000_000;

    /// Asks `is_interrupted` after each few ten thousand values looked at.
    #[must_use]
    pub fn new(is_interrupted: &'a mut (dyn FnMut() -> bool + 'a)) -> Self {
        Self {
            left: Self::BETWEEN,
            is_interrupted: Some(is_interrupted),
            longest_search: Self::LONGEST_SEARCH,
            is_quick: false,
        }
    }

    /// Lets the evaluation take as long as it takes.
    #[must_use]
    pub const fn unbounded() -> Self {
        Self {
            left: usize::MAX,
            is_interrupted: None,
            longest_search: u64::MAX,
            is_quick: false,
        }
    }

    /// Refuses every search that might cost more than this, counted as
    /// [`Watch::LONGEST_SEARCH`].
    #[must_use]
    pub const fn quick_searches(mut self, cost: u64) -> Self {
        self.longest_search = cost;
        self.is_quick = true;
        self
    }

    /// Counts `values` that are looked at. Also for those who go through what a query has found.
    ///
    /// # Errors
    ///
    /// [`Stopped::Interrupted`] if that is wanted.
    pub fn charge(&mut self, values: usize) -> Result<(), Stopped> {
        match self.left.checked_sub(values) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.ask(),
        }
    }

    #[cold]
    fn ask(&mut self) -> Result<(), Stopped> {
        let Some(is_interrupted) = &mut self.is_interrupted else {
            self.left = usize::MAX;
            return Ok(());
        };
        if is_interrupted() {
            return Err(Stopped::Interrupted);
        }
        self.left = Self::BETWEEN;
        Ok(())
    }

    /// Whether the pattern occurs in the text.
    pub(super) fn occurs(&mut self, pattern: &Pattern, text: &str) -> Result<bool, Stopped> {
        let cost = (pattern.states() as u64).saturating_mul(text.len() as u64);
        // Mostly a byte takes a nanosecond; what could take long is worth a question.
        let values = if cost > Self::WORTH_A_QUESTION {
            Self::BETWEEN + 1
        } else {
            1 + text.len() / 8
        };
        self.charge(values)?;
        if cost <= self.longest_search {
            Ok(pattern.occurs_in(text))
        } else if self.is_quick {
            Err(Stopped::LongSearch)
        } else {
            pattern.occurs_by_table(text).ok_or(Stopped::LongSearch)
        }
    }

    /// A search that takes a millisecond at worst.
    const WORTH_A_QUESTION: u64 = 128 * 1024;
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
