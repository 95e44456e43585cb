//! The objects that code finds in its scope: `request`, `db`, `factory` and what that creates.
//!
//! They are of no class of the interpreter's: what the code does with them arrives here.

use monty_types::{CallArgs, MontyException, MontyObject, MontyUuid, ObjectRef};
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Service};

use super::{
    Outside, Refusal, failure,
    json::{self, Purpose, ReadError, WriteError},
};
use crate::services::html::Html;

/// An object of the code's that is answered for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Request,
    Db,
    Factory,
    Http,
    /// A parsed page, by its place in [`Host::pages`].
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

    fn of_id(id: MontyUuid) -> Option<Self> {
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

    const fn class(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Db => "Db",
            Self::Factory => "Factory",
            Self::Http => "Http",
            Self::Page(_) => "ParseHtml",
        }
    }

    const fn methods(self) -> &'static [&'static str] {
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

    fn instance(self, attributes: Vec<(MontyObject, MontyObject)>) -> MontyObject {
        let class = match self {
            Self::Page(_) => MontyUuid::from_u128(5 << 64),
            other => MontyUuid::from_u128(u128::from_be_bytes(*other.id().as_bytes()) << 64),
        };
        let class = MontyObject::class_type(self.class(), class, true, false, []);
        MontyObject::class_instance(class, self.id(), attributes)
    }

    /// The method as a value of its own: a function with a name that no Python name can be.
    fn method(self, name: &str) -> MontyObject {
        let id = u128::from_be_bytes(*self.id().as_bytes());
        MontyObject::function(format!("{}.{name}#{id}", self.class()), None)
    }

    /// Reads what [`Self::method`] wrote.
    fn of_method(function: &str) -> Option<(Self, &str)> {
        let (name, id) = function.split_once('#')?;
        let (_, method) = name.split_once('.')?;
        let object = Self::of_id(MontyUuid::from_u128(id.parse().ok()?))?;
        Some((object, method))
    }
}

