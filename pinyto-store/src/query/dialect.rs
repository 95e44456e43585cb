//! What a database has to be able to say.

use pinyto_core::query::Path;
use serde_json::Number;

/// A value that a statement gets beside its text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Integer(i64),
    #[cfg(feature = "sqlite")]
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Values for one statement, and how its text refers to them.
#[derive(Debug)]
pub(crate) struct Binds {
    marker: char,
    values: Vec<Bind>,
}

impl Binds {
    /// `marker` begins a reference: `?` makes `?1`, `?2`, ...
    pub(crate) const fn new(marker: char) -> Self {
        Self {
            marker,
            values: Vec::new(),
        }
    }

    /// Takes a value; gives the reference to it.
    pub(crate) fn add(&mut self, value: Bind) -> String {
        self.values.push(value);
        format!("{}{}", self.marker, self.values.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn into_values(self) -> Vec<Bind> {
        self.values
    }
}

/// Whether something holds, in the three-valued logic of SQL: the database knows, or it doesn't
/// (null) and the evaluator has to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Always,
    Never,
    /// For no document does the database know.
    Unknown,
    /// An expression of SQL that is true, false or null.
    Sql(String),
}

impl Truth {
    pub(crate) const fn known(holds: bool) -> Self {
        if holds { Self::Always } else { Self::Never }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    pub(crate) const fn is_upwards(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }
}

/// What is asked of a value whose type is known already.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test<T> {
    /// Nothing.
    Is(Truth),
    /// Whether it equals one of these.
    OneOf(Vec<T>),
    /// How it compares.
    Compare(Comparison, T),
}

/// What is asked of the value at a path, by its type. Arrays on the way, or at the end, are for
/// the evaluator unless `array` says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByType {
    pub(crate) null: Truth,
    /// False, true.
    pub(crate) bools: (Truth, Truth),
    pub(crate) number: Test<Number>,
    pub(crate) text: Test<String>,
    pub(crate) object: Truth,
    /// At the end of the path.
    pub(crate) array: Truth,
    pub(crate) missing: Truth,
}

#[cfg(feature = "postgres")]
impl ByType {
    /// Whether the database knows for no value.
    pub(crate) fn is_unknown(&self) -> bool {
        let truths = [
            &self.null,
            &self.bools.0,
            &self.bools.1,
            &self.object,
            &self.array,
            &self.missing,
        ];
        truths.into_iter().all(|truth| *truth == Truth::Unknown)
            && self.number == Test::Is(Truth::Unknown)
            && self.text == Test::Is(Truth::Unknown)
    }
}

/// What is kept outside of the JSON, but is a text for queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    Time,
    Assembly,
}

/// How a database says it. The table of documents is called `d`.
pub(crate) trait Dialect {
    /// Whether what is at `path` in the JSON is as wanted.
    fn at_path(&self, path: &Path, wanted: &ByType, binds: &mut Binds) -> Truth;

    /// Whether a text in a column of its own is as wanted.
    fn in_column(&self, column: Column, wanted: &Test<String>, binds: &mut Binds) -> Truth;
}
