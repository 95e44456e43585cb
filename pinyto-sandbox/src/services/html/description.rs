//! What authors describe elements with. Whatever isn't formed as expected is no description.

use serde_json::{Map, Value};

use super::tree::Element;

/// `{"tag": "div", "attrs": {"id": "content"}}`; without `attrs` any attributes do.
#[derive(Debug)]
pub(super) struct Description<'a> {
    tag: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Description<'a> {
    /// One description or a list of them, at least one.
    pub(super) fn parse_path(value: &'a Value) -> Option<Vec<Self>> {
        match value {
            Value::Array(path) if !path.is_empty() => path.iter().map(Self::parse).collect(),
            one => Some(vec![Self::parse(one)?]),
        }
    }

    fn parse(value: &'a Value) -> Option<Self> {
        let fields = value.as_object()?;
        Self::from_fields(fields.get("tag")?.as_str()?, fields.get("attrs"))
    }

    fn from_fields(tag: &'a str, attributes: Option<&'a Value>) -> Option<Self> {
        let attributes = match attributes {
            Some(attributes) => attributes
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.as_str(), value.as_str()?)))
                .collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self { tag, attributes })
    }

    /// Names of tags and attributes are the same in capitals. Values have to be equal; of a
    /// `class` it is enough that the wanted one is among its classes.
    pub(super) fn matches(&self, element: &Element) -> bool {
        str::eq_ignore_ascii_case(&element.name, self.tag)
            && self.attributes.iter().all(|(name, wanted)| {
                element.attribute(name).is_some_and(|value| {
                    value == *wanted
                        || (name.eq_ignore_ascii_case("class") && has_class(value, wanted))
                })
            })
    }
}

/// Several wanted classes have to be all there are, in their order.
fn has_class(value: &str, wanted: &str) -> bool {
    value.split_ascii_whitespace().any(|class| class == wanted)
        || value
            .split_ascii_whitespace()
            .eq(wanted.split_ascii_whitespace())
}

/// Which captions to look for in a row, and what stands beside them.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) key: &'a str,
    pub(super) caption: Description<'a>,
    pub(super) captions: Vec<&'a str>,
    pub(super) content: Description<'a>,
}

impl<'a> Search<'a> {
    /// An object with a search for each key.
    pub(super) fn parse_all(value: &'a Value) -> Option<Vec<Self>> {
        value
            .as_object()?
            .iter()
            .map(|(key, search)| Self::parse(key, search.as_object()?))
            .collect()
    }

    fn parse(key: &'a str, fields: &'a Map<String, Value>) -> Option<Self> {
        let tag = |name| fields.get(name).map_or(Some("td"), Value::as_str);
        Some(Self {
            key,
            caption: Description::from_fields(tag("search tag")?, fields.get("search attrs"))?,
            captions: fields
                .get("captions")?
                .as_array()?
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()?,
            content: Description::from_fields(tag("content tag")?, fields.get("content attrs"))?,
        })
    }
}
