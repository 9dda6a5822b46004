//! What the signature of a job handler is and must not be.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, Receiver, ReturnType, Type};

use crate::mistakes::Mistakes;

const RECEIVER: &str = "job handlers take `&self` (run side by side) or `&mut self` (run alone)";

/// The signature of a job handler.
pub(super) struct Signature {
    pub(super) access: Access,
    pub(super) arguments: Vec<Argument>,
    pub(super) returns: Type,
}

/// How a handler uses the agent.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// `&self`.
    Shared,
    /// `&mut self`.
    Exclusive,
}

/// What a handler takes from the job.
pub(super) struct Argument {
    /// The extractor.
    pub(super) ty: Type,
    /// Whether the handler takes a reference to it.
    pub(super) by_reference: bool,
}

impl Signature {
    /// Reads a signature; nothing when there are mistakes in it.
    pub(super) fn parse(signature: &syn::Signature, mistakes: &mut Mistakes) -> Option<Self> {
        let is_plain = is_plain(signature, mistakes);
        let access = access(signature, mistakes);
        let arguments: Option<Vec<Argument>> = {
            let arguments = signature.inputs.iter().filter_map(|input| match input {
                FnArg::Typed(argument) => Some(self::argument(&argument.ty, mistakes)),
                FnArg::Receiver(_) => None,
            });
            // Not straight into an `Option`, which would stop at the first mistake.
            arguments.collect::<Vec<_>>().into_iter().collect()
        };
        let returns = returns(signature, mistakes);
        let signature = Self { access: access?, arguments: arguments?, returns: returns? };
        is_plain.then_some(signature)
    }
}

/// Whether it is an `async fn` without anything else about it.
fn is_plain(signature: &syn::Signature, mistakes: &mut Mistakes) -> bool {
    let mut is_plain = true;
    let mut refuse = |tokens: TokenStream, message: &str| {
        mistakes.at(tokens, message);
        is_plain = false;
    };
    if signature.asyncness.is_none() {
        refuse(signature.fn_token.to_token_stream(), "job handlers are async: write `async fn`");
    }
    if let Some(unsafety) = &signature.unsafety {
        refuse(unsafety.to_token_stream(), "job handlers are called by the SDK and cannot be `unsafe`");
    }
    if !signature.generics.params.is_empty() {
        let message =
            "job handlers take no generic parameters: the SDK calls them with the types written here";
        refuse(signature.generics.to_token_stream(), message);
    }
    is_plain
}

fn access(signature: &syn::Signature, mistakes: &mut Mistakes) -> Option<Access> {
    match signature.receiver() {
        Some(Receiver { reference: Some((_, None)), colon_token: None, mutability, .. }) => {
            Some(if mutability.is_some() { Access::Exclusive } else { Access::Shared })
        }
        Some(receiver) => {
            mistakes.at(receiver, RECEIVER);
            None
        }
        None => {
            mistakes.at(&signature.ident, RECEIVER);
            None
        }
    }
}

fn argument(ty: &Type, mistakes: &mut Mistakes) -> Option<Argument> {
    if names_no_type(ty, mistakes) {
        return None;
    }
    let Type::Reference(reference) = ty else {
        return Some(Argument { ty: ty.clone(), by_reference: false });
    };
    let inner = &reference.elem;
    if reference.mutability.is_some() || reference.lifetime.is_some() {
        let inner = inner.to_token_stream();
        mistakes.at(ty, format!("job handlers take their arguments as `{inner}` or `&{inner}`"));
        return None;
    }
    if matches!(&**inner, Type::Path(path) if path.path.is_ident("str")) {
        mistakes.at(ty, "the text input is taken as `Text` or `&Text`, which derefs to `str`");
        return None;
    }
    Some(Argument { ty: (**inner).clone(), by_reference: true })
}

fn returns(signature: &syn::Signature, mistakes: &mut Mistakes) -> Option<Type> {
    match &signature.output {
        ReturnType::Type(_, ty) => (!names_no_type(ty, mistakes)).then(|| (**ty).clone()),
        ReturnType::Default => {
            mistakes.at(&signature.ident, "job handlers return `JobResult<T>`, as in `-> JobResult<String>`");
            None
        }
    }
}

/// Whether the type is, or holds, an `impl Trait`, which code elsewhere cannot name.
fn names_no_type(ty: &Type, mistakes: &mut Mistakes) -> bool {
    let has_impl = has_impl(ty.to_token_stream());
    if has_impl {
        mistakes.at(ty, "job handlers name their types: `impl Trait` cannot stand here");
    }
    has_impl
}

fn has_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => has_impl(group.stream()),
        _ => false,
    })
}
