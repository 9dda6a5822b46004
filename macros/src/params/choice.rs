//! `#[derive(ParamChoice)]`: parses an enum whose variants are the accepted values of a parameter.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields, Ident, LitStr, Variant};

use crate::arguments::{Accepted, Arguments, Form};
use crate::mistakes::Mistakes;
use crate::{documentation, name};

static FORM: Form = Form {
    attribute: "#[param]",
    example: "#[param(rename_all = \"snake_case\")]",
    arguments: &[Accepted::once("rename_all", "\"snake_case\"")],
};

static VARIANT_FORM: Form = Form {
    attribute: "#[param]",
    example: "#[param(name = \"gpt-4\")]",
    arguments: &[Accepted::once("name", "\"gpt-4\""), Accepted::repeated("alias", "\"gpt4\"")],
};

/// A parsed enum of choices.
struct ChoiceEnum {
    name: Ident,
    about: String,
    choices: Vec<Choice>,
}

struct Choice {
    variant: Ident,
    /// Its value, then its aliases, each with its span.
    names: Vec<(String, Span)>,
    about: String,
}

/// How values are derived from the names of variants.
#[derive(Clone, Copy)]
enum Case {
    Kebab,
    Snake,
    Camel,
    Lower,
    Pascal,
}

/// Expands `#[derive(ParamChoice)]` on `item`.
pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => return error.to_compile_error(),
    };
    let choices = ChoiceEnum::parse(&item, &mut mistakes);
    // If the enum is invalid, an empty one takes its place, so that a missing `ParamValue` is not reported too.
    let choices = choices.unwrap_or_else(|| ChoiceEnum {
        name: item.ident.clone(),
        about: String::new(),
        choices: Vec::new(),
    });
    let (generics, arguments, conditions) = item.generics.split_for_impl();
    let ChoiceEnum { name, .. } = &choices;
    quote! {
        #[automatically_derived]
        impl #generics ::openagents_sdk::__private::ParamValue for #name #arguments #conditions {
            #choices
        }

        #mistakes
    }
}

impl ChoiceEnum {
    /// Parses the enum; `None` if it cannot be an enum of choices.
    fn parse(item: &DeriveInput, mistakes: &mut Mistakes) -> Option<Self> {
        let data = match &item.data {
            Data::Enum(data) => data,
            Data::Struct(data) => {
                let message = "`#[derive(ParamChoice)]` is for enums, whose variants are the choices";
                mistakes.at(data.struct_token, message);
                return None;
            }
            Data::Union(data) => {
                let message = "`#[derive(ParamChoice)]` is for enums, whose variants are the choices";
                mistakes.at(data.union_token, message);
                return None;
            }
        };
        if !item.generics.params.is_empty() {
            mistakes.at(&item.generics, "a `ParamChoice` enum cannot have generic parameters");
            return None;
        }
        if data.variants.is_empty() {
            mistakes.at(&item.ident, "there are no choices: write a variant for each");
            return None;
        }
        let attributes = item.attrs.iter().filter(|attribute| attribute.path().is_ident("param"));
        let arguments = Arguments::of(attributes, &FORM, mistakes);
        let case = arguments.text("rename_all", mistakes).and_then(|literal| Case::read(&literal, mistakes));
        let case = case.unwrap_or(Case::Kebab);
        let choices = data.variants.iter().filter_map(|variant| Choice::parse(variant, case, mistakes));
        let choices: Vec<Choice> = choices.collect();
        note_duplicates(&choices, mistakes);
        Some(Self { name: item.ident.clone(), about: about(item, &choices), choices })
    }
}

