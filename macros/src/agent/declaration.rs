//! The arguments of `#[agent]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{ItemStruct, LitInt, LitStr};

use super::variables::Variables;
use crate::arguments::{Accepted, Arguments, Form};
use crate::duration::Limits;
use crate::mistakes::Mistakes;
use crate::{address, documentation, duration, name};

static FORM: Form = Form {
    attribute: "#[agent]",
    example: "#[agent(name = \"hello-world\")]",
    arguments: &[
        Accepted::once("name", "\"hello-world\""),
        Accepted::once("about", "\"Greets whoever asks.\""),
        Accepted::once("version", "\"1.2.0\""),
        Accepted::once("picture", "\"https://example.com/agent.png\""),
        Accepted::once("nip05", "\"agent@example.com\""),
        Accepted::list("topics", "\"greeting\", \"manners\""),
        Accepted::list("relays", "\"wss://relay.example.com\""),
        Accepted::once("requests", "\"named\""),
        Accepted::once("concurrency", "64"),
        Accepted::once("queue", "10000"),
        Accepted::once("max_age", "\"24h\""),
        Accepted::once("heartbeat", "\"5m\""),
        Accepted::once("state_version", "2"),
        Accepted::list("variables", "\"LLM_MODEL\" = \"small\", \"LLM_BASE_URL\""),
        Accepted::list("secrets", "\"LLM_API_KEY\""),
    ],
};

const CONCURRENCY: RangeInclusive<u32> = 1..=1_000;
const QUEUE: RangeInclusive<u32> = 1..=1_000_000;
const STATE_VERSION: RangeInclusive<u32> = 1..=u32::MAX;
static MAX_AGE: Limits = Limits { name: "max_age", range: "1s"..="366d", reason: "" };
static HEARTBEAT: Limits = Limits { name: "heartbeat", range: "1m"..="1d", reason: "" };

/// The parsed arguments of `#[agent]`. `None` stands for the default.
pub(super) struct Declaration {
    name: String,
    about: String,
    version: Option<LitStr>,
    picture: Option<LitStr>,
    nip05: Option<LitStr>,
    topics: Vec<LitStr>,
    relays: Vec<LitStr>,
    requests: Option<Requests>,
    concurrency: Option<u32>,
    queue: Option<u32>,
    max_age: Option<Duration>,
    heartbeat: Option<Duration>,
    state_version: Option<u32>,
    variables: Variables,
}

#[derive(Clone, Copy)]
enum Requests {
    Anyone,
    Named,
}

impl Declaration {
    /// Parses the arguments. Mistakes are noted, and the defaults used instead.
    pub(super) fn parse(arguments: TokenStream, item: &ItemStruct, mistakes: &mut Mistakes) -> Self {
        let arguments = Arguments::parse(arguments, &FORM, mistakes);
        if arguments.lacks("name") {
            let suggestion = name::kebab_case(&item.ident.to_string());
            let message = format!("an agent needs a name: `#[agent(name = \"{suggestion}\")]`");
            mistakes.add(syn::Error::new(Span::call_site(), message));
        }
        let about = arguments.text("about", mistakes).map(|text| text.value());
        let requests = arguments.text("requests", mistakes);
        let max_age = arguments.text("max_age", mistakes);
        let heartbeat = arguments.text("heartbeat", mistakes);
        Self {
            name: checked(&arguments, "name", name::check_agent, mistakes)
                .map(|name| name.value())
                .unwrap_or_default(),
            about: about.unwrap_or_else(|| documentation::text(&item.attrs)),
            version: checked(&arguments, "version", check_version, mistakes),
            picture: checked(&arguments, "picture", address::check_picture, mistakes),
            nip05: checked(&arguments, "nip05", address::check_nip05, mistakes),
            topics: list(&arguments, "topics", address::check_topic, |one, other| one == other, mistakes),
            relays: list(&arguments, "relays", address::check_relay, address::is_same_relay, mistakes),
            requests: requests.and_then(|literal| self::requests(&literal, mistakes)),
            concurrency: number(&arguments, "concurrency", &CONCURRENCY, mistakes),
            queue: number(&arguments, "queue", &QUEUE, mistakes),
            max_age: max_age.and_then(|literal| MAX_AGE.read(&literal, mistakes)),
            heartbeat: heartbeat.and_then(|literal| HEARTBEAT.read(&literal, mistakes)),
            state_version: number(&arguments, "state_version", &STATE_VERSION, mistakes),
            variables: Variables::parse(&arguments, mistakes),
        }
    }
}

