//! `#[direct_message]`: parses the function that answers direct messages.

use std::time::Duration;

use syn::ext::IdentExt;
use syn::{Attribute, ImplItemFn};

use super::handler::{DEFAULT_TIMEOUT, TIMEOUT};
use super::signature::{Method, Role};
use crate::arguments::{Accepted, Arguments, Form};
use crate::documentation;
use crate::mistakes::Mistakes;

static FORM: Form = Form {
    attribute: "#[direct_message]",
    example: "#[direct_message(timeout = \"60s\")]",
    arguments: &[Accepted::once("timeout", "\"60s\"")],
};

static ROLE: Role = Role {
    subject: "functions for direct messages",
    returns: "`JobResult<T>`, as in `-> JobResult<String>`",
    text: "take the text as `Text` or `&Text`, which derefs to `str`",
};

/// The parsed function for direct messages.
pub(super) struct DirectMessage {
    pub(super) method: Method,
    mark: Attribute,
    pub(super) name: String,
    pub(super) about: String,
    pub(super) timeout: Duration,
}

impl DirectMessage {
    /// Parses a method and its `#[direct_message]`; `None` if it cannot answer messages.
    pub(super) fn parse(mark: &Attribute, method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let arguments = Arguments::of([mark], &FORM, mistakes);
        let timeout = arguments.text("timeout", mistakes);
        let timeout = timeout.and_then(|literal| TIMEOUT.read(&literal, mistakes));
        let (name, about) = (method.sig.ident.unraw().to_string(), documentation::text(&method.attrs));
        let method = Method::parse(method, &ROLE, mistakes)?;
        Some(Self { method, mark: mark.clone(), name, about, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) })
    }
}

/// Notes a second function.
pub(super) fn note_duplicates(functions: &[DirectMessage], mistakes: &mut Mistakes) {
    // Alternatives under `#[cfg]` are only known after it has been applied.
    let mut functions = functions.iter().filter(|function| function.method.cfg.is_empty());
    let Some(first) = functions.next() else { return };
    for function in functions {
        let message = format!("there can only be one `#[direct_message]`, which is `{}`", first.method.name);
        mistakes.at(&function.mark, message);
    }
}