const fn service(object: Object, method: &str) -> Option<Service> {
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
pub(super) fn module(name: &str) -> Option<MontyObject> {
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

/// How a call ends for the code.
pub(super) enum Reply {
    /// It gets a value.
    Value(MontyObject),
    /// It gets an exception.
    Raise(MontyException),
    /// There is no such function.
    Unknown,
    /// It is stopped.
    End(CodeError),
}

impl Reply {
    fn raise(kind: &str, message: impl Into<String>) -> Self {
        Self::Raise(failure::exception(kind, message))
    }
}

/// What one run's objects have.
pub(super) struct Host<'r> {
    pub(super) body: &'r str,
    pub(super) user: &'r str,
    pub(super) limits: &'r CodeLimits,
    pub(super) outside: &'r mut dyn Outside,
    calls: usize,
    pages: Vec<Html>,
}

impl<'r> Host<'r> {
    pub(super) fn new(
        body: &'r str,
        user: &'r str,
        limits: &'r CodeLimits,
        outside: &'r mut dyn Outside,
    ) -> Self {
        Self {
            body,
            user,
            limits,
            outside,
            calls: 0,
            pages: Vec::new(),
        }
    }

    /// `request`, `db` and `factory`. With `parsed` the request has its parsed form from the
    /// beginning, so that it is one object however often it is asked for.
    pub(super) fn inputs(&self, parsed: bool) -> Result<Vec<MontyObject>, CodeError> {
        let mut attributes = Vec::new();
        if parsed {
            let request = self.parsed()?;
            attributes.push((MontyObject::string("json"), request.clone()));
            attributes.push((MontyObject::string("POST"), request));
        }
        Ok(vec![
            Object::Request.instance(attributes),
            Object::Db.instance(Vec::new()),
            Object::Factory.instance(Vec::new()),
        ])
    }

    /// How many values may be made of one text: each costs about this much memory.
    fn max_nodes(&self) -> usize {
        self.limits.memory / 96
    }

    fn parsed(&self) -> Result<MontyObject, CodeError> {
        if self.body.trim().is_empty() {
            return Ok(MontyObject::dict([]));
        }
        match json::read(self.body, self.max_nodes()) {
            Ok(value) => Ok(value),
            Err(ReadError::TooMany) => Err(failure::limit(CodeLimit::Memory(self.limits.memory))),
            Err(ReadError::Malformed | ReadError::TooDeep) => Ok(MontyObject::none()),
        }
    }

    /// Answers an attribute that an object hasn't at hand; `None` if there is none.
    pub(super) fn attribute(
        &self,
        id: MontyUuid,
        name: &str,
    ) -> Result<Option<MontyObject>, CodeError> {
        let Some(object) = Object::of_id(id) else {
            return Ok(None);
        };
        Ok(match (object, name) {
            (Object::Request, "body") => Some(MontyObject::bytes(self.body)),
            (Object::Request, "user") => Some(MontyObject::string(self.user)),
            (Object::Request, "json" | "POST") => Some(self.parsed()?),
            (object, name) if object.methods().contains(&name) => Some(object.method(name)),
            _ => None,
        })
    }

    /// Answers a call of a function or of an object's method.
    pub(super) fn call(
        &mut self,
        id: Option<MontyUuid>,
        name: &str,
        arguments: &CallArgs,
    ) -> Reply {
        let called = match id {
            Some(id) => Object::of_id(id).map(|object| (object, name)),
            None => Object::of_method(name),
        };
        let Some((object, method)) = called else {
            return Reply::Unknown;
        };
        if let Some(service) = service(object, method) {
            return self.serve(service, method, arguments);
        }
        match (object, method) {
            (Object::Factory, "create") => self.create(arguments),
            (Object::Page(index), _) if object.methods().contains(&method) => {
                self.look(index, method, arguments)
            }
            _ => Reply::raise(
                "AttributeError",
                format!("'{}' object has no attribute '{method}'", object.class()),
            ),
        }
    }

    fn serve(&mut self, service: Service, method: &str, arguments: &CallArgs) -> Reply {
        let (parameters, required) = service.parameters();
        let bound = match bind(method, parameters, required, arguments) {
            Ok(bound) => bound,
            Err(message) => return Reply::raise("TypeError", message),
        };
        let max = self.limits.service_bytes;
        let mut text = String::with_capacity(64);
        text.push('{');
        for (parameter, value) in parameters.iter().zip(bound) {
            let Some(value) = value else { continue };
            if text.len() > 1 {
                text.push(',');
            }
            text.push('"');
            text.push_str(parameter);
            text.push_str("\":");
            match json::write(&mut text, value, Purpose::Argument, max) {
                Ok(()) => {}
                Err(WriteError::TooLong) => return self.too_large(),
                Err(WriteError::Raise(kind, message)) => {
                    return Reply::raise(kind, format!("{method}(): {parameter}: {message}"));
                }
            }
        }
        text.push('}');
        if let Err(reply) = self.count() {
            return reply;
        }
        match self.outside.call(service, text) {
            Ok(answer) if answer.len() > max => self.too_large(),
            Ok(answer) => match json::read(&answer, self.max_nodes()) {
                Ok(value) => Reply::Value(value),
                Err(ReadError::TooMany) => {
                    Reply::End(failure::limit(CodeLimit::Memory(self.limits.memory)))
                }
                Err(ReadError::Malformed | ReadError::TooDeep) => Reply::raise(
                    "RuntimeError",
                    format!("{method}(): the answer can't be read"),
                ),
            },
            Err(Refusal::Raise { exception, message }) => Reply::raise(&exception, message),
            Err(Refusal::End) => Reply::End(CodeError::Unavailable),
        }
    }

    fn too_large(&self) -> Reply {
        let limit = CodeLimit::ServiceBytes(self.limits.service_bytes);
        Reply::End(failure::limit(limit))
    }

    fn count(&mut self) -> Result<(), Reply> {
        if self.calls >= self.limits.service_calls {
            let limit = CodeLimit::ServiceCalls(self.limits.service_calls);
            return Err(Reply::End(failure::limit(limit)));
        }
        self.calls += 1;
        Ok(())
    }

    fn create(&mut self, arguments: &CallArgs) -> Reply {
        if arguments.kwargs().len() > 0 {
            return Reply::raise("TypeError", "create() takes no keyword arguments");
        }
        let mut positional = arguments.args();
        let Some(name) = positional.next() else {
            let message = "create() missing 1 required positional argument: 'name'";
            return Reply::raise("TypeError", message);
        };
        let others: Vec<ObjectRef<'_>> = positional.collect();
        match (name.as_str(), others.as_slice()) {
            (Some("Http"), []) => Reply::Value(Object::Http.instance(Vec::new())),
            (Some("Http"), _) => {
                Reply::raise("TypeError", "create(\"Http\") takes no further arguments")
            }
            (Some("ParseHtml"), [html]) => {
                let Some(html) = html.as_str() else {
                    let message = format!(
                        "create(\"ParseHtml\", html): html must be str, not {}",
                        html.type_name()
                    );
                    return Reply::raise("TypeError", message);
                };
                // Each takes memory that isn't the interpreter's.
                if let Err(reply) = self.count() {
                    return reply;
                }
                self.pages.push(Html::parse(html));
                Reply::Value(Object::Page(self.pages.len() - 1).instance(Vec::new()))
            }
            (Some("ParseHtml"), _) => Reply::raise(
                "TypeError",
                "create(\"ParseHtml\", html) takes exactly the text of a page",
            ),
            (Some(other), _) => {
                let known = "there are \"Http\" and \"ParseHtml\"";
                Reply::raise(
                    "ValueError",
                    format!("no service is named {other:?}: {known}"),
                )
            }
            (None, _) => {
                let message = format!("create(): name must be str, not {}", name.type_name());
                Reply::raise("TypeError", message)
            }
        }
    }

    fn look(&mut self, index: usize, method: &str, arguments: &CallArgs) -> Reply {
        let parameters: &[&str] = match method {
            "contains" => &["descriptions"],
            "find_element_and_get_attribute_value" => &["descriptions", "attribute"],
            _ => &["descriptions", "searched"],
        };
        let bound = match bind(method, parameters, parameters.len(), arguments) {
            Ok(bound) => bound,
            Err(message) => return Reply::raise("TypeError", message),
        };
        let mut values = Vec::with_capacity(2);
        for value in bound.into_iter().flatten() {
            match json_value(value, self.limits.service_bytes) {
                Ok(value) => values.push(value),
                Err(WriteError::TooLong) => return self.too_large(),
                Err(WriteError::Raise(kind, message)) => {
                    return Reply::raise(kind, format!("{method}(): {message}"));
                }
            }
        }
        let Some(page) = self.pages.get(index) else {
            return Reply::Unknown;
        };
        let nothing = serde_json::Value::Null;
        let (first, second) = (
            values.first().unwrap_or(&nothing),
            values.get(1).unwrap_or(&nothing),
        );
        let found = match method {
            "contains" => return Reply::Value(MontyObject::bool(page.contains(first))),
            "find_element_and_get_attribute_value" => {
                let name = second.as_str().unwrap_or_default();
                page.find_element_and_get_attribute_value(first, name)
            }
            _ => page.find_element_and_collect_table_like_information(first, second),
        };
        match json::read(&found.to_string(), self.max_nodes()) {
            Ok(value) => Reply::Value(value),
            Err(_) => Reply::raise(
                "RuntimeError",
                format!("{method}(): the answer can't be read"),
            ),
        }
    }
}

fn json_value(value: ObjectRef<'_>, max: usize) -> Result<serde_json::Value, WriteError> {
    let mut text = String::new();
    json::write(&mut text, value, Purpose::Argument, max)?;
    pinyto_core::json::value(&text)
        .map_err(|_| WriteError::Raise("ValueError", "the argument can't be read".to_owned()))
}

/// Which argument each parameter gets, as Python decides it.
fn bind<'a>(
    method: &str,
    parameters: &[&str],
    required: usize,
    arguments: &'a CallArgs,
) -> Result<Vec<Option<ObjectRef<'a>>>, String> {
    let given = arguments.args().len();
    if given > parameters.len() {
        let takes = if required == parameters.len() {
            required.to_string()
        } else {
            format!("from {required} to {}", parameters.len())
        };
        let plural = if parameters.len() == 1 { "" } else { "s" };
        let were = if given == 1 { "was" } else { "were" };
        return Err(format!(
            "{method}() takes {takes} positional argument{plural} but {given} {were} given"
        ));
    }
    let mut bound: Vec<Option<ObjectRef<'a>>> = arguments.args().map(Some).collect();
    bound.resize(parameters.len(), None);
    for (name, value) in arguments.kwargs() {
        let name = name.as_str().unwrap_or_default();
        let Some(index) = parameters.iter().position(|parameter| *parameter == name) else {
            return Err(format!(
                "{method}() got an unexpected keyword argument '{name}'"
            ));
        };
        if bound[index].replace(value).is_some() {
            return Err(format!(
                "{method}() got multiple values for argument '{name}'"
            ));
        }
    }
    let missing: Vec<String> = parameters[..required]
        .iter()
        .zip(&bound)
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("'{name}'"))
        .collect();
    if missing.is_empty() {
        return Ok(bound);
    }
    let plural = if missing.len() == 1 { "" } else { "s" };
    Err(format!(
        "{method}() missing {} required positional argument{plural}: {}",
        missing.len(),
        missing.join(" and ")
    ))
}
