//! The argument `kind` of `#[job]` and `#[price]`: a number, or a constant.

use std::fmt;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprPath, Lit, LitInt};

use crate::arguments::Arguments;
use crate::mistakes::Mistakes;

/// A job kind as it is written.
#[derive(Clone)]
pub(super) enum JobKind {
    Number(u16, Span),
    /// The path of a `u16` constant. Its value is checked when the agent's crate is compiled.
    Constant(ExprPath),
}

impl JobKind {
    /// Parses the argument `kind`, if there is one.
    pub(super) fn parse(arguments: &Arguments, mistakes: &mut Mistakes) -> Option<Self> {
        match arguments.value("kind")? {
            Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => {
                number(literal, mistakes).map(|number| Self::Number(number, literal.span()))
            }
            Expr::Path(path) => Some(Self::Constant(path.clone())),
            other => {
                mistakes.at(other, "`kind` must be a number or a constant of type `u16`: `kind = 5050`");
                None
            }
        }
    }

    pub(super) fn span(&self) -> Span {
        match self {
            Self::Number(_, span) => *span,
            Self::Constant(path) => path.span(),
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

/// Two constants are the same kind if they are written in the same way.
impl PartialEq for JobKind {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, _) => number.fmt(f),
            Self::Constant(path) => f.write_str(&path.to_token_stream().to_string().replace(' ', "")),
        }
    }
}

/// An expression of type `u16`.
impl ToTokens for JobKind {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self {
            Self::Number(number, _) => quote!(#number),
            Self::Constant(path) => {
                quote_spanned!(path.span() => ::openagents_sdk::__private::job_kind(#path))
            }
        });
    }
}

fn number(literal: &LitInt, mistakes: &mut Mistakes) -> Option<u16> {
    let kind = literal.base10_parse().ok();
    if kind.is_some_and(|kind| (5000..=5999).contains(&kind)) {
        return kind;
    }
    let request = kind.filter(|kind| (6000..=6999).contains(kind)).map(|kind| kind.saturating_sub(1000));
    let hint = request.map(|request| format!("; {literal} is the kind of its result, write {request}"));
    let hint = hint.unwrap_or_default();
    mistakes.at(literal, format!("`kind` must be a job request kind, 5000 to 5999 (NIP-90){hint}"));
    None
}
