//! An HTTP response, before a host sends it.

use std::borrow::Cow;

use serde_json::Value;

/// Text for people.
const TEXT: &str = "text/plain; charset=utf-8";

/// JSON for programs.
const JSON: &str = "application/json";

const NOWHERE: &str = "There is nothing here. The relay is at / (WebSocket), health at /health.\n";
const NO_SUCH_AGENT: &str = "No such agent lives here; / says which one does.\n";
const WRONG_METHOD: &str = "Only GET, HEAD and OPTIONS are answered here.\n";

/// What every answer carries: any page may read it (NIP-11, NIP-05), and no browser takes it for something to run.
///
/// `authorization` has to be named: CORS does not count it among `*`.
pub(crate) const COMMON_HEADERS: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-headers", "*, authorization"),
    ("access-control-allow-methods", "GET, HEAD, POST, OPTIONS"),
    ("vary", "accept"),
    ("x-content-type-options", "nosniff"),
];

/// A status, a body, and the headers that are this answer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Cow<'static, str>,
}

impl HttpResponse {
    pub(crate) fn text(body: impl Into<Cow<'static, str>>) -> Self {
        Self { status: 200, content_type: TEXT, headers: Vec::new(), body: body.into() }
    }

    /// JSON that was written before.
    pub(crate) fn json(json: impl Into<Cow<'static, str>>) -> Self {
        Self { content_type: JSON, ..Self::text(json) }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::json(value.to_string())
    }

    /// A text with a line of its own that says what is wrong.
    pub(crate) fn failure(status: u16, reason: &str) -> Self {
        Self { status, ..Self::text(format!("{}\n", reason.trim_end())) }
    }

    pub(crate) fn nowhere() -> Self {
        Self { status: 404, ..Self::text(NOWHERE) }
    }

    pub(crate) fn no_such_agent() -> Self {
        Self { status: 404, ..Self::text(NO_SUCH_AGENT) }
    }

    pub(crate) fn wrong_method() -> Self {
        Self { status: 405, ..Self::text(WRONG_METHOD) }.with("allow", "GET, HEAD, OPTIONS")
    }

    pub(crate) fn empty() -> Self {
        Self { status: 204, ..Self::text("") }
    }

    pub(crate) fn of_type(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Not to be kept by anything between the agent and its operator.
    pub(crate) fn private(self) -> Self {
        self.with("cache-control", "no-store")
    }
}
