//! JSON texts to Python values and back, within bounds.
//!
//! Both ways work on a stack of their own: depth costs no native stack. A value that is shared
//! inside of a Python value is written as often as it is referred to, so that what is written is
//! bounded by its bytes, not by its nodes.

use std::{collections::HashMap, fmt::Write as _};

use jiter::{Jiter, NumberAny, NumberInt, Peek};
use monty_types::{
    FormatFloat, MontyDateTime, MontyObject, ObjectRef,
    unstable::{self, MontyGraph, MontyNode, NodeId},
};

/// How deeply lists and dicts may be nested. Readers of JSON on the way give up at 128.
pub(super) const MAX_DEPTH: usize = 100;

/// Why a value has no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// It would have more bytes than allowed.
    TooLong,
    /// It has something in it that JSON doesn't know: the exception to raise.
    Raise(&'static str, String),
}

/// What a value is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The answer of a call: as `json.dumps` does it.
    Answer,
    /// An argument of a service: dates are RFC 3339 texts.
    Argument,
}

/// Why a text is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// It is no JSON.
    Malformed,
    /// Nested more deeply than [`MAX_DEPTH`].
    TooDeep,
    /// It has more values than allowed.
    TooMany,
}

/// Reads a JSON text of at most `max_nodes` values, each name of members counted once.
pub(super) fn read(text: &str, max_nodes: usize) -> Result<MontyObject, ReadError> {
    let mut reader = Reader {
        graph: MontyGraph::with_capacity((text.len() / 32).min(max_nodes)),
        names: HashMap::new(),
        left: max_nodes,
    };
    let mut jiter = Jiter::new(text.as_bytes());
    let root = reader.value(&mut jiter)?;
    jiter.finish().map_err(|_| ReadError::Malformed)?;
    unstable::object_from_graph(reader.graph, root).map_err(|_| ReadError::Malformed)
}

/// A list or dict that isn't complete yet.
enum Open {
    List(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>, NodeId),
}

struct Reader {
    graph: MontyGraph,
    /// The names of members, each once: documents of one type have them in common.
    names: HashMap<Box<str>, NodeId>,
    left: usize,
}

impl Reader {
    fn value(&mut self, jiter: &mut Jiter<'_>) -> Result<NodeId, ReadError> {
        let mut open: Vec<Open> = Vec::new();
        let mut peek = jiter.peek().map_err(|_| ReadError::Malformed)?;
        loop {
            let mut done = match peek {
                Peek::Array => match jiter.known_array().map_err(|_| ReadError::Malformed)? {
                    Some(first) => {
                        self.open(&mut open, Open::List(Vec::new()))?;
                        peek = first;
                        continue;
                    }
                    None => self.push(MontyNode::List(Vec::new()))?,
                },
                Peek::Object => match jiter.known_object().map_err(|_| ReadError::Malformed)? {
                    Some(name) => {
                        let name = self.name(name)?;
                        self.open(&mut open, Open::Dict(Vec::new(), name))?;
                        peek = jiter.peek().map_err(|_| ReadError::Malformed)?;
                        continue;
                    }
                    None => self.push(MontyNode::Dict(Vec::new()))?,
                },
                other => self.scalar(jiter, other)?,
            };
            // Puts what is done where it belongs, until something has to be read.
            loop {
                match open.pop() {
                    None => return Ok(done),
                    Some(Open::List(mut items)) => {
                        items.push(done);
                        match jiter.array_step().map_err(|_| ReadError::Malformed)? {
                            Some(next) => {
                                open.push(Open::List(items));
                                peek = next;
                                break;
                            }
                            None => done = self.push(MontyNode::List(items))?,
                        }
                    }
                    Some(Open::Dict(mut pairs, name)) => {
                        pairs.push((name, done));
                        match jiter.next_key().map_err(|_| ReadError::Malformed)? {
                            Some(name) => {
                                let name = self.name(name)?;
                                open.push(Open::Dict(pairs, name));
                                peek = jiter.peek().map_err(|_| ReadError::Malformed)?;
                                break;
                            }
                            None => done = self.push(MontyNode::Dict(pairs))?,
                        }
                    }
                }
            }
        }
    }

