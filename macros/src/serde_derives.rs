//! `#[derive(Serialize)]` and `#[derive(Deserialize)]` of the prelude: serde's derives, which find serde through the SDK.
//!
//! Serde's own derives refer to the crate `serde`, on which a crate that depends on the SDK alone does not depend. A
//! derive cannot add an attribute to its item, so it lets serde derive the trait on a copy that is `remote`: a
//! description of the fields of the actual type.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Fields, GenericParam, Generics, LitStr, parse_quote};

/// Which trait is derived.
#[derive(Clone, Copy)]
pub(crate) enum SerdeTrait {
    Serialize,
    Deserialize,
}

/// Expands the derive on `item`.
pub(crate) fn expand(derived: SerdeTrait, item: TokenStream) -> TokenStream {
    match syn::parse2(item) {
        Ok(item) => implement(derived, &item),
        Err(error) => error.to_compile_error(),
    }
}

fn implement(derived: SerdeTrait, item: &DeriveInput) -> TokenStream {
    let name = &item.ident;
    let copy_name = format_ident!("__{name}", span = name.span());
    let mut copy = item.clone();
    copy.ident = copy_name.clone();
    copy.vis = syn::Visibility::Inherited;
    copy.attrs = serde_attributes(&item.attrs);
    if !has_option(&copy.attrs, "crate") {
        copy.attrs.push(parse_quote!(#[serde(crate = "::openagents_sdk::__private::serde")]));
    }
    let remote = LitStr::new(&name.to_string(), name.span());
    copy.attrs.push(parse_quote!(#[serde(remote = #remote)]));
    for fields in fields_of(&mut copy.data) {
        for field in fields {
            field.attrs = serde_attributes(&field.attrs);
            if let Ok(ty) = syn::parse2(without_self(field.ty.to_token_stream(), name)) {
                field.ty = ty;
            }
        }
    }
    if let Data::Enum(data) = &mut copy.data {
        for variant in &mut data.variants {
            variant.attrs = serde_attributes(&variant.attrs);
        }
    }
    let (derive, implementation) = match derived {
        SerdeTrait::Serialize => (quote!(Serialize), serialize(item, &copy_name)),
        SerdeTrait::Deserialize => (quote!(Deserialize), deserialize(item, &copy_name)),
    };
    quote! {
        #[doc(hidden)]
        #[allow(dead_code, non_camel_case_types, unused_qualifications, clippy::all, clippy::pedantic)]
        const _: () = {
            #[derive(::openagents_sdk::__private::serde::#derive)]
            #copy

            #implementation
        };
    }
}

fn serialize(item: &DeriveInput, copy: &Ident) -> TokenStream {
    let name = &item.ident;
    let bounded = bounded(item, &quote!(Serialize));
    let (generics, types, conditions) = bounded.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #generics ::openagents_sdk::__private::serde::Serialize for #name #types #conditions {
            fn serialize<__S: ::openagents_sdk::__private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #copy::serialize(self, serializer)
            }
        }
    }
}

/// The generics of a type, each of whose type parameters has this trait of serde.
fn bounded(item: &DeriveInput, bound: &TokenStream) -> Generics {
    let mut bounded = item.generics.clone();
    for parameter in item.generics.type_params() {
        let parameter = &parameter.ident;
        let predicate = parse_quote!(#parameter: ::openagents_sdk::__private::serde::#bound);
        bounded.make_where_clause().predicates.push(predicate);
    }
    bounded
}

fn deserialize(item: &DeriveInput, copy: &Ident) -> TokenStream {
    let name = &item.ident;
    let (_, types, _) = item.generics.split_for_impl();
    let mut bounded = bounded(item, &quote!(Deserialize<'de>));
    let borrowed = item.generics.lifetimes().map(|lifetime| lifetime.lifetime.clone());
    let borrowed: Vec<_> = borrowed.collect();
    let lifetime: GenericParam =
        if borrowed.is_empty() { parse_quote!('de) } else { parse_quote!('de: #(#borrowed)+*) };
    bounded.params.insert(0, lifetime);
    let (generics, _, conditions) = bounded.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #generics ::openagents_sdk::__private::serde::Deserialize<'de> for #name #types #conditions {
            fn deserialize<__D: ::openagents_sdk::__private::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                #copy::deserialize(deserializer)
            }
        }
    }
}

fn serde_attributes(attributes: &[Attribute]) -> Vec<Attribute> {
    let kept = attributes.iter().filter(|attribute| {
        let path = attribute.path();
        path.is_ident("serde") || path.is_ident("cfg")
    });
    kept.cloned().collect()
}

fn has_option(attributes: &[Attribute], option: &str) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident(option);
            // The values of other options.
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                meta.input.parse::<Group>()?;
            }
            Ok(())
        });
    }
    found
}

fn fields_of(data: &mut Data) -> Vec<&mut Fields> {
    match data {
        Data::Struct(data) => vec![&mut data.fields],
        Data::Enum(data) => data.variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// The tokens of a type, with the actual type's name in place of `Self`.
fn without_self(tokens: TokenStream, name: &Ident) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(word) if word == "Self" => TokenTree::Ident(name.clone()),
        TokenTree::Group(group) => {
            let mut replaced = Group::new(group.delimiter(), without_self(group.stream(), name));
            replaced.set_span(group.span());
            TokenTree::Group(replaced)
        }
        token => token,
    });
    replaced.collect()
}
