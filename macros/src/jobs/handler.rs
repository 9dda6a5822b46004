//! `#[job]`: reads the arguments of one handler.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, ImplItemFn, LitInt, LitStr, Meta};

use super::signature::Signature;
use crate::arguments::{Arguments, Form};
use crate::mistakes::Mistakes;
use crate::{documentation, duration, name};

static FORM: Form = Form {
    attribute: "#[job]",
    example: "#[job(kind = 5050, timeout = \"60s\")]",
    arguments: &[("kind", "5050"), ("name", "\"hello\""), ("timeout", "\"60s\""), ("attempts", "3")],
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// A Durable Object's alarm handler is ended after 15 minutes; the rest is for storing and publishing the outcome.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

const DEFAULT_ATTEMPTS: u32 = 3;
const MOST_ATTEMPTS: u32 = 10;

/// A job handler as its author wrote it.
pub(super) struct JobHandler {
    pub(super) method: Ident,
    pub(super) cfg: Vec<Attribute>,
    pub(super) kind: u16,
    pub(super) kind_at: Span,
    pub(super) name: String,
    pub(super) name_at: Span,
    pub(super) about: String,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) signature: Signature,
}

impl JobHandler {
    /// Reads a method and its `#[job]`. Nothing when there is no handler to be made of them; other mistakes are noted and
    /// replaced by the defaults.
    pub(super) fn parse(job: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::parse(arguments_of(job), &FORM, mistakes);
        if arguments.lacks("kind") {
            mistakes.at(job, "a handler needs the kind of request it answers: `#[job(kind = 5050)]`");
        }
        let kind_literal = arguments.number("kind", mistakes);
        let kind = kind_literal.as_ref().and_then(|literal| kind(literal, mistakes));
        let name_literal = arguments.text("name", mistakes);
        let method_name = &method.sig.ident;
        let name = name_literal.as_ref().map_or_else(|| method_name.unraw().to_string(), LitStr::value);
        let name_at = name_literal.as_ref().map_or_else(|| method_name.span(), Spanned::span);
        if let Err(message) = name::check_job(&name) {
            mistakes.add(syn::Error::new(name_at, message));
        }
        let timeout = arguments.text("timeout", mistakes).and_then(|literal| timeout(&literal, mistakes));
        let attempts =
            arguments.number("attempts", mistakes).and_then(|literal| attempts(&literal, mistakes));
        let signature = Signature::parse(&method.sig, mistakes);
        let cfg = method.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect();
        Some(Self {
            method: method_name.clone(),
            cfg,
            kind: kind?,
            kind_at: kind_literal.map_or_else(Span::call_site, |literal| literal.span()),
            name,
            name_at,
            about: documentation::text(&method.attrs),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            attempts: attempts.unwrap_or(DEFAULT_ATTEMPTS),
            signature: signature?,
        })
    }
}

fn arguments_of(job: &Attribute) -> TokenStream {
    match &job.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(meta) => meta.value.to_token_stream(),
    }
}

fn kind(literal: &LitInt, mistakes: &mut Mistakes) -> Option<u16> {
    let kind = literal.base10_parse().ok();
    if kind.is_some_and(|kind| (5000..=5999).contains(&kind)) {
        return kind;
    }
    let request = kind.filter(|kind| (6000..=6999).contains(kind)).map(|kind| kind.saturating_sub(1000));
    let hint = request.map(|request| format!("; {literal} is that of its result, write {request}"));
    let hint = hint.unwrap_or_default();
    mistakes.at(literal, format!("`kind` is a job request's, 5000 to 5999 (NIP-90){hint}"));
    None
}

fn timeout(literal: &LitStr, mistakes: &mut Mistakes) -> Option<Duration> {
    let text = literal.value();
    let Some(timeout) = duration::parse(&text) else {
        let message = format!("`{text}` is not a duration; write a number and a unit: 500ms, 60s, 10m");
        mistakes.at(literal, message);
        return None;
    };
    if (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout) {
        return Some(timeout);
    }
    let reason =
        if timeout > LONGEST_TIMEOUT { ": a Durable Object's alarm is ended after 15 minutes" } else { "" };
    mistakes.at(literal, format!("`timeout` is from 100ms to 10m{reason}"));
    None
}

fn attempts(literal: &LitInt, mistakes: &mut Mistakes) -> Option<u32> {
    let attempts = literal.base10_parse().ok().filter(|attempts| (1..=MOST_ATTEMPTS).contains(attempts));
    if attempts.is_none() {
        mistakes.at(literal, format!("`attempts` is from 1 (never tried again) to {MOST_ATTEMPTS}"));
    }
    attempts
}
