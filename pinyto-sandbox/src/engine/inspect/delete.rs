//! `del`, in other words.

use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::{Ranged, TextRange};

use super::Inspector;

impl Inspector<'_> {
    /// `del a[b], c` becomes `delete_item(a, (b)); c; c = None`.
    pub(super) fn delete(&mut self, delete: &ast::StmtDelete) {
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
