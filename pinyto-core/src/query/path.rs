use std::{fmt, str::FromStr, sync::Arc};

use super::InvalidPath;

/// A dotted path to a field, such as `data.authors.0.name`: names without `$` in front.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// One name of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    name: Box<str>,
    index: Option<usize>,
}

impl Segment {
    /// The name of a field.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index, if the name can be one: decimal digits without leading zeros.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        self.index
    }
}

impl Path {
    /// The most bytes of a path.
    pub const MAX_BYTES: usize = 500;
    /// The most names of a path.
    pub const MAX_SEGMENTS: usize = 32;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidPath`] if a name is empty or begins with `$`, if there is a NUL character, or if
    /// it is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPath::TooLong);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Nul);
        }
        let segments = text
            .split('.')
            .map(|name| match name.as_bytes().first() {
                None => Err(InvalidPath::EmptySegment),
                Some(b'$') => Err(InvalidPath::Dollar),
                Some(_) => Ok(Segment {
                    name: name.into(),
                    index: index(name),
                }),
            })
            .collect::<Result<Box<[_]>, _>>()?;
        if segments.len() > Self::MAX_SEGMENTS {
            return Err(InvalidPath::TooManySegments);
        }
        Ok(Self(Arc::new(Parts {
            text: text.into(),
            segments,
        })))
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Its names, at least one.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0.segments
    }
}

/// The index that a field's name is in an array.
pub(super) fn index(name: &str) -> Option<usize> {
    let digits = name.as_bytes();
    let canonical =
        digits.iter().all(u8::is_ascii_digit) && (name == "0" || !name.starts_with('0'));
    // 32 bits, so that every platform means the same.
    let index: u32 = canonical.then(|| name.parse().ok())??;
    usize::try_from(index).ok()
}

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
