//! What the text of a function says that has to be changed or refused before it is compiled.
//!
//! The interpreter lacks a few things of the language. What can be said in other words is
//! rewritten in place, on the same lines; the rest is refused with a sentence that tells what to
//! write instead.

use std::collections::BTreeSet;

use monty_types::ExcType;
use ruff_python_ast::{
    self as ast, Expr, Stmt,
    visitor::{self, Visitor},
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::{
    modules,
    names::Names,
    supplement::{self, Prefix},
};

/// How deeply the visitor follows expressions and blocks. The interpreter refuses less.
pub(super) const MAX_DEPTH: u32 = 400;

/// What was found in a text.
#[derive(Default)]
pub(super) struct Findings {
    /// What to put in the place of what, in the order of the text, nothing overlapping.
    pub(super) edits: Vec<(TextRange, String)>,
    /// What can't be run.
    pub(super) refused: Vec<Refused>,
    /// Names that are read somewhere.
    pub(super) names: BTreeSet<String>,
    /// Names of attributes that are used somewhere.
    pub(super) attributes: BTreeSet<String>,
    /// The functions of the [`supplement`] that are needed.
    pub(super) supplements: BTreeSet<&'static str>,
}

/// Something that can't be run.
pub(super) struct Refused {
    pub(super) at: TextSize,
    pub(super) message: String,
    /// Whether it raises an exception when it is reached, so that only saving it is refused.
    pub(super) raises: bool,
}

/// Looks through the statements of a function; `text` is what they were parsed from.
pub(super) fn inspect(text: &str, body: &[Stmt], prefix: &Prefix) -> Findings {
    let mut inspector = Inspector {
        text,
        prefix,
        names: Names::of(body),
        findings: Findings::default(),
        consumed: BTreeSet::new(),
        depth: 0,
        guarded: 0,
        shown: 0,
    };
    inspector.visit_body(body);
    let mut findings = inspector.findings;
    findings.edits.sort_by_key(|(range, _)| range.start());
    findings
}

struct Inspector<'t> {
    text: &'t str,
    prefix: &'t Prefix,
    names: Names,
    findings: Findings,
    /// Where expressions begin and end whose values are gone through right where they are.
    consumed: BTreeSet<(TextSize, TextSize)>,
    depth: u32,
    /// How many expressions of f-strings are around that show their own text, so that it stays.
    shown: u32,
    /// How many `try` blocks with handlers are around.
    guarded: u32,
}

impl<'a> Visitor<'a> for Inspector<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        self.statement(statement);
        self.depth -= 1;
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        self.expression(expression);
        self.depth -= 1;
    }

    fn visit_comprehension(&mut self, comprehension: &'a ast::Comprehension) {
        if comprehension.is_async {
            self.refuse(comprehension.start(), ASYNC);
        }
        self.consume(&comprehension.iter);
        visitor::walk_comprehension(self, comprehension);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a ast::InterpolatedStringElement) {
        let shown = element
            .as_interpolation()
            .is_some_and(|expression| expression.debug_text.is_some());
        self.shown += u32::from(shown);
        visitor::walk_interpolated_string_element(self, element);
        self.shown -= u32::from(shown);
    }
}

