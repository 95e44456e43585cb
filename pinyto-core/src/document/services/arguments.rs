//! The arguments of a service, which come from an author's code.

use serde_json::{Map, Value};

use super::super::new_document::is_too_deep;
use crate::{
    Room,
    error::Error,
    json,
    runtime::{Service, ServiceError, ServiceException},
};

/// What the code has passed.
pub(super) struct Arguments {
    values: Map<String, Value>,
    /// For the values.
    room: Room,
}

impl Arguments {
    /// Reads the text of an object of them, for which there has to be room.
    pub(super) fn read(
        service: Service,
        arguments: &str,
        room: Room,
    ) -> Result<Self, ServiceError> {
        let values = json::object(arguments).map_err(of_value)?;
        let (known, _) = service.parameters();
        match values.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(ServiceError::raised(
                ServiceException::Type,
                format!("There is no argument {unknown:?}."),
            )),
            None => Ok(Self { values, room }),
        }
    }

    /// What is left of them goes, but the room for what was taken stays.
    pub(super) fn into_room(self) -> Room {
        self.room
    }

    pub(super) fn required(&mut self, name: &str) -> Result<Value, ServiceError> {
        self.values.remove(name).ok_or_else(|| {
            let message = format!("The argument {name} is missing.");
            ServiceError::raised(ServiceException::Type, message)
        })
    }

    /// `None` also if it is null.
    pub(super) fn optional(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// A whole number that is not negative; 0 if it is not there.
    pub(super) fn count(&mut self, name: &str) -> Result<u64, ServiceError> {
        let Some(value) = self.optional(name) else {
            return Ok(0);
        };
        let number = value.as_u64();
        number.ok_or_else(|| wrong_type(name, "a whole number that is not negative", &value))
    }

    pub(super) fn url(&mut self) -> Result<String, ServiceError> {
        match self.required("url")? {
            Value::String(url) => Ok(url),
            other => Err(wrong_type("url", "a text", &other)),
        }
    }

    /// The fields of a form, of at most so many bytes; a list gives a field several times.
    pub(super) fn form(&mut self, at_most: usize) -> Result<Vec<(String, String)>, ServiceError> {
        let fields = match self.required("data")? {
            Value::Object(fields) => fields,
            other => return Err(wrong_type("data", "a dict", &other)),
        };
        let (mut form, mut bytes) = (Vec::new(), 0_usize);
        for (name, value) in fields {
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                let text = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(truth) => truth.to_string(),
                    Value::Null => String::new(),
                    other => return Err(wrong_type("data", "a dict of texts", &other)),
                };
                // A short list of short values can have a long name.
                bytes = bytes.saturating_add(name.len() + text.len() + 2);
                if bytes > at_most {
                    let message = format!("The form has more than {at_most} bytes.");
                    return Err(ServiceError::raised(ServiceException::Value, message));
                }
                form.push((name.clone(), text));
            }
        }
        Ok(form)
    }

    pub(super) fn document(&mut self) -> Result<Map<String, Value>, ServiceError> {
        match self.required("document")? {
            Value::Object(fields) if fields.values().any(is_too_deep) => {
                Err(of_value(Error::DocumentTooDeep))
            }
            Value::Object(fields) => Ok(fields),
            other => Err(wrong_type("document", "a dict", &other)),
        }
    }
}

pub(super) fn wrong_type(argument: &str, expected: &str, found: &Value) -> ServiceError {
    let found = match found {
        Value::Null => "None",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a dict",
    };
    let message = format!("The argument {argument} has to be {expected}, not {found}.");
    ServiceError::raised(ServiceException::Type, message)
}

pub(super) fn of_value(error: impl std::error::Error) -> ServiceError {
    ServiceError::raised(ServiceException::Value, error.to_string())
}
