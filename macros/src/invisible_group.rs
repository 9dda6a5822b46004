//! Invisible groups, in which a `macro_rules!` macro passes a type or an expression on to an attribute or derive.

use syn::{Expr, Type};

/// The type without the groups around it.
pub(crate) fn ungrouped_type(mut ty: &Type) -> &Type {
    while let Type::Group(group) = ty {
        ty = &group.elem;
    }
    ty
}

/// The expression without the groups around it.
pub(crate) fn ungrouped_expression(mut expression: &Expr) -> &Expr {
    while let Expr::Group(group) = expression {
        expression = &group.expr;
    }
    expression
}
