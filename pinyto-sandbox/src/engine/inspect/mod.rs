//! What the text of a function says that has to be changed or refused before it is compiled.
//!
//! The interpreter lacks a few things of the language. What can be said in other words is
//! rewritten in place, on the same lines; the rest is refused with a sentence that tells what to
//! write instead.

mod calls;
mod classes;
mod delete;
mod imports;
mod truth;

use std::collections::BTreeSet;

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
        judged: BTreeSet::new(),
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
    /// Where operations begin and end of which is only asked whether they are true.
    judged: BTreeSet<(TextSize, TextSize)>,
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
        for test in &comprehension.ifs {
            self.judge(test);
        }
        visitor::walk_comprehension(self, comprehension);
    }

    fn visit_elif_else_clause(&mut self, clause: &'a ast::ElifElseClause) {
        if let Some(test) = &clause.test {
            self.judge(test);
        }
        visitor::walk_elif_else_clause(self, clause);
    }

    fn visit_match_case(&mut self, case: &'a ast::MatchCase) {
        if let Some(guard) = &case.guard {
            self.judge(guard);
        }
        visitor::walk_match_case(self, case);
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
                    self.supplied(module, import);
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
            Stmt::If(block) => self.judge(&block.test),
            Stmt::While(block) => self.judge(&block.test),
            Stmt::Assert(assertion) => self.judge(&assertion.test),
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
            Expr::If(choice) => self.judge(&choice.test),
            Expr::UnaryOp(not) if not.op == ast::UnaryOp::Not => self.judge(&not.operand),
            Expr::BoolOp(operation) => self.choose(operation),
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
        if let Some(message) = modules::missing_name(id)
            && self.guarded == 0
        {
            self.findings.refused.push(Refused {
                at: name.start(),
                message,
                raises: true,
            });
        }
        if matches!(id, "IOError" | "EnvironmentError") && self.is_pythons("OSError") {
            self.findings
                .edits
                .push((name.range(), "OSError".to_owned()));
            return;
        }
        let judging: &[&'static str] = if self.has_truth() {
            &supplement::JUDGING
        } else {
            &[]
        };
        let length = self.names.bound.contains("__len__").then_some(&"len");
        let supplied = supplement::ALWAYS.iter().chain(calling).chain(judging);
        let mut supplied = supplied.chain(length);
        if let Some(ours) = supplied.find(|theirs| **theirs == id) {
            let ours = self.ours(ours);
            self.findings.edits.push((name.range(), ours));
        }
    }
}
