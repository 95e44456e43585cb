//! Classes, and what the interpreter can't do with them.

use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::Ranged;

use super::Inspector;

impl Inspector<'_> {
    pub(super) fn class(&mut self, class: &ast::StmtClassDef) {
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
}
