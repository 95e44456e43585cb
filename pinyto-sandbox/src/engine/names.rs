//! Which names a text gives a meaning of its own, and whether its functions call services.

use std::collections::BTreeSet;

use ruff_python_ast::{
    self as ast, Expr, Stmt,
    visitor::{self, Visitor},
};

use super::inspect::MAX_DEPTH;

#[derive(Default)]
pub(super) struct Names {
    /// Names that are assigned, imported, defined or declared somewhere.
    pub(super) bound: BTreeSet<String>,
    /// Whether a function within the text calls something that may be a service.
    pub(super) functions_call_services: bool,
    functions: u32,
    depth: u32,
}

/// What calls of `db` and `Http` look like.
const SERVICES: [&str; 10] = [
    "find",
    "find_documents",
    "find_document_for_id",
    "find_distinct",
    "count",
    "insert",
    "save",
    "remove",
    "get",
    "post",
];

impl Names {
    pub(super) fn of(body: &[Stmt]) -> Self {
        let mut names = Self::default();
        names.visit_body(body);
        names
    }

    fn bind(&mut self, name: &ast::Identifier) {
        self.bound.insert(name.to_string());
    }
}

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let mut inside = 0;
        match statement {
            Stmt::FunctionDef(function) => {
                self.bind(&function.name);
                inside = 1;
            }
            Stmt::ClassDef(class) => self.bind(&class.name),
            Stmt::Global(global) => global.names.iter().for_each(|name| self.bind(name)),
            Stmt::Nonlocal(names) => names.names.iter().for_each(|name| self.bind(name)),
            _ => {}
        }
        self.functions += inside;
        visitor::walk_stmt(self, statement);
        self.functions -= inside;
        self.depth -= 1;
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let mut inside = 0;
        match expression {
            Expr::Name(name) if !name.ctx.is_load() => {
                self.bound.insert(name.id.to_string());
            }
            Expr::Lambda(_) => inside = 1,
            Expr::Call(call) if self.functions > 0 => {
                if let Expr::Attribute(method) = &*call.func {
                    self.functions_call_services |= SERVICES.contains(&method.attr.as_str());
                }
            }
            _ => {}
        }
        self.functions += inside;
        visitor::walk_expr(self, expression);
        self.functions -= inside;
        self.depth -= 1;
    }

    fn visit_parameter(&mut self, parameter: &'a ast::Parameter) {
        self.bind(&parameter.name);
        visitor::walk_parameter(self, parameter);
    }

    fn visit_alias(&mut self, alias: &'a ast::Alias) {
        let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
        // `import a.b` binds `a`.
        let name = name.split('.').next().unwrap_or(name);
        self.bound.insert(name.to_owned());
    }

    fn visit_pattern(&mut self, pattern: &'a ast::Pattern) {
        if self.depth >= MAX_DEPTH {
            return;
        }
        self.depth += 1;
        let name = match pattern {
            ast::Pattern::MatchAs(captured) => captured.name.as_ref(),
            ast::Pattern::MatchStar(captured) => captured.name.as_ref(),
            ast::Pattern::MatchMapping(mapping) => mapping.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.bind(name);
        }
        visitor::walk_pattern(self, pattern);
        self.depth -= 1;
    }

    fn visit_type_param(&mut self, parameter: &'a ast::TypeParam) {
        self.bind(match parameter {
            ast::TypeParam::TypeVar(parameter) => &parameter.name,
            ast::TypeParam::ParamSpec(parameter) => &parameter.name,
            ast::TypeParam::TypeVarTuple(parameter) => &parameter.name,
        });
        visitor::walk_type_param(self, parameter);
    }

    fn visit_except_handler(&mut self, handler: &'a ast::ExceptHandler) {
        let ast::ExceptHandler::ExceptHandler(caught) = handler;
        if let Some(name) = &caught.name {
            self.bind(name);
        }
        visitor::walk_except_handler(self, handler);
    }
}
