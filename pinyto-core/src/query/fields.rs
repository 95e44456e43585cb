use std::borrow::Cow;

use serde_json::{Map, Value};

use super::path::index;
use crate::document::Document;

/// What a query can be asked about: something with named fields.
///
/// Saves making JSON of a whole [`Document`] for a question about two of its fields.
pub trait Fields {
    /// The field of that name.
    fn field(&self, name: &str) -> Option<Cow<'_, Value>>;
}

impl<F: Fields> Fields for &F {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        (**self).field(name)
    }
}

impl Fields for Map<String, Value> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.get(name).map(Cow::Borrowed)
    }
}

/// Only an object has fields.
impl Fields for Value {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.as_object()?.field(name)
    }
}

/// As in [`Document::to_json`].
impl Fields for Document {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "_id" => Some(Cow::Owned(self.id.to_string().into())),
            "assembly" => Some(Cow::Owned(self.assembly.to_string().into())),
            "time" => Some(Cow::Owned(self.time.to_string().into())),
            _ => self.fields.field(name),
        }
    }
}

/// The members of an array, as fields called `0`, `1`, ...
pub(super) struct Members<'a>(pub(super) &'a [Value]);

impl Fields for Members<'_> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.get(index(name)?).map(Cow::Borrowed)
    }
}
