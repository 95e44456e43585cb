//! What the text of a function says that has to be changed or refused before it is compiled.
//!
//! The interpreter lacks a few things of the language. What can be said in other words is
//! rewritten in place, on the same lines; the rest is refused with a sentence that tells what to
//! write instead.

use std::collections::BTreeSet;

use ruff_python_ast::{
    self as ast, Expr, Stmt,
    visitor::{self, Visitor},
};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::modules;

/// How deeply the visitor follows expressions and blocks. The interpreter refuses less.
const MAX_DEPTH: u32 = 400;

/// The function that takes the place of `del container[key]`.
pub(super) const DELETE_ITEM: &str = "_delete_item";

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
    /// Whether [`DELETE_ITEM`] is needed.
    pub(super) deletes_items: bool,
}

/// Something that can't be run.
pub(super) struct Refused {
    pub(super) at: TextSize,
    pub(super) message: String,
    /// Whether it raises an exception when it is reached, so that only saving it is refused.
    pub(super) raises: bool,
}

/// Looks through the statements of a function; `text` is what they were parsed from.
pub(super) fn inspect(text: &str, body: &[Stmt]) -> Findings {
    let mut inspector = Inspector {
        text,
        findings: Findings::default(),
        depth: 0,
        guarded: 0,
    };
    inspector.visit_body(body);
    let mut findings = inspector.findings;
    findings.edits.sort_by_key(|(range, _)| range.start());
    findings
}

struct Inspector<'t> {
    text: &'t str,
    findings: Findings,
    depth: u32,
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
        visitor::walk_comprehension(self, comprehension);
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
                    self.import([module.as_str()].into_iter(), statement.range());
                }
            }
            Stmt::FunctionDef(function) if function.is_async => {
                self.refuse(function.start(), ASYNC)
            }
            Stmt::For(block) if block.is_async => self.refuse(block.start(), ASYNC),
            Stmt::With(block) if block.is_async => self.refuse(block.start(), ASYNC),
            Stmt::Try(block) if block.is_star => {
                self.refuse(block.start(), "except* can't be used here: write except")
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
            Expr::Name(name) if name.ctx.is_load() => {
                self.findings.names.insert(name.id.to_string());
            }
            Expr::Attribute(attribute) => {
                self.findings.attributes.insert(attribute.attr.to_string());
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }

    fn class(&mut self, class: &ast::StmtClassDef) {
        if let Some(arguments) = &class.arguments
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
                let raise = format!("raise ModuleNotFoundError({reason:?}{lines})");
                self.findings.edits.push((range, raise));
                return;
            }
        }
    }

    /// `del a[b], c` becomes `_delete_item(a, (b)); c; c = None`.
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
                    let slice = matches!(&*item.slice, Expr::Slice(slice) if slice.step.is_none());
                    if slice {
                        self.edit(from, item.value.start(), before);
                        self.edit(item.end(), item.end(), " = []");
                    } else if matches!(&*item.slice, Expr::Slice(_)) {
                        self.refuse(
                            item.start(),
                            "del with a step can't be used here: make a new list of what stays",
                        );
                        return;
                    } else {
                        self.edit(from, item.value.start(), &format!("{before}{DELETE_ITEM}("));
                        self.edit(item.value.end(), item.slice.start(), ", (");
                        self.edit(item.slice.end(), item.end(), "))");
                        self.findings.deletes_items = true;
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