    fn scalar(&mut self, jiter: &mut Jiter<'_>, peek: Peek) -> Result<NodeId, ReadError> {
        let node = match peek {
            Peek::Null => jiter.known_null().map(|()| MontyNode::None),
            Peek::True | Peek::False => jiter.known_bool(peek).map(MontyNode::Bool),
            Peek::String => jiter
                .known_str()
                .map(|text| MontyNode::String(text.to_owned())),
            _ => jiter.known_number(peek).map(|number| match number {
                NumberAny::Int(NumberInt::Int(number)) => MontyNode::Int(number),
                NumberAny::Int(NumberInt::BigInt(number)) => MontyNode::BigInt(number),
                NumberAny::Float(number) => MontyNode::Float(number),
            }),
        };
        self.push(node.map_err(|_| ReadError::Malformed)?)
    }

    fn open(&self, open: &mut Vec<Open>, new: Open) -> Result<(), ReadError> {
        if open.len() >= MAX_DEPTH {
            return Err(ReadError::TooDeep);
        }
        open.push(new);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<NodeId, ReadError> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let id = self.push(MontyNode::String(name.to_owned()))?;
        self.names.insert(name.into(), id);
        Ok(id)
    }

    fn push(&mut self, node: MontyNode) -> Result<NodeId, ReadError> {
        self.left = self.left.checked_sub(1).ok_or(ReadError::TooMany)?;
        Ok(self.graph.push(node))
    }
}

/// What is still to be written of a list or dict.
enum Rest<'v> {
    Items(&'v [NodeId]),
    Pairs(&'v [(NodeId, NodeId)]),
}

/// Writes `value` behind what `out` has, which gets at most `max` bytes altogether.
pub(super) fn write(
    out: &mut String,
    value: ObjectRef<'_>,
    purpose: Purpose,
    max: usize,
) -> Result<(), WriteError> {
    let mut open: Vec<Rest<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take() {
            let rest = match unstable::node(value) {
                MontyNode::List(items) | MontyNode::Tuple(items) => Some(Rest::Items(items)),
                MontyNode::NamedTuple { values, .. } => Some(Rest::Items(values)),
                MontyNode::Dict(pairs) => Some(Rest::Pairs(pairs)),
                _ => None,
            };
            match rest {
                Some(rest) => {
                    if open.len() >= MAX_DEPTH {
                        let message = format!("nested more than {MAX_DEPTH} levels deep");
                        return Err(WriteError::Raise("ValueError", message));
                    }
                    out.push(if matches!(rest, Rest::Items(_)) {
                        '['
                    } else {
                        '{'
                    });
                    open.push(rest);
                }
                None => write_scalar(out, value, purpose, max)?,
            }
        }
        if out.len() > max {
            return Err(WriteError::TooLong);
        }
        match open.last_mut() {
            None => return Ok(()),
            Some(Rest::Items(items)) => {
                if let Some((first, others)) = items.split_first() {
                    *items = others;
                    separate(out, '[');
                    next = Some(unstable::child(value, *first));
                } else {
                    out.push(']');
                    open.pop();
                }
            }
            Some(Rest::Pairs(pairs)) => {
                if let Some(((name, first), others)) = pairs.split_first() {
                    *pairs = others;
                    separate(out, '{');
                    write_name(out, unstable::child(value, *name), max)?;
                    out.push(':');
                    next = Some(unstable::child(value, *first));
                } else {
                    out.push('}');
                    open.pop();
                }
            }
        }
    }
}

/// A comma, unless the bracket was opened just now: no value ends in an opening one.
fn separate(out: &mut String, bracket: char) {
    if !out.ends_with(bracket) {
        out.push(',');
    }
}

