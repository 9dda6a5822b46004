//! `#[event]`: parses a function that handles events of a kind.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Attribute, ImplItemFn, LitInt};

use super::handler::{DEFAULT_TIMEOUT, TIMEOUT};
use super::signature::{Method, Role};
use crate::arguments::{Accepted, Arguments, Form};
use crate::documentation;
use crate::mistakes::Mistakes;

static FORM: Form = Form {
    attribute: "#[event]",
    example: "#[event(kind = 1, mentions)]",
    arguments: &[
        Accepted::once("kind", "1"),
        Accepted::flag("mentions"),
        Accepted::once("timeout", "\"60s\""),
    ],
};

static ROLE: Role = Role {
    subject: "functions for events",
    returns: "`JobResult<()>`",
    text: "take the event as `NostrEvent`, whose `content` is text",
};

/// A parsed function for events.
pub(super) struct Event {
    pub(super) method: Method,
    pub(super) kind: u16,
    kind_at: Span,
    pub(super) name: String,
    pub(super) about: String,
    pub(super) timeout: Duration,
}

impl Event {
    /// Parses a method and its `#[event]`; `None` if it cannot handle events.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::of([mark], &FORM, mistakes);
        if arguments.lacks("kind") {
            mistakes.at(mark, "a function for events needs their kind: `#[event(kind = 1, mentions)]`");
        } else if arguments.lacks("mentions") {
            let message = "say which events of this kind: `#[event(kind = 1, mentions)]` is for those that name the agent in a `p` tag";
            mistakes.at(mark, message);
        }
        let literal = arguments.number("kind", mistakes);
        let kind = literal.as_ref().and_then(|literal| kind(literal, mistakes));
        let timeout = arguments.text("timeout", mistakes);
        let timeout = timeout.and_then(|literal| TIMEOUT.read(&literal, mistakes));
        let (name, about) = (method.sig.ident.unraw().to_string(), documentation::text(&method.attrs));
        let method = Method::parse(method, &ROLE, mistakes);
        Some(Self {
            method: method?,
            kind: kind?,
            kind_at: literal?.span(),
            name,
            about,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        })
    }
}

fn kind(literal: &LitInt, mistakes: &mut Mistakes) -> Option<u16> {
    let refused = match literal.base10_parse() {
        Ok(5 | 62 | 22_242) => "the relay itself handles events of this kind",
        Ok(13 | 14 | 1_059 | 21_059) => {
            "events of this kind are parts of direct messages (NIP-17): write `#[direct_message]`"
        }
        Ok(5_000..=5_999) => "events of this kind are job requests (NIP-90): write `#[job(kind = …)]`",
        Ok(kind) => return Some(kind),
        Err(_) => "the kind of an event is a number from 0 to 65535 (NIP-01)",
    };
    mistakes.at(literal, refused);
    None
}

/// Notes functions for the same kind.
pub(super) fn note_duplicates(events: &[Event], mistakes: &mut Mistakes) {
    for (index, event) in events.iter().enumerate() {
        let mut earlier = events.iter().take(index).filter(|earlier| {
            // Alternatives under `#[cfg]` are only known after it has been applied.
            earlier.method.cfg.is_empty() && event.method.cfg.is_empty()
        });
        if let Some(first) = earlier.find(|earlier| earlier.kind == event.kind) {
            let message = format!("`{}` already handles events of kind {}", first.method.name, event.kind);
            mistakes.add(syn::Error::new(event.kind_at, message));
        }
    }
}