/// The doc comment of the enum, followed by those of its variants.
fn about(item: &DeriveInput, choices: &[Choice]) -> String {
    let documented = choices.iter().filter(|choice| !choice.about.is_empty());
    let lines = documented.filter_map(|Choice { names, about, .. }| {
        let (name, _) = names.first()?;
        Some(format!("- `{name}`: {about}"))
    });
    let lines: Vec<String> = lines.collect();
    let parts = [documentation::text(&item.attrs), lines.join("\n")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

impl Choice {
    /// Parses a variant; `None` if it cannot be a choice. Other mistakes are noted.
    fn parse(variant: &Variant, case: Case, mistakes: &mut Mistakes) -> Option<Self> {
        if !matches!(variant.fields, Fields::Unit) {
            mistakes.at(&variant.fields, "a variant of a `ParamChoice` enum cannot have fields");
            return None;
        }
        let attributes = variant.attrs.iter().filter(|attribute| attribute.path().is_ident("param"));
        let arguments = Arguments::of(attributes, &VARIANT_FORM, mistakes);
        let name = match arguments.text("name", mistakes) {
            Some(name) => (name.value(), name.span()),
            None => (case.apply(&variant.ident.unraw().to_string()), variant.ident.span()),
        };
        let aliases = arguments.texts("alias", mistakes);
        let aliases = aliases.iter().map(|alias| (alias.value(), alias.span()));
        let names = std::iter::once(name).chain(aliases).collect();
        let about = documentation::text(&variant.attrs).replace('\n', " ");
        Some(Self { variant: variant.ident.clone(), names, about })
    }
}

/// Notes values and aliases that occur twice.
fn note_duplicates(choices: &[Choice], mistakes: &mut Mistakes) {
    let mut taken: BTreeMap<&str, &Ident> = BTreeMap::new();
    for choice in choices {
        for (name, at) in &choice.names {
            if let Some(first) = taken.insert(name, &choice.variant) {
                mistakes.add(syn::Error::new(*at, format!("`{name}` is already read as `{first}`")));
            }
        }
    }
}

impl Case {
    fn read(literal: &LitStr, mistakes: &mut Mistakes) -> Option<Self> {
        match literal.value().as_str() {
            "kebab-case" => Some(Self::Kebab),
            "snake_case" => Some(Self::Snake),
            "camelCase" => Some(Self::Camel),
            "lowercase" => Some(Self::Lower),
            "PascalCase" => Some(Self::Pascal),
            _ => {
                let message = "`rename_all` must be \"kebab-case\" (the default), \"snake_case\", \"camelCase\", \"lowercase\" or \"PascalCase\"";
                mistakes.at(literal, message);
                None
            }
        }
    }

    fn apply(self, variant: &str) -> String {
        match self {
            Self::Kebab => name::kebab_case(variant),
            Self::Snake => name::kebab_case(variant).replace('-', "_"),
            Self::Lower => variant.to_lowercase(),
            Self::Pascal => variant.to_owned(),
            Self::Camel => {
                let mut letters = variant.chars();
                letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }
}

/// The items of the `impl ParamValue`.
impl ToTokens for ChoiceEnum {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { about, choices, .. } = self;
        let names: Vec<&str> =
            choices.iter().filter_map(|choice| choice.names.first()).map(|(name, _)| name.as_str()).collect();
        let example = names.first().copied().unwrap_or_default();
        let arms = choices.iter().map(|Choice { variant, names, .. }| {
            let names = names.iter().map(|(name, _)| name);
            quote!(#(#names)|* => ::core::option::Option::Some(Self::#variant),)
        });
        tokens.extend(quote! {
            const TYPE: &'static str = "string";
            const EXPECTED: &'static str = "one of the choices";
            const EXAMPLE: &'static str = #example;
            const ABOUT: &'static str = #about;
            const CHOICES: &'static [&'static str] = &[#(#names),*];

            fn from_param(text: &str) -> ::core::option::Option<Self> {
                match text {
                    #(#arms)*
                    _ => ::core::option::Option::None,
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn writes_variants_in_the_case_asked_for() {
        let variant = "GlobalPagerank";
        assert_eq!(Case::Kebab.apply(variant), "global-pagerank");
        assert_eq!(Case::Snake.apply(variant), "global_pagerank");
        assert_eq!(Case::Camel.apply(variant), "globalPagerank");
        assert_eq!(Case::Lower.apply(variant), "globalpagerank");
        assert_eq!(Case::Pascal.apply(variant), "GlobalPagerank");
    }
}