fn checked(
    arguments: &Arguments,
    name: &str,
    check: impl Fn(&str) -> Result<(), String>,
    mistakes: &mut Mistakes,
) -> Option<LitStr> {
    let text = arguments.text(name, mistakes)?;
    if let Err(message) = check(&text.value()) {
        mistakes.at(&text, message);
        return None;
    }
    Some(text)
}

fn check_version(version: &str) -> Result<(), String> {
    let message = "the version is empty; leave it out to use the crate's";
    if version.is_empty() { Err(message.to_owned()) } else { Ok(()) }
}

/// The strings of a list, without duplicates.
fn list(
    arguments: &Arguments,
    name: &str,
    check: impl Fn(&str) -> Result<(), String>,
    is_same: impl Fn(&str, &str) -> bool,
    mistakes: &mut Mistakes,
) -> Vec<LitStr> {
    let mut texts: Vec<LitStr> = Vec::new();
    for text in arguments.texts(name, mistakes) {
        if let Err(message) = check(&text.value()) {
            mistakes.at(&text, message);
        } else if let Some(first) = texts.iter().find(|earlier| is_same(&earlier.value(), &text.value())) {
            mistakes.at(&text, format!("\"{}\" is in this list already", first.value()));
        } else {
            texts.push(text);
        }
    }
    texts
}

fn requests(literal: &LitStr, mistakes: &mut Mistakes) -> Option<Requests> {
    match literal.value().as_str() {
        "anyone" => Some(Requests::Anyone),
        "named" => Some(Requests::Named),
        _ => {
            let message = "`requests` must be \"anyone\" (requests that name this agent or nobody) or \"named\" (only requests that name this agent)";
            mistakes.at(literal, message);
            None
        }
    }
}

fn number(
    arguments: &Arguments,
    name: &str,
    range: &RangeInclusive<u32>,
    mistakes: &mut Mistakes,
) -> Option<u32> {
    let literal: LitInt = arguments.number(name, mistakes)?;
    let number = literal.base10_parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        mistakes.at(&literal, format!("`{name}` must be from {} to {}", range.start(), range.end()));
    }
    number
}

impl ToTokens for Declaration {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self {
            name,
            about,
            picture,
            nip05,
            topics,
            relays,
            concurrency,
            queue,
            state_version,
            variables,
            ..
        } = self;
        let version = match &self.version {
            Some(version) => quote!(#version),
            None => quote!(::core::env!("CARGO_PKG_VERSION")),
        };
        let picture = picture.iter();
        let nip05 = nip05.iter();
        let topics = (!topics.is_empty()).then(|| quote!(topics: &[#(#topics),*],));
        let relays = (!relays.is_empty()).then(|| quote!(relays: &[#(#relays),*],));
        let requests = self.requests.map(|requests| match requests {
            Requests::Anyone => quote!(requests: ::openagents_sdk::__private::Requests::Anyone,),
            Requests::Named => quote!(requests: ::openagents_sdk::__private::Requests::Named,),
        });
        let concurrency = concurrency.iter();
        let queue = queue.iter();
        let state_version = state_version.iter();
        let max_age = self.max_age.map(duration::tokens);
        let max_age = max_age.iter();
        let heartbeat = self.heartbeat.map(duration::tokens);
        let heartbeat = heartbeat.iter();
        tokens.extend(quote! {
            ::openagents_sdk::__private::AgentDeclaration {
                name: #name,
                about: #about,
                version: #version,
                authors: ::core::env!("CARGO_PKG_AUTHORS"),
                license: ::core::env!("CARGO_PKG_LICENSE"),
                homepage: ::core::env!("CARGO_PKG_HOMEPAGE"),
                repository: ::core::env!("CARGO_PKG_REPOSITORY"),
                #(picture: #picture,)*
                #(nip05: #nip05,)*
                #topics
                #relays
                #requests
                #(concurrency: #concurrency,)*
                #(queue: #queue,)*
                #(max_age: #max_age,)*
                #(heartbeat: ::core::option::Option::Some(#heartbeat),)*
                #(state_version: #state_version,)*
                #variables
                ..::openagents_sdk::__private::AgentDeclaration::new(#name)
            }
        });
    }
}
