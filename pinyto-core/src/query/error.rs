use super::{Path, Pattern, Query};

/// Why a value is no query. The text names the operator or path at fault and is for the query's
/// author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidQuery {
    /// A query is an object.
    #[error("A query is an object, for example {{\"type\": \"book\"}}. This is {found}.")]
    NotAnObject {
        /// What there is instead.
        found: &'static str,
    },
    /// The query has too many bytes.
    #[error(
        "The query is too large. At most {} bytes are allowed.",
        Query::MAX_BYTES
    )]
    TooLarge,
    /// The query is nested too deeply.
    #[error(
        "The query is nested too deeply. At most {} levels are allowed.",
        Query::MAX_DEPTH
    )]
    TooDeep,
    /// The query has too many conditions.
    #[error(
        "The query has too many conditions. At most {} are allowed.",
        Query::MAX_CONDITIONS
    )]
    TooManyConditions,
    /// The query has too many regular expressions.
    #[error(
        "The query has too many regular expressions. At most {} are allowed.",
        Query::MAX_PATTERNS
    )]
    TooManyPatterns,
    /// An operator's array has too many members.
    #[error(
        "{operator}{} has too many members. At most {} are allowed.",
        at(.path),
        Query::MAX_MEMBERS
    )]
    TooManyMembers {
        /// The operator.
        operator: &'static str,
        /// The path it stands at.
        path: String,
    },
    /// There is no such operator.
    #[error("There is no operator {operator:?}{}. There are $all, $and, $elemMatch, $eq, $exists, $gt, $gte, $in, $lt, $lte, $mod, $ne, $nin, $nor, $not, $options, $or, $regex, $size and $type.", at(.path))]
    UnknownOperator {
        /// The key that looks like an operator, shortened if it is long.
        operator: String,
        /// The path it stands at; empty outside of all paths.
        path: String,
    },
    /// An operator stands where it can't.
    #[error("{operator:?} can't stand{}: {hint}.", here(.path))]
    MisplacedOperator {
        /// The operator, or a key inside a value that begins with `$`, shortened if it is long.
        operator: String,
        /// The path it stands at; empty outside of all paths.
        path: String,
        /// Where it belongs.
        hint: &'static str,
    },
    /// Operators and fields stand side by side.
    #[error("The field {field:?} stands among operators{}. Use either operators or fields.", at(.path))]
    FieldAmongOperators {
        /// The field's name, shortened if it is long.
        field: String,
        /// The path they stand at.
        path: String,
    },
    /// An operator's value is not what the operator needs.
    #[error("{operator}{} needs {expected}.", at(.path))]
    InvalidOperand {
        /// The operator.
        operator: &'static str,
        /// The path it stands at; empty outside of all paths.
        path: String,
        /// What it needs.
        expected: &'static str,
    },
    /// A field's name is no path.
    #[error("{path:?} is no path of a field: {reason}")]
    InvalidPath {
        /// The text, shortened if it is long.
        path: String,
        /// What is wrong with it.
        reason: InvalidPath,
    },
    /// A regular expression is none.
    #[error("The regular expression{} can't be used: {reason}", at(.path))]
    InvalidPattern {
        /// The path it stands at.
        path: String,
        /// What is wrong with it.
        reason: InvalidPattern,
    },
}

impl InvalidQuery {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject { .. } => "query_not_an_object",
            Self::TooLarge => "query_too_large",
            Self::TooDeep => "query_too_deep",
            Self::TooManyConditions => "query_too_many_conditions",
            Self::TooManyPatterns => "query_too_many_patterns",
            Self::TooManyMembers { .. } => "query_too_many_members",
            Self::UnknownOperator { .. } => "query_unknown_operator",
            Self::MisplacedOperator { .. } => "query_misplaced_operator",
            Self::FieldAmongOperators { .. } => "query_field_among_operators",
            Self::InvalidOperand { .. } => "query_invalid_operand",
            Self::InvalidPath { .. } => "query_invalid_path",
            Self::InvalidPattern { .. } => "query_invalid_pattern",
        }
    }
}

/// Why a text is no [`Path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// Two dots meet, or a dot is at an end, or there is nothing at all.
    #[error("a name between the dots is empty.")]
    EmptySegment,
    /// A name looks like an operator.
    #[error("a name begins with $.")]
    Dollar,
    /// There is a NUL character.
    #[error("it has a NUL character.")]
    Nul,
    /// There are too many bytes.
    #[error("it is longer than {} bytes.", Path::MAX_BYTES)]
    TooLong,
    /// There are too many names.
    #[error("it has more than {} names.", Path::MAX_SEGMENTS)]
    TooManySegments,
}

impl InvalidPath {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EmptySegment => "path_empty_segment",
            Self::Dollar => "path_dollar",
            Self::Nul => "path_nul",
            Self::TooLong => "path_too_long",
            Self::TooManySegments => "path_too_many_segments",
        }
    }
}

/// Why a text is no [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// It has too many bytes.
    #[error("it is longer than {} bytes.", Pattern::MAX_BYTES)]
    TooLong,
    /// Compiled, it would be too large.
    #[error("it is too large once repetitions are written out.")]
    TooLarge,
    /// There is no such option.
    #[error("there is no option {0:?}, only i, m, s and x.")]
    UnknownOption(char),
    /// The syntax is wrong, or not supported.
    #[error("{0}.")]
    Syntax(String),
}

impl InvalidPattern {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "pattern_too_long",
            Self::TooLarge => "pattern_too_large",
            Self::UnknownOption(_) => "pattern_unknown_option",
            Self::Syntax(_) => "pattern_syntax",
        }
    }
}

fn at(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!(" at {path:?}")
    }
}

fn here(path: &str) -> String {
    if path.is_empty() {
        " here".to_owned()
    } else {
        at(path)
    }
}

/// `text`, or its beginning: errors get logged and sent.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
