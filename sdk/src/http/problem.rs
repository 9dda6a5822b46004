//! `Problem`: an error as `application/problem+json` (RFC 9457).

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error that a program can tell from others by its `code`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// The kind of error, for programs.
    pub(crate) code: &'static str,
    /// What is wrong and what was expected, for people.
    pub(crate) detail: String,
    /// In how many seconds the client may try again, if that is known.
    pub(crate) retry_after: Option<u64>,
    /// Further members.
    pub(crate) members: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, members: Map::new() }
    }

    /// Says when the client may try again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Adds a member, which is left out if it is null.
    pub(crate) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.members.insert(name.to_owned(), value);
        }
        self
    }

    /// The problem as JSON.
    pub(crate) fn json(&self) -> String {
        let mut problem = self.members.clone();
        // `about:blank`: the title is that of the status.
        let title = self.status.canonical_reason();
        let members = [
            ("type", json!("about:blank")),
            ("title", json!(title)),
            ("status", json!(self.status.as_u16())),
            ("code", json!(self.code)),
            ("detail", json!(self.detail)),
        ];
        problem.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(problem).to_string()
    }

    /// The response.
    pub(crate) fn response(&self) -> Response {
        let response = private(response::bytes(self.status, MEDIA_TYPE, self.json()));
        let response = match self.retry_after {
            Some(seconds) => with_header(response, header::RETRY_AFTER, HeaderValue::from(seconds)),
            None => response,
        };
        match self.status {
            StatusCode::UNAUTHORIZED => {
                with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Nostr"))
            }
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::http::StatusCode;
    use serde_json::{Value, json};

    use super::Problem;
    use crate::http::fixtures::{header, text};

    #[test]
    fn a_problem_has_the_members_of_the_rfc_and_its_own() {
        let problem = Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_required", "pay first")
            .member("invoice", "lnbc1")
            .member("nothing", Value::Null)
            // Cannot take the place of another.
            .member("status", 200)
            .retry_after(7);
        let response = problem.response();
        assert_eq!(response.status(), 402);
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("retry-after", "7"),
            ("www-authenticate", ""),
        ] {
            assert_eq!(header(&response, name), value, "{name}");
        }
        let expected = json!({
            "type": "about:blank",
            "title": "Payment Required",
            "status": 402,
            "code": "payment_required",
            "detail": "pay first",
            "invoice": "lnbc1",
        });
        assert_eq!(serde_json::from_str::<Value>(&text(response)).unwrap(), expected);
    }
}