const ASYNC: &str = "async and await can't be used here: calls of db and Http wait by themselves, write a plain def";
const GENERATORS: &str =
    "generators (yield) can't be used here: build a list, append to it and return it";

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
    fn refuse(&mut self, at: TextSize, message: impl Into<String>) {
        self.findings.refused.push(Refused {
            at,
            message: message.into(),
            raises: false,
        });
    }

    fn edit(&mut self, start: TextSize, end: TextSize, replacement: &str) {
        // What is replaced keeps its line ends, so that the lines behind keep their numbers.
        let range = TextRange::new(start, end);
        let lines = self.text[range].matches('\n').count();
        let replacement = format!("{replacement}{}", "\n".repeat(lines));
        self.findings.edits.push((range, replacement));
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Delete(delete) => self.delete(delete),
            Stmt::Import(import) => {
                let names = import.names.iter().map(|alias| alias.name.as_str());
                self.import(names, statement.range());
            }
            Stmt::ImportFrom(import) => {
                if import.names.iter().any(|alias| alias.name.as_str() == "*") {
                    self.refuse(
                        import.start(),
                        "import * can't be used here: name what you import",
                    );
                } else if import.level > 0 {
                    self.refuse(
                        import.start(),
                        "relative imports can't be used here: an assembly has no package",
                    );
                } else if let Some(module) = &import.module {
                    if module.as_str() == "collections" {
                        self.ordered_dict(import);
                    }
                    self.import([module.as_str()].into_iter(), statement.range());
                }
            }
            Stmt::FunctionDef(function) if function.is_async => {
                self.refuse(function.start(), ASYNC);
            }
            Stmt::For(block) if block.is_async => self.refuse(block.start(), ASYNC),
            Stmt::For(block) => self.consume(&block.iter),
            Stmt::With(block) if block.is_async => self.refuse(block.start(), ASYNC),
            Stmt::Try(block) if block.is_star => {
                self.refuse(block.start(), "except* can't be used here: write except");
            }
            Stmt::TypeAlias(alias) => self.refuse(
                alias.start(),
                "type aliases can't be used here: leave the statement out",
            ),
            Stmt::Try(block) => {
                // What an import in here raises is expected.
                let guard = u32::from(!block.handlers.is_empty());
                self.guarded += guard;
                self.visit_body(&block.body);
                self.guarded -= guard;
                for handler in &block.handlers {
                    self.visit_except_handler(handler);
                }
                self.visit_body(&block.orelse);
                self.visit_body(&block.finalbody);
                return;
            }
            Stmt::ClassDef(class) => self.class(class),
            Stmt::Global(global) => {
                for name in &global.names {
                    if supplement::RELIED_ON.contains(&name.as_str()) {
                        let message = format!(
                            "global {name} can't be used here: it is a name of Python, use another one"
                        );
                        self.refuse(name.start(), message);
                    }
                }
            }
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Yield(_) | Expr::YieldFrom(_) => self.refuse(expression.start(), GENERATORS),
            Expr::Await(_) => self.refuse(expression.start(), ASYNC),
            Expr::TString(_) => self.refuse(
                expression.start(),
                "template strings (t\"...\") can't be used here: write an f-string",
            ),
            Expr::Starred(starred) => self.consume(&starred.value),
            Expr::Name(name) if name.ctx.is_load() => self.name(name),
            Expr::Generator(_) => self.iterator(expression.range()),
            Expr::Attribute(attribute) => {
                self.findings.attributes.insert(attribute.attr.to_string());
                self.attribute(attribute);
            }
            Expr::Call(call) => {
                self.call(call);
                if let Expr::Attribute(method) = &*call.func {
                    // A method that is called is none that is used as a value.
                    self.findings.attributes.insert(method.attr.to_string());
                    self.visit_expr(&method.value);
                    self.visit_arguments(&call.arguments);
                    return;
                }
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }

    /// The name of a function of the supplement, which is needed then.
    fn ours(&mut self, function: &'static str) -> String {
        self.findings.supplements.insert(function);
        self.prefix.name(function)
    }

    /// Whether a name means what it means in Python.
    fn is_pythons(&self, name: &str) -> bool {
        !self.names.bound.contains(name)
    }

    fn consume(&mut self, expression: &Expr) {
        self.consumed.insert((expression.start(), expression.end()));
    }

    /// The interpreter makes lists where Python makes iterators. That matters unless they are
    /// gone through at once.
    fn iterator(&mut self, range: TextRange) {
        if self.shown == 0 && !self.consumed.contains(&(range.start(), range.end())) {
            let iter = self.ours("iter");
            self.insert(range.start(), &format!("{iter}("));
            self.insert(range.end(), ")");
        }
    }

    fn insert(&mut self, at: TextSize, text: &str) {
        self.findings
            .edits
            .push((TextRange::empty(at), text.to_owned()));
    }

    fn name(&mut self, name: &ast::ExprName) {
        let id = name.id.as_str();
        self.findings.names.insert(id.to_owned());
        if self.shown > 0 || !self.is_pythons(id) {
            return;
        }
        let calling: &[&'static str] = if self.names.functions_call_services {
            &supplement::CALLING
        } else {
            &[]
        };
        let length = self.names.bound.contains("__len__").then_some(&"len");
        let mut supplied = supplement::ALWAYS.iter().chain(calling).chain(length);
        if let Some(ours) = supplied.find(|theirs| **theirs == id) {
            let ours = self.ours(ours);
            self.findings.edits.push((name.range(), ours));
        }
    }

    fn attribute(&mut self, attribute: &ast::ExprAttribute) {
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

    fn call(&mut self, call: &ast::ExprCall) {
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
                let supplied = supplement::METHODS.iter().find(|theirs| **theirs == name);
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

    fn class(&mut self, class: &ast::StmtClassDef) {
        if let Some(arguments) = &class.arguments
            && let [Expr::Name(only)] = &*arguments.args
            && only.id.as_str() == "object"
            && arguments.keywords.is_empty()
        {
            // Every class is one of these anyway.
            self.edit(arguments.start(), arguments.end(), "");
        } else if let Some(arguments) = &class.arguments
            && let Some(base) = arguments
                .args
                .iter()
                .map(Ranged::start)
                .chain(arguments.keywords.iter().map(Ranged::start))
                .next()
        {
            let message = format!(
                "class {} can't inherit here: write a class without bases, and raise one of Python's \
                 own exceptions instead of a class of your own",
                class.name
            );
            self.refuse(base, message);
        }
        for statement in &class.body {
            if let Stmt::FunctionDef(method) = statement
                && let Some(decorator) = method.decorator_list.first()
            {
                let message = format!(
                    "the method {} can't have a decorator here (property, staticmethod, \
                     classmethod): write a plain method or a function outside of the class",
                    method.name
                );
                self.refuse(decorator.start(), message);
            }
        }
    }

    fn import<'n>(&mut self, names: impl Iterator<Item = &'n str>, range: TextRange) {
        for name in names {
            let Some(reason) = modules::missing(name) else {
                continue;
            };
            if self.guarded == 0 {
                self.findings.refused.push(Refused {
                    at: range.start(),
                    message: reason.clone(),
                    raises: true,
                });
            }
            if modules::hidden(name) {
                let lines = "\n".repeat(self.text[range].matches('\n').count());
                let missing = self.ours("missing");
                let raise = format!("{missing}({reason:?}{lines})");
                self.findings.edits.push((range, raise));
                return;
            }
        }
    }

    /// A dict keeps its order: `OrderedDict` is another name for it.
    fn ordered_dict(&mut self, import: &ast::StmtImportFrom) {
        let (ours, others): (Vec<_>, Vec<_>) = import
            .names
            .iter()
            .partition(|alias| alias.name.as_str() == "OrderedDict");
        if ours.is_empty() {
            return;
        }
        let bound = |alias: &ast::Alias| alias.asname.as_ref().unwrap_or(&alias.name).to_string();
        let dict = self.ours("dict");
        let mut statements: Vec<String> = ours
            .iter()
            .map(|alias| format!("{} = {dict}()", bound(alias)))
            .collect();
        statements.extend(others.iter().map(|alias| {
            let (name, bound) = (&alias.name, bound(alias));
            format!("from collections import {name} as {bound}")
        }));
        // Line ends can only be in brackets; a pair of them holds theirs.
        let lines = self.text[import.range()].matches('\n').count();
        if lines > 0 {
            statements.push(format!("({})", "\n".repeat(lines) + "None"));
        }
        self.findings
            .edits
            .push((import.range(), statements.join("; ")));
    }

    /// `del a[b], c` becomes `delete_item(a, (b)); c; c = None`.
    fn delete(&mut self, delete: &ast::StmtDelete) {
        let mut targets = Vec::new();
        flatten(&delete.targets, &mut targets);
        let ends_alone = |text: &str| !text.contains('\n');
        let mut from = delete.start();
        let mut before = "";
        for target in &targets {
            if !ends_alone(&self.text[TextRange::new(from, target.start())]) {
                self.refuse(
                    target.start(),
                    "del can't span lines here: write one del for each",
                );
                return;
            }
            match target {
                Expr::Name(name) => {
                    // The first half raises for what isn't there.
                    let (id, range) = (name.id.as_str(), name.range());
                    let text = format!("{before}{id}; {id} = None");
                    self.findings
                        .edits
                        .push((TextRange::new(from, range.end()), text));
                }
                Expr::Subscript(item) => {
                    let function = self.ours("delete_item");
                    let begin = format!("{before}{function}(");
                    self.edit(from, item.value.start(), &begin);
                    if let Expr::Slice(slice) = &*item.slice {
                        self.deleted_slice(item, slice);
                    } else {
                        self.edit(item.value.end(), item.slice.start(), ", (");
                        self.edit(item.slice.end(), item.end(), "))");
                    }
                }
                other => {
                    self.refuse(
                        other.start(),
                        "del can't take an attribute away here: set it to None",
                    );
                    return;
                }
            }
            from = target.end();
            before = "; ";
        }
        // A bracket or comma that is left.
        if !ends_alone(&self.text[TextRange::new(from, delete.end())]) {
            self.refuse(from, "del can't span lines here: write one del for each");
            return;
        }
        self.edit(from, delete.end(), "");
    }

    /// `a[b:c]` becomes `a, slice((b), (c), None))`.
    fn deleted_slice(&mut self, item: &ast::ExprSubscript, slice: &ast::ExprSlice) {
        let mut from = item.value.end();
        let mut before = format!(", {}(", self.ours("slice"));
        for part in [&slice.lower, &slice.upper, &slice.step] {
            if let Some(part) = part {
                before.push('(');
                self.edit(from, part.start(), &before);
                from = part.end();
                before = "), ".to_owned();
            } else {
                before.push_str("None, ");
            }
        }
        before.push_str("))");
        self.edit(from, item.end(), &before);
    }
}

/// The targets of `del`, those in brackets as well.
fn flatten<'e>(expressions: &'e [Expr], into: &mut Vec<&'e Expr>) {
    for expression in expressions {
        match expression {
            Expr::Tuple(tuple) if into.len() < 100 => flatten(&tuple.elts, into),
            Expr::List(list) if into.len() < 100 => flatten(&list.elts, into),
            _ => into.push(expression),
        }
    }
}
