//! `#[agent]`: parses the struct.

mod declaration;
mod expand;
mod variables;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, Ident, Item, ItemStruct, Meta, Path, Token, Type};

use crate::invisible_group::ungrouped_type;
use crate::mistakes::Mistakes;
use declaration::Declaration;

/// A parsed `#[agent]` struct.
struct AgentStruct {
    item: ItemStruct,
    declaration: Declaration,
    /// The types of the fields that serde stores as they are.
    state: Vec<Type>,
    /// The span of the derive of `Deserialize`; `None` if serde's derives are missing.
    deserialize: Option<Span>,
}

/// Expands `#[agent(arguments)]` on `item`.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let expanded = match syn::parse2(item.clone()) {
        Ok(Item::Struct(item)) => match AgentStruct::parse(arguments, item, &mut mistakes) {
            Ok(agent) => agent.expand(),
            Err(item) => item.into_token_stream(),
        },
        Ok(other) => {
            mistakes
                .at(subject(&other), "`#[agent]` marks a struct: its fields are the agent's durable state");
            item
        }
        Err(error) => {
            mistakes.add(error);
            item
        }
    };
    quote!(#expanded #mistakes)
}

/// The tokens at which to report that an item is not a struct.
fn subject(item: &Item) -> TokenStream {
    match item {
        Item::Enum(item) => item.enum_token.to_token_stream(),
        Item::Union(item) => item.union_token.to_token_stream(),
        Item::Impl(item) => item.impl_token.to_token_stream(),
        other => other.to_token_stream(),
    }
}

impl AgentStruct {
    /// Parses the struct, or gives the item back if it cannot be an agent.
    fn parse(
        arguments: TokenStream,
        mut item: ItemStruct,
        mistakes: &mut Mistakes,
    ) -> Result<Self, Box<ItemStruct>> {
        let declaration = Declaration::parse(arguments, &item, mistakes);
        let takes_generics = !item.generics.params.is_empty();
        if takes_generics {
            mistakes.at(&item.generics, "an `#[agent]` struct cannot have generic parameters");
        }
        let has_names = !matches!(item.fields, Fields::Unnamed(_));
        if !has_names {
            mistakes.at(
                &item.fields,
                "the fields of an agent are stored by name: write `struct Name { field: Type }`, or `struct Name;`",
            );
        }
        let deserialize =
            derive_of(&item.attrs, "Serialize").and_then(|_| derive_of(&item.attrs, "Deserialize"));
        if deserialize.is_none() {
            mistakes.at(
                &item.ident,
                "an `#[agent]` struct is stored by serde: write `#[derive(Default, Serialize, Deserialize)]` below `#[agent]`",
            );
        }
        let state = state(&item);
        let borrowed = state.iter().filter(|ty| matches!(ungrouped_type(ty), Type::Reference(_)));
        let borrowed: Vec<&Type> = borrowed.collect();
        for ty in &borrowed {
            mistakes.at(ty, "an agent must own its state, since it is read back from storage: write `String` for text, `Vec<T>` for a list");
        }
        if takes_generics || !has_names || !borrowed.is_empty() {
            if let Some(deserialize) = deserialize {
                expand::use_serde_of_the_sdk(&mut item, deserialize);
            }
            return Err(Box::new(item));
        }
        Ok(Self { item, declaration, state, deserialize })
    }
}

/// The span of the attribute that derives this trait: that of its parenthesis.
fn derive_of(attributes: &[Attribute], name: &str) -> Option<Span> {
    let mut derives = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("derive") => Some(list),
        _ => None,
    });
    let derive = derives.find(|derive| {
        let paths = derive.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
        let mut paths = paths.into_iter().flatten();
        paths.any(|path| path.segments.last().is_some_and(|segment| segment.ident == name))
    });
    derive.map(|derive| derive.delimiter.span().open())
}

/// The types of the fields that serde stores as they are: neither skipped nor converted.
fn state(item: &ItemStruct) -> Vec<Type> {
    let converted = |option: &Ident| ["from", "try_from", "into"].iter().any(|name| option == name);
    if serde_options(&item.attrs).iter().any(converted) {
        return Vec::new();
    }
    let by_other_means = |option: &Ident| {
        let option = option.to_string();
        option.starts_with("skip") || option.ends_with("with")
    };
    let stored = item.fields.iter().filter(|field| !serde_options(&field.attrs).iter().any(by_other_means));
    stored.map(|field| field.ty.clone()).collect()
}

/// The option names inside the `#[serde(…)]` attributes.
fn serde_options(attributes: &[Attribute]) -> Vec<Ident> {
    let lists = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("serde") => Some(list.tokens.clone()),
        _ => None,
    });
    let words = lists.flatten().filter_map(|token| match token {
        proc_macro2::TokenTree::Ident(word) => Some(word),
        _ => None,
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;
    use syn::{ItemStruct, parse_quote};

    use super::{derive_of, state};

    #[test]
    fn finds_derives_by_their_last_word() {
        let item: ItemStruct = parse_quote! {
            #[derive(Default)]
            #[derive(serde::Serialize, Clone,)]
            struct A;
        };
        assert!(derive_of(&item.attrs, "Serialize").is_some());
        assert!(derive_of(&item.attrs, "Deserialize").is_none());
    }

    #[test]
    fn leaves_out_fields_that_are_not_stored_as_they_are() {
        let item: ItemStruct = parse_quote! {
            struct A {
                kept: u64,
                #[serde(default, rename = "k")]
                renamed: u32,
                #[serde(skip)]
                skipped: Connection,
                #[serde(with = "hex")]
                converted: Bytes,
            }
        };
        let state: Vec<String> = state(&item).iter().map(|ty| ty.to_token_stream().to_string()).collect();
        assert_eq!(state, ["u64", "u32"]);
    }
}
