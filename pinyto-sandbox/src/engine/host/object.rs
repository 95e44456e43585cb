//! Which objects there are, and what methods they have.

use monty_types::{MontyObject, MontyUuid};
use pinyto_core::runtime::Service;

/// An object of the code's that is answered for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Request,
    Db,
    Factory,
    Http,
    /// A parsed page, by its place in `Host::pages`.
    Page(usize),
}

/// The identities before are those of the other objects and of a module.
const FIRST_PAGE: u128 = 16;

impl Object {
    fn id(self) -> MontyUuid {
        MontyUuid::from_u128(match self {
            Self::Request => 1,
            Self::Db => 2,
            Self::Factory => 3,
            Self::Http => 4,
            Self::Page(index) => FIRST_PAGE + index as u128,
        })
    }

    pub(super) fn of_id(id: MontyUuid) -> Option<Self> {
        match u128::from_be_bytes(*id.as_bytes()) {
            1 => Some(Self::Request),
            2 => Some(Self::Db),
            3 => Some(Self::Factory),
            4 => Some(Self::Http),
            page => usize::try_from(page.checked_sub(FIRST_PAGE)?)
                .ok()
                .map(Self::Page),
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Db => "Db",
            Self::Factory => "Factory",
            Self::Http => "Http",
            Self::Page(_) => "ParseHtml",
        }
    }

    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Request => &[],
            Self::Db => &[
                "find",
                "find_documents",
                "find_document_for_id",
                "find_distinct",
                "count",
                "insert",
                "save",
                "remove",
            ],
            Self::Factory => &["create"],
            Self::Http => &["get", "post"],
            Self::Page(_) => &[
                "contains",
                "find_element_and_get_attribute_value",
                "find_element_and_collect_table_like_information",
            ],
        }
    }

    pub(super) fn instance(self, attributes: Vec<(MontyObject, MontyObject)>) -> MontyObject {
        let class = match self {
            Self::Page(_) => MontyUuid::from_u128(5 << 64),
            other => MontyUuid::from_u128(u128::from_be_bytes(*other.id().as_bytes()) << 64),
        };
        let class = MontyObject::class_type(self.class(), class, true, false, []);
        MontyObject::class_instance(class, self.id(), attributes)
    }

    /// The method as a value of its own: a function with a name that no Python name can be.
    pub(super) fn method(self, name: &str) -> MontyObject {
        let id = u128::from_be_bytes(*self.id().as_bytes());
        MontyObject::function(format!("{}.{name}#{id}", self.class()), None)
    }

    /// Reads what [`Self::method`] wrote.
    pub(super) fn of_method(function: &str) -> Option<(Self, &str)> {
        let (name, id) = function.split_once('#')?;
        let (_, method) = name.split_once('.')?;
        let object = Self::of_id(MontyUuid::from_u128(id.parse().ok()?))?;
        Some((object, method))
    }
}

/// The service behind a method.
pub(super) const fn service(object: Object, method: &str) -> Option<Service> {
    Some(match (object, method.as_bytes()) {
        (Object::Db, b"find" | b"find_documents") => Service::Find,
        (Object::Db, b"find_document_for_id") => Service::FindDocumentForId,
        (Object::Db, b"find_distinct") => Service::FindDistinct,
        (Object::Db, b"count") => Service::Count,
        (Object::Db, b"insert") => Service::Insert,
        (Object::Db, b"save") => Service::Save,
        (Object::Db, b"remove") => Service::Remove,
        (Object::Http, b"get") => Service::HttpGet,
        (Object::Http, b"post") => Service::HttpPost,
        _ => return None,
    })
}

/// A module that is supplied here; the interpreter has none of that name.
pub(in crate::engine) fn module(name: &str) -> Option<MontyObject> {
    if name != "string" {
        return None;
    }
    let attributes = [
        ("ascii_lowercase", "abcdefghijklmnopqrstuvwxyz"),
        ("ascii_uppercase", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        (
            "ascii_letters",
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        ),
        ("digits", "0123456789"),
        ("hexdigits", "0123456789abcdefABCDEF"),
        ("octdigits", "01234567"),
        (
            "printable",
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\
             !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\n\r\x0b\x0c",
        ),
        ("punctuation", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        ("whitespace", " \t\n\r\x0b\x0c"),
    ];
    let attributes =
        attributes.map(|(name, text)| (MontyObject::string(name), MontyObject::string(text)));
    Some(MontyObject::module(
        name,
        MontyUuid::from_u128(6),
        attributes,
    ))
}
