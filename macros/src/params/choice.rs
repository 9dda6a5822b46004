//! `#[derive(ParamChoice)]`: reads an enum whose variants are what a parameter can be.

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

/// An enum of choices as its author wrote it.
struct ChoiceEnum {
    name: Ident,
    about: String,
    choices: Vec<Choice>,
}

struct Choice {
    variant: Ident,
    /// Its name, then its aliases, and where each stands.
    names: Vec<(String, Span)>,
    about: String,
}

/// How variants are written when they say nothing of it themselves.
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
    // One that could not be read stands in, so that nothing is said of a missing `ParamValue` as well.
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
    /// Reads the enum; nothing when it cannot be one of choices.
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
            mistakes
                .at(&item.generics, "an enum of choices is one plain type: it takes no generic parameters");
            return None;
        }
        if data.variants.is_empty() {
            mistakes.at(&item.ident, "there is nothing to choose from: write a variant for each choice");
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

/// The enum's own documentation, and below it that of its variants.
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
    /// Reads a variant; nothing when it cannot be a choice. Other mistakes are noted.
    fn parse(variant: &Variant, case: Case, mistakes: &mut Mistakes) -> Option<Self> {
        if !matches!(variant.fields, Fields::Unit) {
            mistakes.at(&variant.fields, "a choice is one word: its variant has no fields");
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

/// Each name and alias leads to one variant.
fn note_duplicates(choices: &[Choice], mistakes: &mut Mistakes) {
    let mut taken: BTreeMap<&str, &Ident> = BTreeMap::new();
    for choice in choices {
        for (name, at) in &choice.names {
            if let Some(first) = taken.insert(name, &choice.variant) {
                mistakes.add(syn::Error::new(*at, format!("`{name}` is read as `{first}` already")));
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
                let message = "`rename_all` is \"kebab-case\" (as when left out), \"snake_case\", \"camelCase\", \"lowercase\" or \"PascalCase\"";
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

/// The inside of the `impl ParamValue`.
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