fn write_scalar(
    out: &mut String,
    value: ObjectRef<'_>,
    purpose: Purpose,
    max: usize,
) -> Result<(), WriteError> {
    match unstable::node(value) {
        MontyNode::None => out.push_str("null"),
        MontyNode::Bool(true) => out.push_str("true"),
        MontyNode::Bool(false) => out.push_str("false"),
        MontyNode::Int(number) => push_display(out, number),
        MontyNode::BigInt(number) => {
            // Its digits take time that grows with the square of their number.
            if number.bits() / 4 > (max as u64).saturating_add(4) || number.bits() > MAX_INT_BITS {
                return Err(WriteError::Raise(
                    "ValueError",
                    "an int of more than 4300 digits can't be written as JSON".to_owned(),
                ));
            }
            push_display(out, number);
        }
        MontyNode::Float(number) if number.is_finite() => push_display(out, FormatFloat(*number)),
        MontyNode::Float(number) => {
            let message = format!(
                "Out of range float values are not JSON compliant: {}",
                FormatFloat(*number)
            );
            return Err(WriteError::Raise("ValueError", message));
        }
        MontyNode::String(text) => write_text(out, text, max)?,
        MontyNode::DateTime(at) if purpose == Purpose::Argument => write_time(out, at),
        MontyNode::Date(day) if purpose == Purpose::Argument => {
            push_display(
                out,
                format_args!("\"{:04}-{:02}-{:02}\"", day.year, day.month, day.day),
            );
        }
        MontyNode::Cycle(_) => {
            let message = "Circular reference detected".to_owned();
            return Err(WriteError::Raise("ValueError", message));
        }
        _ => {
            let message = format!(
                "Object of type {} is not JSON serializable",
                type_name(value)
            );
            return Err(WriteError::Raise("TypeError", message));
        }
    }
    Ok(())
}

/// The bits of the longest int that Python turns into text.
const MAX_INT_BITS: u64 = 14_284;

/// The name of a member: `json.dumps` makes texts of numbers, too.
fn write_name(out: &mut String, name: ObjectRef<'_>, max: usize) -> Result<(), WriteError> {
    match unstable::node(name) {
        MontyNode::String(text) => write_text(out, text, max),
        MontyNode::None
        | MontyNode::Bool(_)
        | MontyNode::Int(_)
        | MontyNode::BigInt(_)
        | MontyNode::Float(_) => {
            out.push('"');
            write_scalar(out, name, Purpose::Answer, max)?;
            out.push('"');
            Ok(())
        }
        _ => {
            let message = format!(
                "keys must be str, int, float, bool or None, not {}",
                type_name(name)
            );
            Err(WriteError::Raise("TypeError", message))
        }
    }
}

/// The type's name as Python gives it.
fn type_name(value: ObjectRef<'_>) -> &str {
    match unstable::node(value) {
        // The export has only a text of these.
        MontyNode::Repr(text) => text
            .strip_prefix('<')
            .and_then(|text| text.split([' ', '(']).next())
            .unwrap_or("object"),
        _ => value.type_name(),
    }
}

fn write_text(out: &mut String, text: &str, max: usize) -> Result<(), WriteError> {
    if out.len().saturating_add(text.len()) > max {
        return Err(WriteError::TooLong);
    }
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        if escape.is_empty() {
            push_display(out, format_args!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
    Ok(())
}

/// RFC 3339; a time without a zone is taken for UTC, as the clock of the code is.
fn write_time(out: &mut String, at: &MontyDateTime) {
    push_display(
        out,
        format_args!(
            "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            at.year, at.month, at.day, at.hour, at.minute, at.second
        ),
    );
    if at.microsecond != 0 {
        push_display(out, format_args!(".{:06}", at.microsecond));
    }
    match at.offset_seconds {
        None | Some(0) => out.push('Z'),
        Some(offset) => {
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.unsigned_abs() / 60;
            push_display(
                out,
                format_args!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
            );
        }
    }
    out.push('"');
}

/// Writing to a `String` can't fail.
fn push_display(out: &mut String, what: impl std::fmt::Display) {
    let _ = write!(out, "{what}");
}
