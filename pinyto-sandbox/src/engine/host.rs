//! The objects that code finds in its scope: `request`, `db`, `factory` and what that creates.
//!
//! They are of no class of the interpreter's: what the code does with them arrives here.

mod arguments;
mod object;

use monty_types::{CallArgs, MontyException, MontyObject, MontyUuid, ObjectRef};
use pinyto_core::runtime::{CodeError, CodeLimit, CodeLimits, Service};

use self::{
    arguments::bind,
    object::{Object, service},
};
use super::{
    Outside, Refusal, failure,
    json::{self, Purpose, ReadError, WriteError},
};
use crate::services::html::Html;

pub(super) use self::object::module;

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
