//! `#[price]`: parses a function that computes the price of a request.

use syn::{Attribute, FnArg, Ident, ImplItemFn, Type};

use super::handler::JobHandler;
use super::kind::JobKind;
use super::mark::Mark;
use super::signature::{Role, cfg_of, is_plain, returns};
use crate::arguments::{Accepted, Arguments, Form};
use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;

static FORM: Form = Form {
    attribute: "#[price]",
    example: "#[price(kind = 5050)]",
    arguments: &[Accepted::once("kind", "5050")],
};

static ROLE: Role = Role { subject: "price functions", returns: "`Price` or `JobResult<Price>`", text: "" };

const ARGUMENTS: &str =
    "price functions take `&self` and the request, and nothing else: `(&self, request: &JobRequest)`";

/// A parsed price function.
pub(super) struct Quote {
    pub(super) method: Ident,
    pub(super) cfg: Vec<Attribute>,
    pub(super) kind: JobKind,
    pub(super) request: Type,
    pub(super) returns: Type,
}

impl Quote {
    /// Parses a method and its `#[price]`; `None` if there are mistakes.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::of([mark], &FORM, mistakes);
        if arguments.lacks("kind") {
            mistakes.at(mark, "a price function needs a job kind: `#[price(kind = 5050)]`");
        }
        let kind = JobKind::parse(&arguments, mistakes);
        let signature = &method.sig;
        let mut is_fitting = is_plain(signature, &ROLE, mistakes);
        if let Some(asyncness) = &signature.asyncness {
            let message =
                "price functions cannot be `async`: the price must be known before any work is done";
            mistakes.at(asyncness, message);
            is_fitting = false;
        }
        let takes_self = signature.receiver().is_some_and(|receiver| {
            matches!(receiver.reference, Some((_, None)))
                && receiver.mutability.is_none()
                && receiver.colon_token.is_none()
        });
        let request = match signature.inputs.iter().skip(1).collect::<Vec<_>>().as_slice() {
            [FnArg::Typed(argument)] if takes_self && is_request(&argument.ty) => Some(&argument.ty),
            // There are no tokens between empty parentheses.
            _ if signature.inputs.is_empty() => {
                mistakes.at(&signature.ident, ARGUMENTS);
                None
            }
            _ => {
                mistakes.at(&signature.inputs, ARGUMENTS);
                None
            }
        };
        let returns = returns(signature, &ROLE, mistakes);
        let quote = Self {
            method: signature.ident.clone(),
            cfg: cfg_of(&method.attrs),
            kind: kind?,
            request: (**request?).clone(),
            returns: returns?,
        };
        is_fitting.then_some(quote)
    }
}

/// Whether the type is `&JobRequest`, with any path.
fn is_request(ty: &Type) -> bool {
    let Type::Reference(reference) = ungrouped_type(ty) else { return false };
    let Type::Path(path) = ungrouped_type(&reference.elem) else { return false };
    let is_named = path.path.segments.last().is_some_and(|segment| segment.ident == "JobRequest");
    is_named && reference.mutability.is_none() && reference.lifetime.is_none()
}

/// Notes price functions for kinds without a handler, or with a price already, and handlers that say how they are paid
/// but not what for.
pub(super) fn note_misfits(quotes: &[Quote], handlers: &[JobHandler], mistakes: &mut Mistakes) {
    for handler in handlers {
        let has_quote = quotes.iter().any(|quote| quote.kind == handler.kind);
        if handler.price.is_none_or(|msat| msat == 0) && !has_quote {
            handler.payment.note_without_price(mistakes);
        }
    }
    for (index, quote) in quotes.iter().enumerate() {
        let Quote { kind, .. } = quote;
        let mut answering = handlers.iter().filter(|handler| handler.kind == *kind).peekable();
        if answering.peek().is_none() {
            let kinds: Vec<String> = handlers.iter().map(|handler| handler.kind.to_string()).collect();
            let mark = Mark::Job.name();
            let message =
                format!("no `#[{mark}]` in this block has kind {kind}; there is: {}", kinds.join(", "));
            mistakes.add(syn::Error::new(kind.span(), message));
        }
        if let Some(handler) = answering.find(|handler| handler.price.is_some()) {
            let message =
                format!("kind {kind} has a fixed price at `{}`: remove one of the two", handler.method.name);
            mistakes.add(syn::Error::new(kind.span(), message));
        }
        // Alternatives under `#[cfg]` are only known after it has been applied.
        let mut earlier =
            quotes.iter().take(index).filter(|earlier| earlier.cfg.is_empty() && quote.cfg.is_empty());
        if let Some(first) = earlier.find(|earlier| earlier.kind == *kind) {
            let message = format!("kind {kind} already has the price function `{}`", first.method);
            mistakes.add(syn::Error::new(kind.span(), message));
        }
    }
}
