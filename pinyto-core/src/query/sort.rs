//! The order of documents.

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use serde_json::Value;

use super::{Fields, InvalidPath, Path, SortKey, compare};

/// Up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least first.
    #[default]
    Ascending,
    /// The greatest first.
    Descending,
}

/// Why a text is no direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The direction of a sorting is asc or desc.")]
#[non_exhaustive]
pub struct InvalidDirection;

impl InvalidDirection {
    /// A stable name of the error for programs, in `snake_case`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_direction"
    }
}

/// `asc` or `desc`.
impl FromStr for Direction {
    type Err = InvalidDirection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "asc" => Ok(Self::Ascending),
            "desc" => Ok(Self::Descending),
            _ => Err(InvalidDirection),
        }
    }
}

impl Direction {
    /// `order`, turned round if this is down.
    #[must_use]
    pub const fn apply(self, order: Ordering) -> Ordering {
        match self {
            Self::Ascending => order,
            Self::Descending => order.reverse(),
        }
    }
}

/// In which order documents come: by one path; where that leaves it open, by `_id`, in the same
/// direction. By default: by `_id`, up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// What to sort by; none: `_id`.
    pub path: Option<Path>,
    /// Up or down.
    pub direction: Direction,
}

impl Default for Sort {
    fn default() -> Self {
        Self::by_id(Direction::Ascending)
    }
}

/// What a document is sorted by.
#[derive(Clone)]
pub enum SortValue<'a> {
    /// An empty array comes before everything else.
    EmptyArray,
    /// This value.
    Value(Cow<'a, Value>),
}

/// Without the value, which is a user's.
impl fmt::Debug for SortValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyArray => "EmptyArray",
            Self::Value(_) => "Value",
        })
    }
}

impl SortValue<'_> {
    /// As [`compare`], with empty arrays first.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::EmptyArray, Self::EmptyArray) => Ordering::Equal,
            (Self::EmptyArray, Self::Value(_)) => Ordering::Less,
            (Self::Value(_), Self::EmptyArray) => Ordering::Greater,
            (Self::Value(left), Self::Value(right)) => compare(left, right),
        }
    }

    /// Bytes in that order.
    #[must_use]
    pub fn key(&self) -> SortKey {
        match self {
            Self::EmptyArray => SortKey::of_nothing(),
            Self::Value(value) => SortKey::of(value),
        }
    }
}

impl Sort {
    /// By `_id` alone, which is by age.
    #[must_use]
    pub const fn by_id(direction: Direction) -> Self {
        Self {
            path: None,
            direction,
        }
    }

    /// By a dotted path.
    ///
    /// # Errors
    ///
    /// [`InvalidPath`] if it is none.
    pub fn by(path: &str, direction: Direction) -> Result<Self, InvalidPath> {
        Ok(Self {
            path: Some(Path::parse(path)?),
            direction,
        })
    }

    /// Which of two documents comes first.
    #[must_use]
    pub fn compare(&self, left: &impl Fields, right: &impl Fields) -> Ordering {
        let by_path = self.path.as_ref().map_or(Ordering::Equal, |path| {
            let (left, right) = (
                path.sort_value(left, self.direction),
                path.sort_value(right, self.direction),
            );
            left.compare(&right)
        });
        let order = by_path.then_with(|| compare(&id(left), &id(right)));
        self.direction.apply(order)
    }

    /// Puts documents in order. Looks for what they are sorted by only once in each.
    pub fn sort<D: Fields>(&self, documents: &mut [D]) {
        let key = |document: &D| {
            let by_path = self.path.as_ref().map_or(SortKey::of_nothing(), |path| {
                path.sort_value(document, self.direction).key()
            });
            (by_path, SortKey::of(&id(document)))
        };
        match self.direction {
            Direction::Ascending => documents.sort_by_cached_key(key),
            Direction::Descending => {
                documents.sort_by_cached_key(|document| std::cmp::Reverse(key(document)));
            }
        }
    }
}

fn id(document: &impl Fields) -> Cow<'_, Value> {
    document.field("_id").unwrap_or(Cow::Owned(Value::Null))
}
