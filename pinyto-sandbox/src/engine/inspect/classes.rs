//! Classes, and what the interpreter can't do with them.

use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::Ranged;

use super::{Inspector, Refused};

/// Special methods that are never called here, what to write instead, and whether what would call
/// them raises an exception.
const NOT_CALLED: [(&str, &str, bool); 27] = [
    ("__ne__", NEGATION, false),
    ("__new__", "write __init__", false),
    ("__setattr__", PLAIN, false),
    ("__delattr__", PLAIN, false),
    ("__getattribute__", PLAIN, false),
    ("__format__", PLAIN, false),
    ("__iadd__", IN_PLACE, false),
    ("__isub__", IN_PLACE, false),
    ("__imul__", IN_PLACE, false),
    ("__imatmul__", IN_PLACE, false),
    ("__itruediv__", IN_PLACE, false),
    ("__ifloordiv__", IN_PLACE, false),
    ("__imod__", IN_PLACE, false),
    ("__ipow__", IN_PLACE, false),
    ("__ilshift__", IN_PLACE, false),
    ("__irshift__", IN_PLACE, false),
    ("__iand__", IN_PLACE, false),
    ("__ixor__", IN_PLACE, false),
    ("__ior__", IN_PLACE, false),
    ("__lt__", ORDER, true),
    ("__le__", ORDER, true),
    ("__gt__", ORDER, true),
    ("__ge__", ORDER, true),
    ("__getattr__", PLAIN, true),
    ("__bytes__", PLAIN, true),
    ("__reversed__", PLAIN, true),
    ("__missing__", PLAIN, true),
];

const NEGATION: &str = "write __eq__ alone, which != asks as well";
const PLAIN: &str = "write a method with a plain name and call it";
const IN_PLACE: &str = "write the method of the plain operator, or one with a plain name";
const ORDER: &str = "hand a key to sorted, min and max, and compare what it gives";

impl Inspector<'_> {
    fn special(&mut self, method: &ast::Identifier) {
        let name = method.as_str();
        if let Some((_, instead, raises)) = NOT_CALLED.iter().find(|entry| entry.0 == name) {
            self.findings.refused.push(Refused {
                at: method.start(),
                message: format!("the method {name} is never called here: {instead}"),
                raises: *raises,
            });
        }
    }

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
            if let Stmt::FunctionDef(method) = statement {
                self.special(&method.name);
            }
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
