//! What is imported: there, supplied, or refused.

use ruff_python_ast as ast;
use ruff_text_size::{Ranged, TextRange};

use super::{Inspector, Refused};
use crate::engine::{modules, supplement::IMPORTED};

impl Inspector<'_> {
    pub(super) fn import<'n>(&mut self, names: impl Iterator<Item = &'n str>, range: TextRange) {
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

    /// Takes names that are supplied from here and the others from where they are.
    pub(super) fn supplied(&mut self, module: &str, import: &ast::StmtImportFrom) {
        let supplied = |alias: &ast::Alias| {
            let name = alias.name.as_str();
            let entry = IMPORTED
                .iter()
                .find(|entry| (entry.0, entry.1) == (module, name));
            entry.map(|(_, _, ours)| *ours)
        };
        let (ours, others): (Vec<_>, Vec<_>) = import
            .names
            .iter()
            .partition(|alias| supplied(alias).is_some());
        if ours.is_empty() {
            return;
        }
        let bound = |alias: &ast::Alias| alias.asname.as_ref().unwrap_or(&alias.name).to_string();
        let mut statements: Vec<String> = ours
            .iter()
            .filter_map(|alias| Some((alias, self.ours(supplied(alias)?))))
            .map(|(alias, ours)| format!("{} = {ours}()", bound(alias)))
            .collect();
        statements.extend(others.iter().map(|alias| {
            let (name, bound) = (&alias.name, bound(alias));
            format!("from {module} import {name} as {bound}")
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
}
