//! Parses the signatures of methods that the runtime calls.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, FnArg, Ident, ImplItemFn, Receiver, ReturnType, Signature, Type};

use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;

/// Words for the errors about one kind of method.
pub(super) struct Role {
    /// The name of these methods, in the plural.
    pub(super) subject: &'static str,
    /// Their return type.
    pub(super) returns: &'static str,
    /// Why they cannot take a `&str`.
    pub(super) text: &'static str,
}

/// A parsed async method that the runtime calls.
pub(super) struct Method {
    pub(super) name: Ident,
    pub(super) cfg: Vec<Attribute>,
    pub(super) access: Access,
    pub(super) arguments: Vec<Argument>,
    pub(super) returns: Type,
}

/// How a method borrows the agent.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// `&self`.
    Shared,
    /// `&mut self`.
    Exclusive,
}

/// An argument besides the agent.
pub(super) struct Argument {
    /// The type of the extractor.
    pub(super) ty: Type,
    /// Whether the method takes a reference to it.
    pub(super) by_reference: bool,
}

impl Method {
    /// Parses a method; `None` if there are mistakes in its signature.
    pub(super) fn parse(method: &ImplItemFn, role: &Role, mistakes: &mut Mistakes) -> Option<Self> {
        let signature = &method.sig;
        let is_async = signature.asyncness.is_some();
        if !is_async {
            mistakes.at(signature.fn_token, format!("{} must be async: write `async fn`", role.subject));
        }
        let is_plain = is_plain(signature, role, mistakes);
        let access = access(signature, role, mistakes);
        let arguments: Option<Vec<Argument>> = {
            let arguments = signature.inputs.iter().filter_map(|input| match input {
                FnArg::Typed(argument) => Some(self::argument(&argument.ty, role, mistakes)),
                FnArg::Receiver(_) => None,
            });
            // Collecting into an `Option` would stop at the first mistake.
            arguments.collect::<Vec<_>>().into_iter().collect()
        };
        let returns = returns(signature, role, mistakes);
        let method = Self {
            name: signature.ident.clone(),
            cfg: cfg_of(&method.attrs),
            access: access?,
            arguments: arguments?,
            returns: returns?,
        };
        (is_async && is_plain).then_some(method)
    }
}

/// The `#[cfg]` attributes of an item, which the generated code for it must have too.
pub(super) fn cfg_of(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect()
}

/// Whether the SDK can call the function: it is neither unsafe nor generic.
pub(super) fn is_plain(signature: &Signature, role: &Role, mistakes: &mut Mistakes) -> bool {
    let subject = role.subject;
    if let Some(unsafety) = &signature.unsafety {
        mistakes.at(unsafety, format!("{subject} cannot be `unsafe`, since the SDK calls them"));
    }
    let has_generics = !signature.generics.params.is_empty();
    if has_generics {
        let message = format!("{subject} cannot have generic parameters, since the SDK calls them");
        mistakes.at(&signature.generics, message);
    }
    signature.unsafety.is_none() && !has_generics
}

fn access(signature: &Signature, role: &Role, mistakes: &mut Mistakes) -> Option<Access> {
    let message = || format!("{} take `&self` (run concurrently) or `&mut self` (run alone)", role.subject);
    match signature.receiver() {
        Some(Receiver { reference: Some((_, None)), colon_token: None, mutability, .. }) => {
            Some(if mutability.is_some() { Access::Exclusive } else { Access::Shared })
        }
        Some(receiver) => {
            mistakes.at(receiver, message());
            None
        }
        None => {
            mistakes.at(&signature.ident, message());
            None
        }
    }
}

fn argument(ty: &Type, role: &Role, mistakes: &mut Mistakes) -> Option<Argument> {
    if names_no_type(ty, role, mistakes) {
        return None;
    }
    let Type::Reference(reference) = ungrouped_type(ty) else {
        return Some(Argument { ty: ty.clone(), by_reference: false });
    };
    let inner = ungrouped_type(&reference.elem);
    if reference.mutability.is_some() || reference.lifetime.is_some() {
        let inner = inner.to_token_stream();
        let subject = role.subject;
        mistakes.at(ty, format!("{subject} take their arguments as `{inner}` or `&{inner}`"));
        return None;
    }
    if matches!(inner, Type::Path(path) if path.path.is_ident("str")) {
        mistakes.at(ty, role.text);
        return None;
    }
    Some(Argument { ty: inner.clone(), by_reference: true })
}

/// The return type of a function; a missing one is a mistake.
pub(super) fn returns(signature: &Signature, role: &Role, mistakes: &mut Mistakes) -> Option<Type> {
    match &signature.output {
        ReturnType::Type(_, ty) => (!names_no_type(ty, role, mistakes)).then(|| (**ty).clone()),
        ReturnType::Default => {
            mistakes.at(&signature.ident, format!("{} return {}", role.subject, role.returns));
            None
        }
    }
}

/// Whether the type is or contains an `impl Trait`, which generated code cannot name.
fn names_no_type(ty: &Type, role: &Role, mistakes: &mut Mistakes) -> bool {
    let has_impl = has_impl(ty.to_token_stream());
    if has_impl {
        mistakes.at(ty, format!("{} cannot have `impl Trait` in their signature", role.subject));
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
