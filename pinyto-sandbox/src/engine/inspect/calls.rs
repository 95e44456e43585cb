//! Calls and attributes that the interpreter knows less of than Python.

use monty_types::ExcType;
use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::Inspector;
use crate::engine::supplement;

/// Functions that go through what they are given, at once.
const CONSUMERS: [&str; 16] = [
    "all",
    "any",
    "dict",
    "enumerate",
    "filter",
    "frozenset",
    "iter",
    "list",
    "map",
    "max",
    "min",
    "set",
    "sorted",
    "sum",
    "tuple",
    "zip",
];

/// Functions that make iterators in Python.
const PRODUCERS: [&str; 5] = ["enumerate", "filter", "map", "reversed", "zip"];

impl Inspector<'_> {
    pub(super) fn attribute(&mut self, attribute: &ast::ExprAttribute) {
        if self.shown > 0 || !attribute.ctx.is_load() {
            return;
        }
        let name = attribute.attr.as_str();
        if name == "__class__" {
            self.around_receiver(attribute, attribute.end(), "class", ")");
        } else if supplement::VALUES.contains(&format!(" {name} ")) {
            let it = self.prefix.name("it");
            let call = format!(", \"{name}\", lambda {it}, *a, **k: {it}.{name}(*a, **k))");
            self.around_receiver(attribute, attribute.end(), "bound", &call);
        }
    }

    /// Puts the beginning of a call of `function` in front of what has the attribute, and `after`
    /// in the place of everything behind it up to `end`.
    fn around_receiver(
        &mut self,
        attribute: &ast::ExprAttribute,
        end: TextSize,
        function: &'static str,
        after: &str,
    ) {
        // Between them are brackets, white space and the dot.
        let gap = TextRange::new(attribute.value.end(), attribute.attr.start());
        let between = &self.text[gap];
        let Some(dot) = between.rfind('.').filter(|_| !between.contains('#')) else {
            return;
        };
        let before = format!("{}(", self.ours(function));
        let start = attribute.start();
        let text = format!("{}{}{after}", &between[..dot], &between[dot + 1..]);
        self.insert(start, &before);
        self.findings
            .edits
            .push((TextRange::new(gap.start(), end), text));
    }

    pub(super) fn call(&mut self, call: &ast::ExprCall) {
        match &*call.func {
            Expr::Name(name) if self.is_pythons(&name.id) => {
                let name = name.id.as_str();
                if CONSUMERS.contains(&name) {
                    for argument in &call.arguments.args {
                        self.consume(argument);
                    }
                }
                if PRODUCERS.contains(&name) {
                    self.iterator(call.range());
                }
                if name == "bytes"
                    && self.shown == 0
                    && call.arguments.args.len() == 1
                    && call.arguments.keywords.is_empty()
                {
                    let ours = self.ours("bytes");
                    self.findings.edits.push((call.func.range(), ours));
                }
                if name == "bool" && self.has_truth() && call.arguments.args.len() == 1 {
                    let ours = self.ours("truth");
                    self.findings.edits.push((call.func.range(), ours));
                }
                if name.parse::<ExcType>().is_ok() {
                    self.exception(&call.arguments);
                }
            }
            Expr::Attribute(method) => {
                let name = method.attr.as_str();
                // Unless it may be a method of the author's own, which may want an iterator.
                if matches!(name, "join" | "extend" | "update" | "union") && self.is_pythons(name) {
                    for argument in &call.arguments.args {
                        self.consume(argument);
                    }
                }
                if self.shown > 0 {
                    return;
                }
                let arguments = &call.arguments.args;
                let several = arguments.len() > 1 || arguments.iter().any(Expr::is_starred_expr);
                let several: &[&'static str] = if several { &supplement::SEVERAL } else { &[] };
                let mut supplied = supplement::METHODS.iter().chain(several);
                let supplied = supplied.find(|theirs| **theirs == name);
                let ours: &'static str = match supplied {
                    Some(ours) => ours,
                    None if name == "dumps" && call.arguments.find_keyword("default").is_some() => {
                        "dumps"
                    }
                    None => return,
                };
                let open = call.arguments.start() + TextSize::from(1);
                self.around_receiver(method, open, ours, ", ");
            }
            _ => {}
        }
    }

    /// The interpreter's exceptions take at most one text.
    fn exception(&mut self, arguments: &ast::Arguments) {
        let fits = match &*arguments.args {
            [] => true,
            [only] => matches!(only, Expr::StringLiteral(_) | Expr::FString(_)),
            _ => false,
        };
        let plain = !arguments.args.iter().any(Expr::is_starred_expr);
        if let (Some(first), Some(last)) = (arguments.args.first(), arguments.args.last())
            && !fits
            && plain
            && arguments.keywords.is_empty()
            && self.shown == 0
        {
            // Brackets around an argument are no part of it: the edits go to the call's own.
            let open = arguments.start() + TextSize::from(1);
            let close = arguments.end() - TextSize::from(1);
            debug_assert!(open <= first.start() && last.end() <= close);
            let said = self.ours("said");
            self.insert(open, &format!("{said}("));
            self.insert(close, ")");
        }
    }
}
