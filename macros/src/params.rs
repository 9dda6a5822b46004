//! `#[derive(JobParams)]`: parses a struct whose fields are parameters. `#[derive(ParamChoice)]` is in [`choice`].

pub(crate) mod choice;
mod expand;
mod field;
mod literal;

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Data, DeriveInput, Fields, Ident};

use crate::mistakes::Mistakes;
use field::Field;

/// A parsed struct of parameters.
struct ParamsStruct {
    name: Ident,
    fields: Vec<Field>,
}

/// Expands `#[derive(JobParams)]` on `item`.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => return error.to_compile_error(),
    };
    let mut tokens = match ParamsStruct::parse(&item, &mut mistakes) {
        Some(params) => params.into_token_stream(),
        None => expand::stand_in(&item),
    };
    mistakes.to_tokens(&mut tokens);
    tokens
}

impl ParamsStruct {
    /// Parses the struct; `None` if it cannot be a struct of parameters.
    fn parse(item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        let fields = match &item.data {
            Data::Struct(data) => &data.fields,
            Data::Enum(data) => {
                let message = "`#[derive(JobParams)]` is for structs, whose fields are the parameters; for an enum, write `#[derive(ParamChoice)]`";
                mistakes.at(data.enum_token, message);
                return None;
            }
            Data::Union(data) => {
                mistakes.at(
                    data.union_token,
                    "`#[derive(JobParams)]` is for structs, whose fields are the parameters",
                );
                return None;
            }
        };
        if !item.generics.params.is_empty() {
            mistakes.at(&item.generics, "a `JobParams` struct cannot have generic parameters");
            return None;
        }
        for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("param")) {
            mistakes.at(attribute, "`#[param]` belongs on a field, not on the struct");
        }
        let Fields::Named(fields) = fields else {
            let message =
                "the fields of a `JobParams` struct must have names: write `struct Name { field: Type }`";
            match fields {
                Fields::Unnamed(fields) => mistakes.at(fields, message),
                _ => mistakes.at(&item.ident, message),
            }
            return None;
        };
        let parsed: Vec<_> = fields.named.iter().map(|field| Field::parse(field, mistakes)).collect();
        let fields: Vec<Field> = parsed.into_iter().collect::<Option<_>>()?;
        note_duplicates(&fields, mistakes);
        Some(Self { name: item.ident.clone(), fields })
    }
}

/// Notes names and aliases that occur twice.
fn note_duplicates(fields: &[Field], mistakes: &mut Mistakes) {
    let mut taken: BTreeMap<&str, &Ident> = BTreeMap::new();
    for field in fields {
        for (key, at) in &field.keys {
            if let Some(first) = taken.insert(key, &field.ident) {
                mistakes.add(syn::Error::new(
                    *at,
                    format!("the field `{first}` already reads the parameter `{key}`"),
                ));
            }
        }
    }
}
