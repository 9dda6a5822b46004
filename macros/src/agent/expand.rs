//! Expands `#[agent]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, ItemStruct, LitStr, Meta, Path, Token, Type, parse_quote};

use super::{AgentStruct, serde_options};

impl AgentStruct {
    pub(super) fn expand(self) -> TokenStream {
        let Self { mut item, declaration, state, deserialize } = self;
        let name = item.ident.clone();
        let stored = match deserialize {
            Some(deserialize) => {
                use_serde(&mut item, &state, deserialize);
                // At the struct's name, where a field that cannot be stored is then reported.
                quote_spanned!(name.span() => ::openagents_sdk::__private::StateJson::by_serde())
            }
            None => quote!(::openagents_sdk::__private::StateJson::of_refused_struct()),
        };
        quote! {
            #item

            // If all fields are given, the defaults are not needed.
            #[allow(clippy::needless_update)]
            #[automatically_derived]
            impl ::openagents_sdk::__private::Agent for #name {
                const DECLARATION: ::openagents_sdk::__private::AgentDeclaration = #declaration;
                const STATE: ::openagents_sdk::__private::StateJson<Self> = #stored;
            }
        }
    }
}

/// Makes serde's derives write and read the state: `state` are the types of its fields.
fn use_serde(item: &mut ItemStruct, state: &[Type], deserialize: Span) {
    let options = serde_options(&item.attrs);
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    use_serde_of_the_sdk(item, deserialize);
    // A mistake is reported at the struct's name; but serde gives a variable the span of these texts, which must
    // resolve as the names in its derive do: those of a `macro_rules!` macro may differ.
    let span = item.ident.span().resolved_at(deserialize);
    // Lets a state be read that was stored before a field was added.
    if matches!(item.fields, Fields::Named(_)) && !has("default") {
        let default = LitStr::new("::core::default::Default::default", span);
        item.attrs.push(parse_quote!(#[serde(default = #default)]));
    }
    // A field that cannot be stored is one error where the agent is used, instead of one at each use by serde.
    if !state.is_empty() && !has("bound") {
        let bound = quote!(#(for<'a> #state: ::openagents_sdk::__private::StateField<'a>),*).to_string();
        let bound = LitStr::new(&bound, span);
        item.attrs.push(parse_quote!(#[serde(bound = #bound)]));
    }
}

/// Makes serde's derives find serde through the SDK: the author's crate need not depend on it.
pub(super) fn use_serde_of_the_sdk(item: &mut ItemStruct, deserialize: Span) {
    item.attrs.iter_mut().for_each(|attribute| use_derives_of_serde(attribute, deserialize));
    if !serde_options(&item.attrs).iter().any(|option| option == "crate") {
        item.attrs.push(parse_quote!(#[serde(crate = "::openagents_sdk::__private::serde")]));
    }
}

/// Names serde's own derives, which take the attributes added here, in place of the prelude's.
fn use_derives_of_serde(attribute: &mut Attribute, deserialize: Span) {
    let Meta::List(list) = &mut attribute.meta else { return };
    if !list.path.is_ident("derive") {
        return;
    }
    let paths = list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
    let Ok(paths) = paths else { return };
    let derives = paths.iter().map(|path| match path.get_ident() {
        Some(word) if word == "Serialize" || word == "Deserialize" => {
            // As for the default: the names in a derive resolve as its attribute does.
            let span = word.span().resolved_at(deserialize);
            let word = Ident::new(&word.to_string(), span);
            quote_spanned!(span => ::openagents_sdk::__private::serde::#word)
        }
        _ => path.into_token_stream(),
    });
    list.tokens = quote!(#(#derives),*);
}
