//! Expands `#[agent]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Fields, LitStr, parse_quote};

use super::{AgentStruct, serde_options};

impl AgentStruct {
    pub(super) fn expand(self) -> TokenStream {
        let Self { mut item, declaration, state, deserialize } = self;
        let options = serde_options(&item.attrs);
        // Serde's derives refer to the crate `serde`, on which the author's crate need not depend.
        if !options.iter().any(|option| option == "crate") {
            item.attrs.push(parse_quote!(#[serde(crate = "::openagents_sdk::__private::serde")]));
        }
        // Lets a state be read that was stored before a field was added.
        let has_fields = matches!(item.fields, Fields::Named(_));
        if has_fields && !options.iter().any(|option| option == "default") {
            // At the struct's name, where a missing `Default` is then reported; but serde gives a variable the span of
            // this text, which must resolve as the names in its derive do: those of a `macro_rules!` macro may differ.
            let span = item.ident.span().resolved_at(deserialize);
            let default = LitStr::new("::core::default::Default::default", span);
            item.attrs.push(parse_quote!(#[serde(default = #default)]));
        }
        let name = &item.ident;
        let assertions = state
            .iter()
            .map(|ty| quote_spanned!(ty.span() => ::openagents_sdk::__private::assert_state_field::<#ty>();));
        // Before the struct, so that these errors come before those of serde's derives.
        let assertions = (!state.is_empty()).then(|| quote!(const _: fn() = || { #(#assertions)* };));
        quote! {
            #assertions

            #item

            // If all fields are given, the defaults are not needed.
            #[allow(clippy::needless_update)]
            #[automatically_derived]
            impl ::openagents_sdk::__private::Agent for #name {
                const DECLARATION: ::openagents_sdk::__private::AgentDeclaration = #declaration;
            }
        }
    }
}
