//! What `#[agent]` writes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Fields, LitStr, parse_quote};

use super::{AgentStruct, serde_options};

impl AgentStruct {
    pub(super) fn expand(self) -> TokenStream {
        let Self { mut item, declaration, state } = self;
        let options = serde_options(&item.attrs);
        // Serde's derives name the crate `serde`, which the author's crate need not depend on.
        if !options.iter().any(|option| option == "crate") {
            item.attrs.push(parse_quote!(#[serde(crate = "::openagents_sdk::__private::serde")]));
        }
        // State stored before a field was added can still be read.
        let has_fields = matches!(item.fields, Fields::Named(_));
        if has_fields && !options.iter().any(|option| option == "default") {
            // At the struct's name, where a missing `Default` is reported.
            let default = LitStr::new("::core::default::Default::default", item.ident.span());
            item.attrs.push(parse_quote!(#[serde(default = #default)]));
        }
        let name = &item.ident;
        let assertions = state
            .iter()
            .map(|ty| quote_spanned!(ty.span() => ::openagents_sdk::__private::assert_state_field::<#ty>();));
        // Before the struct, so that they are told before what serde's derives say of the same field.
        let assertions = (!state.is_empty()).then(|| quote!(const _: fn() = || { #(#assertions)* };));
        quote! {
            #assertions

            #item

            // When an author says everything, there is nothing left to take from the defaults.
            #[allow(clippy::needless_update)]
            #[automatically_derived]
            impl ::openagents_sdk::__private::Agent for #name {
                const DECLARATION: ::openagents_sdk::__private::AgentDeclaration = #declaration;
            }
        }
    }
}
