//! Whether an object is true: the interpreter asks no methods of the author's own about that.

use ruff_python_ast::{self as ast, BoolOp, Expr};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::Inspector;

impl Inspector<'_> {
    /// Whether there may be objects that decide about that.
    pub(super) fn has_truth(&self) -> bool {
        let bound = &self.names.bound;
        self.shown == 0 && (bound.contains("__bool__") || bound.contains("__len__"))
    }

    /// `test` becomes `truth(test)`: only whether it is true is asked.
    pub(super) fn judge(&mut self, test: &Expr) {
        if !self.has_truth() {
            return;
        }
        match test {
            Expr::BoolOp(operation) => {
                if self.judged.insert((operation.start(), operation.end())) {
                    for value in &operation.values {
                        self.judge(value);
                    }
                }
            }
            Expr::Compare(_) | Expr::BooleanLiteral(_) | Expr::NumberLiteral(_) => {}
            Expr::UnaryOp(not) if not.op == ast::UnaryOp::Not => {}
            _ => {
                let truth = self.ours("truth");
                self.insert(test.start(), &format!("{truth}("));
                self.insert(test.end(), ")");
            }
        }
    }

    /// `a or b` becomes `(x if truth(x := (a)) else (b))`: one of its values is the result.
    pub(super) fn choose(&mut self, operation: &ast::ExprBoolOp) {
        let range = (operation.start(), operation.end());
        if !self.has_truth() || self.judged.contains(&range) {
            return;
        }
        let (word, not) = match operation.op {
            BoolOp::Or => ("or", ""),
            BoolOp::And => ("and", "not "),
        };
        let (truth, chosen) = (self.ours("truth"), self.prefix.name("chosen"));
        let begin = format!("({chosen} if {not}{truth}({chosen} := (");
        self.insert(operation.start(), &begin);
        let last = operation.values.len().saturating_sub(2);
        for (index, (left, right)) in operation
            .values
            .iter()
            .zip(operation.values.iter().skip(1))
            .enumerate()
        {
            // Between them are brackets, white space and the word.
            let gap = TextRange::new(left.end(), right.start());
            let between = &self.text[gap];
            let Some(at) = between.find(word).filter(|_| !between.contains('#')) else {
                let message = format!("a comment can't be around {word} here: put it elsewhere");
                self.refuse(left.end(), message);
                return;
            };
            let start = gap.start() + TextSize::try_from(at).unwrap_or_default();
            let end = start + TextSize::of(word);
            let next = if index == last { "(" } else { &begin };
            self.edit(start, end, &format!(")) else {next}"));
        }
        self.insert(operation.end(), &")".repeat(operation.values.len()));
    }
}
