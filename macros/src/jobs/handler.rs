//! `#[job]`: parses a handler and its arguments.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, ImplItemFn, LitInt, LitStr};

use super::kind::JobKind;
use super::payment::PaymentArguments;
use super::signature::{Method, Role};
use crate::arguments::{Accepted, Arguments, Form};
use crate::duration::Limits;
use crate::mistakes::Mistakes;
use crate::{documentation, name, price};

static FORM: Form = Form {
    attribute: "#[job]",
    example: "#[job(kind = 5050, timeout = \"60s\")]",
    arguments: &[
        Accepted::once("kind", "5050"),
        Accepted::once("name", "\"hello\""),
        Accepted::once("timeout", "\"60s\""),
        Accepted::once("attempts", "3"),
        Accepted::once("processing_after", "\"0s\""),
        Accepted::once("price", "\"1000 msat\""),
        Accepted::once("pay", "\"hold\""),
        Accepted::once("free", "\"3/day\""),
    ],
};

static ROLE: Role = Role {
    subject: "job handlers",
    returns: "`JobResult<T>`, as in `-> JobResult<String>`",
    text: "take the text input as `Text` or `&Text`, which derefs to `str`",
};

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// A Durable Object's alarm handler is ended after 15 minutes; the difference is for storing and publishing the
/// outcome.
pub(super) static TIMEOUT: Limits = Limits {
    name: "timeout",
    range: "100ms"..="10m",
    reason: ": a Durable Object's alarm is ended after 15 minutes",
};

/// Most handlers end before that; then the result says enough.
const DEFAULT_PROCESSING_AFTER: Duration = Duration::from_millis(300);
static PROCESSING_AFTER: Limits = Limits { name: "processing_after", range: "0s"..="10m", reason: "" };

const DEFAULT_ATTEMPTS: u32 = 3;
const MAX_ATTEMPTS: u32 = 10;

/// A parsed job handler.
pub(super) struct JobHandler {
    pub(super) method: Method,
    pub(super) kind: JobKind,
    pub(super) name: String,
    name_at: Span,
    pub(super) about: String,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    /// How long a run goes on before `processing` feedback.
    pub(super) processing_after: Duration,
    /// The fixed price in msat, if it has one.
    pub(super) price: Option<u64>,
    /// When it is paid for, and how often it is free. They need a price, fixed or from a price function.
    pub(super) payment: PaymentArguments,
}

impl JobHandler {
    /// Parses a method and its `#[job]`. `None` if it cannot be a handler; other mistakes are noted, and the defaults
    /// used instead.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::of([mark], &FORM, mistakes);
        if arguments.lacks("kind") {
            mistakes.at(mark, "a handler needs a job kind: `#[job(kind = 5050)]`");
        }
        let kind = JobKind::parse(&arguments, mistakes);
        let name_literal = arguments.text("name", mistakes);
        let method_name = &method.sig.ident;
        let name = name_literal.as_ref().map_or_else(|| method_name.unraw().to_string(), LitStr::value);
        let name_at = name_literal.as_ref().map_or_else(|| method_name.span(), Spanned::span);
        if let Err(message) = name::check_method("a job's name", &name) {
            mistakes.add(syn::Error::new(name_at, message));
        }
        let timeout =
            arguments.text("timeout", mistakes).and_then(|literal| TIMEOUT.read(&literal, mistakes));
        let attempts =
            arguments.number("attempts", mistakes).and_then(|literal| attempts(&literal, mistakes));
        let processing_after = arguments
            .text("processing_after", mistakes)
            .and_then(|literal| PROCESSING_AFTER.read(&literal, mistakes));
        let price = arguments.text("price", mistakes).and_then(|literal| price::read(&literal, mistakes));
        let payment = PaymentArguments::parse(&arguments, mistakes);
        let about = documentation::text(&method.attrs);
        let method = Method::parse(method, &ROLE, mistakes);
        Some(Self {
            method: method?,
            kind: kind?,
            name,
            name_at,
            about,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            attempts: attempts.unwrap_or(DEFAULT_ATTEMPTS),
            processing_after: processing_after.unwrap_or(DEFAULT_PROCESSING_AFTER),
            price,
            payment,
        })
    }
}

fn attempts(literal: &LitInt, mistakes: &mut Mistakes) -> Option<u32> {
    let attempts = literal.base10_parse().ok().filter(|attempts| (1..=MAX_ATTEMPTS).contains(attempts));
    if attempts.is_none() {
        mistakes.at(literal, format!("`attempts` must be from 1 (no retry) to {MAX_ATTEMPTS}"));
    }
    attempts
}

/// Notes handlers with the same kind or name.
pub(super) fn note_duplicates(handlers: &[JobHandler], mistakes: &mut Mistakes) {
    for (index, handler) in handlers.iter().enumerate() {
        // Alternatives under `#[cfg]` are only known after it has been applied.
        let earlier = handlers
            .iter()
            .take(index)
            .filter(|earlier| earlier.method.cfg.is_empty() && handler.method.cfg.is_empty());
        let mut earlier_by_kind = earlier.clone();
        if let Some(first) = earlier_by_kind.find(|earlier| earlier.kind == handler.kind) {
            let message = format!("kind {} already has the handler `{}`", handler.kind, first.method.name);
            mistakes.add(syn::Error::new(handler.kind.span(), message));
        }
        let mut earlier_by_name = earlier;
        if let Some(first) = earlier_by_name.find(|earlier| earlier.name == handler.name) {
            let message =
                format!("the handler `{1}` already has the name `{0}`", handler.name, first.method.name);
            mistakes.add(syn::Error::new(handler.name_at, message));
        }
    }
}
