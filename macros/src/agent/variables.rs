//! The arguments `variables` and `secrets` of `#[agent]`: what the handlers read from the deployment's configuration.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::LitStr;

use crate::arguments::Arguments;
use crate::mistakes::Mistakes;

/// The longest name, in characters.
const MAX_LENGTH: usize = 64;

/// The beginnings of names that the SDK keeps for itself.
const OWN_PREFIXES: [&str; 10] = [
    "AGENT_",
    "AUMOS_",
    "BLOSSOM_",
    "GATEWAY_",
    "LNBITS_",
    "LOG_",
    "NOSTR_",
    "NWC_",
    "OPENAGENTS_",
    "RELAY_",
];

/// Other variables and bindings of a deployment.
const OWN_NAMES: [&str; 11] = [
    "ADMIN_PUBKEYS",
    "AGENT",
    "ALLOW_PRIVATE_ADDRESSES",
    "BLOBS",
    "BLOSSOM",
    "CACHE",
    "LIGHTNING_ADDRESS",
    "REGISTRY",
    "RELAY",
    "SUPPORTED_NIPS",
    "WALLET",
];

/// The declared variables and secrets.
#[derive(Default)]
pub(super) struct Variables {
    /// Each with its default.
    variables: Vec<(LitStr, Option<LitStr>)>,
    secrets: Vec<LitStr>,
}

impl Variables {
    /// Parses both arguments. A name may be in one of them, once.
    pub(super) fn parse(arguments: &Arguments, mistakes: &mut Mistakes) -> Self {
        let mut parsed = Self::default();
        for (name, default) in arguments.texts_with_defaults("variables", mistakes) {
            if parsed.accepts(&name, mistakes) {
                parsed.variables.push((name, default));
            }
        }
        for (name, default) in arguments.texts_with_defaults("secrets", mistakes) {
            if let Some(default) = default {
                mistakes.at(
                    &default,
                    "a secret has no default, since it must not be in the code: write its name alone",
                );
            } else if parsed.accepts(&name, mistakes) {
                parsed.secrets.push(name);
            }
        }
        parsed
    }

    /// Whether this name can be declared beside those before it.
    fn accepts(&self, name: &LitStr, mistakes: &mut Mistakes) -> bool {
        let text = name.value();
        let checked = check(&text).and_then(|()| {
            let mut declared = self.variables.iter().map(|(name, _)| name).chain(&self.secrets);
            match declared.any(|earlier| earlier.value() == text) {
                true => Err(format!("\"{text}\" is declared already")),
                false => Ok(()),
            }
        });
        if let Err(message) = &checked {
            mistakes.at(name, message);
        }
        checked.is_ok()
    }
}

/// Validates a name.
fn check(name: &str) -> Result<(), String> {
    let fits =
        |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
    if !name.starts_with(|first: char| first.is_ascii_uppercase()) || !name.chars().all(fits) {
        let suggestion = upper_snake_case(name);
        let suggestion =
            if suggestion.is_empty() { String::new() } else { format!("; write \"{suggestion}\"") };
        return Err(format!(
            "the name of a variable or secret begins with a capital letter and has only `A` to `Z`, `0` to `9` and `_`{suggestion}"
        ));
    }
    if name.chars().count() > MAX_LENGTH {
        return Err(format!("the name of a variable or secret has at most {MAX_LENGTH} characters"));
    }
    if let Some(prefix) = OWN_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        return Err(format!(
            "names that begin with `{prefix}` are the SDK's own: choose another, for example \"MY_{name}\""
        ));
    }
    if OWN_NAMES.contains(&name) {
        return Err(format!("`{name}` is the SDK's own: choose another name, for example \"MY_{name}\""));
    }
    Ok(())
}

/// Converts `llm-apiKey` to `LLM_API_KEY`, to suggest a name.
fn upper_snake_case(text: &str) -> String {
    let words = crate::name::kebab_case(text).to_ascii_uppercase().replace('-', "_");
    words.trim_start_matches(|first: char| !first.is_ascii_uppercase()).to_owned()
}

impl ToTokens for Variables {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { variables, secrets } = self;
        if !variables.is_empty() {
            let variables = variables.iter().map(|(name, default)| {
                let default = match default {
                    Some(default) => quote!(::core::option::Option::Some(#default)),
                    None => quote!(::core::option::Option::None),
                };
                quote!(::openagents_sdk::__private::VariableDeclaration { name: #name, default: #default })
            });
            tokens.extend(quote!(variables: &[#(#variables),*],));
        }
        if !secrets.is_empty() {
            tokens.extend(quote!(secrets: &[#(#secrets),*],));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, upper_snake_case};

    #[test]
    fn accepts_names_as_environments_have_them() {
        for name in ["A", "MODEL", "LLM_API_KEY", "S3_BUCKET", &"A".repeat(64)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "model", "Model", "_MODEL", "3D", "LLM-KEY", "A B", "Ä", &"A".repeat(65)] {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check("llmApiKey").unwrap_err().ends_with("write \"LLM_API_KEY\""));
        assert_eq!(upper_snake_case("3d-model"), "D_MODEL");
        assert!(!check("_").unwrap_err().contains("write"));
    }

    /// The names are in another crate, which this one cannot depend on.
    #[test]
    fn refuses_every_variable_of_the_sdk() {
        let names = include_str!("../../../sdk/src/settings/names.rs")
            .lines()
            .filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \"")?.1.strip_suffix("\";"));
        let names: Vec<&str> = names.collect();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
