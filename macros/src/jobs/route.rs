//! `#[route]`: parses a function that answers HTTP requests.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Ident, ImplItemFn, Lit, LitInt, LitStr, Meta, Token};

use super::signature::{Method, Role};
use crate::arguments::{Accepted, Arguments, Form};
use crate::duration::Limits;
use crate::mistakes::Mistakes;
use crate::{documentation, route_path};

static FORM: Form = Form {
    attribute: "#[route]",
    example: "#[route(POST, \"/hook\", timeout = \"10s\")]",
    arguments: &[Accepted::once("timeout", "\"10s\""), Accepted::once("max_bytes", "100_000")],
};

static ROLE: Role = Role {
    subject: "routes",
    returns: "`JobResult<T>`, as in `-> JobResult<String>`",
    text: "take the body as `Text` or `&Text`, which derefs to `str`",
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
static TIMEOUT: Limits =
    Limits { name: "timeout", range: "100ms"..="20s", reason: ": its client waits for the response" };

const DEFAULT_MAX_BYTES: usize = 100_000;
const MAX_BYTES: usize = 5_000_000;

const WRITTEN: &str = "a route needs a method and a path: `#[route(POST, \"/hook\")]`";

/// A parsed route.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) verb: Verb,
    pub(super) path: String,
    path_at: Span,
    pub(super) about: String,
    pub(super) timeout: Duration,
    pub(super) max_bytes: usize,
}

/// The method of the HTTP requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The variant of `RouteMethod`.
    pub(super) const fn variant(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Post => "Post",
            Self::Put => "Put",
            Self::Patch => "Patch",
            Self::Delete => "Delete",
        }
    }

    fn parse(word: &Ident) -> syn::Result<Self> {
        let written = word.to_string();
        if let Some(verb) = Self::ALL.into_iter().find(|verb| written == verb.as_str()) {
            return Ok(verb);
        }
        let hint = match written.to_uppercase().as_str() {
            "HEAD" => "; a route for GET answers HEAD too".to_owned(),
            "OPTIONS" => "; the deployment answers OPTIONS itself (CORS)".to_owned(),
            upper => match Self::ALL.into_iter().find(|verb| upper == verb.as_str()) {
                Some(verb) => format!("; write {}", verb.as_str()),
                None => String::new(),
            },
        };
        let names = Self::ALL.map(Self::as_str).join(", ");
        Err(syn::Error::new(word.span(), format!("the method of a route is one of {names}{hint}")))
    }
}

/// The arguments as they are written: the method and the path come first.
struct Written {
    verb: syn::Result<Verb>,
    path: LitStr,
    more: TokenStream,
}

impl Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let start = input.span();
        let word: Ident = input.parse().map_err(|_| syn::Error::new(start, WRITTEN))?;
        if !input.is_empty() {
            let comma = input.span();
            input.parse::<Token![,]>().map_err(|_| syn::Error::new(comma, WRITTEN))?;
        }
        if input.is_empty() {
            return Err(syn::Error::new(word.span(), WRITTEN));
        }
        let path: Lit = input.parse().map_err(|error| syn::Error::new(error.span(), WRITTEN))?;
        let Lit::Str(path) = path else {
            return Err(syn::Error::new_spanned(path, "the path of a route is text in quotes: `\"/hook\"`"));
        };
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self { verb: Verb::parse(&word), path, more: input.parse()? })
    }
}

impl Route {
    /// Parses a method and its `#[route]`; `None` if it cannot be a route.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let about = documentation::text(&method.attrs);
        let method = Method::parse(method, &ROLE, mistakes);
        let written = match &mark.meta {
            Meta::List(list) if !list.tokens.is_empty() => Written::parse.parse2(list.tokens.clone()),
            meta => Err(syn::Error::new_spanned(meta.to_token_stream(), WRITTEN)),
        };
        let Written { verb, path, more } = written.map_err(|error| mistakes.add(error)).ok()?;
        let verb = verb.map_err(|error| mistakes.add(error)).ok();
        let checked = route_path::check(&path.value());
        let is_path = checked.map_err(|message| mistakes.at(&path, message)).is_ok();
        let arguments = Arguments::parse(more, &FORM, mistakes);
        let timeout =
            arguments.text("timeout", mistakes).and_then(|literal| TIMEOUT.read(&literal, mistakes));
        let max_bytes =
            arguments.number("max_bytes", mistakes).and_then(|literal| max_bytes(&literal, mistakes));
        Some(Self {
            method: method?,
            verb: verb?,
            path: path.value(),
            path_at: path.span(),
            about,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            max_bytes: max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
        })
        .filter(|_| is_path)
    }
}

fn max_bytes(literal: &LitInt, mistakes: &mut Mistakes) -> Option<usize> {
    let max_bytes = literal.base10_parse().ok().filter(|max_bytes| *max_bytes <= MAX_BYTES);
    if max_bytes.is_none() {
        mistakes.at(literal, "`max_bytes` is the longest body of a request, from 0 to 5,000,000 bytes");
    }
    max_bytes
}

/// Notes routes with the same method and path.
pub(super) fn note_duplicates(routes: &[Route], mistakes: &mut Mistakes) {
    for (index, route) in routes.iter().enumerate() {
        let mut earlier = routes.iter().take(index).filter(|earlier| {
            // Alternatives under `#[cfg]` are only known after it has been applied.
            earlier.method.cfg.is_empty() && route.method.cfg.is_empty()
        });
        if let Some(first) = earlier.find(|earlier| earlier.verb == route.verb && earlier.path == route.path)
        {
            let (verb, path, method) = (route.verb.as_str(), &route.path, &first.method.name);
            let message = format!("`{method}` already answers {verb} {path}");
            mistakes.add(syn::Error::new(route.path_at, message));
        }
    }
}
