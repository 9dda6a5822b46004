//! The literals for a parameter's default and bounds.

use std::fmt;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, Lit, UnOp};

use crate::invisible_group::ungrouped_expression;

/// A literal and its span.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub(super) value: Value,
    pub(super) at: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Truth(bool),
    Whole(i128),
    Float(f64),
}

impl Literal {
    /// Parses a literal with or without a minus sign; `None` for any other expression.
    pub(super) fn read(expression: &Expr) -> Option<Self> {
        let (is_negative, literal) = match expression {
            Expr::Lit(ExprLit { lit, .. }) => (false, lit),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match ungrouped_expression(expr) {
                Expr::Lit(ExprLit { lit, .. }) => (true, lit),
                _ => return None,
            },
            _ => return None,
        };
        let value = match literal {
            Lit::Int(number) if number.suffix().is_empty() => {
                let number: i128 = number.base10_parse().ok()?;
                Value::Whole(if is_negative { number.checked_neg()? } else { number })
            }
            Lit::Float(number) if number.suffix().is_empty() => {
                let number: f64 = number.base10_parse().ok()?;
                Value::Float(if is_negative { -number } else { number })
            }
            Lit::Str(text) if !is_negative => Value::Text(text.value()),
            Lit::Bool(truth) if !is_negative => Value::Truth(truth.value),
            _ => return None,
        };
        Some(Self { value, at: expression.span() })
    }

    /// Its value as an `f64`, if it is a number that an `f64` represents exactly.
    pub(super) fn number(&self) -> Option<f64> {
        /// The largest integer up to which an `f64` represents all integers.
        const LAST: i128 = (1 << 53) - 1;
        match self.value {
            Value::Whole(number) if (-LAST..=LAST).contains(&number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            _ => None,
        }
    }
}

/// As a customer would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::{Literal, Value};

    #[test]
    fn reads_literals_with_their_sign() {
        let read = |expression| Literal::read(&expression).map(|literal| literal.value);
        assert_eq!(read(parse_quote!("a")), Some(Value::Text("a".to_owned())));
        assert_eq!(read(parse_quote!(true)), Some(Value::Truth(true)));
        assert_eq!(read(parse_quote!(4_096)), Some(Value::Whole(4096)));
        assert_eq!(read(parse_quote!(-1)), Some(Value::Whole(-1)));
        assert_eq!(read(parse_quote!(-0.5)), Some(Value::Float(-0.5)));
        for expression in [
            parse_quote!(1u8),
            parse_quote!(1.0f32),
            parse_quote!(-"a"),
            parse_quote!(!true),
            parse_quote!(-true),
            parse_quote!(1 + 1),
            parse_quote!(LIMIT),
            parse_quote!('a'),
        ] {
            assert_eq!(read(expression), None);
        }
    }

    #[test]
    fn knows_which_numbers_are_exact() {
        let number = |expression| Literal::read(&expression).and_then(|literal| literal.number());
        assert_eq!(number(parse_quote!(9007199254740991)), Some(9_007_199_254_740_991.0));
        assert_eq!(number(parse_quote!(9007199254740992)), None);
        assert_eq!(number(parse_quote!("1")), None);
    }
}
