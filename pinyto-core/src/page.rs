//! Which part of a list is wanted.

/// A part of a list: so many of it, after the first few.
///
/// ```
/// use pinyto_core::Page;
///
/// let second = Page::first(50).after(50);
/// assert_eq!((second.skip, second.count), (50, 50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Page {
    /// How many are left out at the beginning.
    pub skip: u64,
    /// How many at the most.
    pub count: u64,
}

impl Page {
    /// The first ones, `count` at the most.
    #[must_use]
    pub const fn first(count: u64) -> Self {
        Self { skip: 0, count }
    }

    /// As many, but from the one after `skip` others.
    #[must_use]
    pub const fn after(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// The same page, with no more than `most`.
    #[must_use]
    pub(crate) fn at_most(self, most: u64) -> Self {
        Self {
            count: self.count.min(most),
            ..self
        }
    }
}
