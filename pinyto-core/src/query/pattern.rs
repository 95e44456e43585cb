use std::fmt;

use regex::{Regex, RegexBuilder};
use regex_automata::{
    Input,
    hybrid::dfa::DFA,
    nfa::thompson::{self, NFA, WhichCaptures},
    util::syntax,
};

use super::{InvalidPattern, error::excerpt};

/// A regular expression with its options, compiled. It matches in time linear in the text.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    options: String,
    automaton: NFA,
}

impl Pattern {
    /// The most bytes of a pattern.
    pub const MAX_BYTES: usize = 1_000;

    /// What a compiled pattern may take in memory, in bytes: as a program, and once more as the
    /// tables that are made while matching.
    const MAX_COMPILED: usize = 512 * 1024;

    /// Compiles `pattern`. `options` has some of the letters `i` (case doesn't matter), `m` (`^`
    /// and `$` also at line ends), `s` (`.` also fits a line end) and `x` (blanks and comments
    /// don't count).
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] if it isn't one, or too large, or there is another option.
    pub fn new(pattern: &str, options: &str) -> Result<Self, InvalidPattern> {
        if pattern.len() > Self::MAX_BYTES {
            return Err(InvalidPattern::TooLong);
        }
        let mut builder = RegexBuilder::new(pattern);
        builder
            .size_limit(Self::MAX_COMPILED)
            .dfa_size_limit(Self::MAX_COMPILED);
        for option in options.chars() {
            match option {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                other => return Err(InvalidPattern::UnknownOption(other)),
            };
        }
        let regex = builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => InvalidPattern::TooLarge,
            // The last line says what is wrong; those before repeat the pattern.
            other => {
                let text = other.to_string();
                let line = text.lines().last().unwrap_or_default();
                InvalidPattern::Syntax(excerpt(line.trim_start_matches("error: ")))
            }
        })?;
        let automaton = automaton(pattern, options)?;
        let mut letters: Vec<char> = options.chars().collect();
        letters.sort_unstable();
        letters.dedup();
        Ok(Self {
            regex,
            options: letters.into_iter().collect(),
            automaton,
        })
    }

    /// The states of the automaton that the pattern is. In the worst case each of them is looked
    /// at for each byte of a text.
    #[must_use]
    pub fn states(&self) -> usize {
        self.automaton.states().len()
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Its options, each letter once, in alphabetical order.
    #[must_use]
    pub fn options(&self) -> &str {
        &self.options
    }

    /// Whether the pattern occurs in `text`.
    #[must_use]
    pub fn occurs_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Whether the pattern occurs in `text`, if that can be told by following the automaton's
    /// table, which is made on the way, byte by byte; not, if it would have to be made again and
    /// again. Takes some 100 ms at worst.
    pub(super) fn occurs_by_table(&self, text: &str) -> Option<bool> {
        const REMAKES: usize = 4;
        let config = DFA::config()
            .cache_capacity(Self::MAX_COMPILED)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(REMAKES))
            .unicode_word_boundary(true);
        let table = DFA::builder()
            .configure(config)
            .build_from_nfa(self.automaton.clone())
            .ok()?;
        let found =
            table.try_search_fwd(&mut table.create_cache(), &Input::new(text).earliest(true));
        found.ok().map(|end| end.is_some())
    }
}

/// The automaton, of which [`Regex`] doesn't tell how large it is.
fn automaton(pattern: &str, options: &str) -> Result<NFA, InvalidPattern> {
    let is_on = |option| options.contains(option);
    let syntax = syntax::Config::new()
        .case_insensitive(is_on('i'))
        .multi_line(is_on('m'))
        .dot_matches_new_line(is_on('s'))
        .ignore_whitespace(is_on('x'));
    let limit = thompson::Config::new()
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(Pattern::MAX_COMPILED));
    let mut compiler = thompson::Compiler::new();
    let automaton = compiler.configure(limit).syntax(syntax).build(pattern);
    automaton.map_err(|_| InvalidPattern::TooLarge)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() && self.options == other.options
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.as_str(), self.options)
    }
}
