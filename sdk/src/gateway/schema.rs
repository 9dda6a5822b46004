//! `Gateway`: what a gateway accepts as a request, and as a result of its backend.

use openagents_host::JsonObject;
use openagents_host::http::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::GatewayError;
use super::json_depth;
use super::message::{AgentRequest, PromptPayload};

/// The most levels of arrays and objects in a request.
const MAX_DEPTH: usize = 32;

/// The longest name of an action, in bytes.
const MAX_ACTION_LENGTH: usize = 64;

/// The gateway of a deployment: `deployment! { agents: [MyAgent], gateway: Gateway::new() }`.
///
/// It forwards requests to the backend at `AUMOS_API_URL` if they are an [`AgentRequest`], and passes on what the backend
/// answers as an [`AgentResponse`](super::AgentResponse).
///
/// ```
/// use openagents_sdk::gateway::Gateway;
///
/// #[derive(serde::Deserialize)]
/// struct Document {
///     title: String,
///     pages: Vec<String>,
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Verdict {
///     score: f64,
/// }
///
/// const GATEWAY: Gateway = Gateway::typed::<Document, Verdict>();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    check_payload: fn(&[u8]) -> Result<(), serde_json::Error>,
    check_result: fn(&[u8]) -> Result<(), serde_json::Error>,
}

impl Gateway {
    /// A gateway for requests with a [`PromptPayload`], which passes on any JSON as a result.
    #[must_use]
    pub const fn new() -> Self {
        Self::typed::<PromptPayload, IgnoredAny>()
    }

    /// A gateway for requests with another payload, `AgentRequest<P>`, whose results are `R`.
    ///
    /// A request is refused if its payload is no `P`; a result of the backend that is no `R` is an error. Both are passed on
    /// as they were sent, so fields that the types do not have are kept.
    #[must_use]
    pub const fn typed<P: DeserializeOwned, R: DeserializeOwned>() -> Self {
        Self { check_payload: check::<JsonObject<P>>, check_result: check::<R> }
    }

    /// Checks the body of a request.
    pub(super) fn read(self, body: Bytes) -> Result<ReadRequest, GatewayError> {
        if json_depth::is_deeper_than(MAX_DEPTH, &body) {
            return Err(GatewayError::TooDeep { max_depth: MAX_DEPTH });
        }
        let JsonObject(AgentRequest { action, payload }) = serde_json::from_slice::<
            JsonObject<AgentRequest<Box<RawValue>>>,
        >(&body)
        .map_err(|error| match error.classify() {
            Category::Data => GatewayError::Schema(error.to_string()),
            Category::Io | Category::Syntax | Category::Eof => GatewayError::Json(error.to_string()),
        })?;
        (self.check_payload)(payload.get().as_bytes())
            .map_err(|error| GatewayError::Schema(format!("in the payload, {error}")))?;
        let is_named_well = (1..=MAX_ACTION_LENGTH).contains(&action.len())
            && action.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if !is_named_well {
            return Err(GatewayError::Action { max_length: MAX_ACTION_LENGTH });
        }
        Ok(ReadRequest { action, payload, body })
    }

    /// Checks what the backend answered.
    pub(super) fn check_result(self, result: &[u8]) -> Result<(), serde_json::Error> {
        (self.check_result)(result)
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is of the gateway's form.
#[derive(Debug)]
pub(super) struct ReadRequest {
    pub(super) action: String,
    /// As it was sent.
    pub(super) payload: Box<RawValue>,
    /// The whole request, as it was sent.
    pub(super) body: Bytes,
}

fn check<T: DeserializeOwned>(json: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<T>(json).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Gateway, MAX_DEPTH};

    fn code(gateway: Gateway, body: &str) -> &'static str {
        gateway.read(Bytes::copy_from_slice(body.as_bytes())).map_or_else(|error| error.code(), |_| "ok")
    }

    fn action(name: &str) -> String {
        format!(r#"{{"action":"{name}","payload":{{"prompt":"hello"}}}}"#)
    }

    #[test]
    fn tells_what_is_wrong_with_a_request() {
        let gateway = Gateway::new();
        for (body, expected) in [
            (action("evaluate").as_str(), "ok"),
            (r#"{"action":"a","payload":{"prompt":"","context":null}}"#, "ok"),
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("hello", "invalid_json"),
            ("\u{feff}{}", "invalid_json"),
            (r#"{"action":"a","payload":{"prompt":""}} {}"#, "invalid_json"),
            ("[]", "invalid_request"),
            (r#"["a",{"prompt":""}]"#, "invalid_request"),
            (r#"{"action":"a","payload":["hello",{}]}"#, "invalid_request"),
            (r#"{"action":"a","action":"b","payload":{"prompt":""}}"#, "invalid_request"),
            (r#"{"action":1,"payload":{"prompt":""}}"#, "invalid_request"),
        ] {
            assert_eq!(code(gateway, body), expected, "{body}");
        }
        let context = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let nested = |depth| {
            format!(r#"{{"action":"a","payload":{{"prompt":"","context":{{"a":{}}}}}}}"#, context(depth))
        };
        assert_eq!(code(gateway, &nested(MAX_DEPTH - 3)), "ok");
        assert_eq!(code(gateway, &nested(MAX_DEPTH - 2)), "too_deep");
        assert_eq!(code(gateway, &"[".repeat(100_000)), "too_deep");
    }

    #[test]
    fn an_action_is_a_short_word() {
        let gateway = Gateway::new();
        for name in ["a", "v1.evaluate_all-now", &"a".repeat(64)] {
            assert_eq!(gateway.read(action(name).into()).unwrap().action, name);
        }
        for name in ["", "a b", "a/b", "é", "a\\n", &"a".repeat(65)] {
            assert_eq!(code(gateway, &action(name)), "invalid_action", "{name}");
        }
    }

    #[test]
    fn the_payload_is_kept_as_it_was_sent() {
        let body = r#"{"payload": {"prompt" : "a", "context":{"n":1.50}}, "action":"a"}"#;
        let request = Gateway::new().read(body.into()).unwrap();
        assert_eq!(request.payload.get(), r#"{"prompt" : "a", "context":{"n":1.50}}"#);
        assert_eq!(request.body, body);
    }

    #[test]
    fn an_author_chooses_the_types() {
        #[derive(serde::Deserialize)]
        struct Page {
            #[expect(dead_code, reason = "only read")]
            title: String,
        }
        let gateway = Gateway::typed::<Page, Vec<u8>>();
        assert_eq!(code(gateway, r#"{"action":"a","payload":{"title":"b","more":1}}"#), "ok");
        assert_eq!(code(gateway, &action("a")), "invalid_request");
        assert!(gateway.check_result(b"[1,2]").is_ok() && gateway.check_result(b"{}").is_err());
        assert!(Gateway::new().check_result(b"{}").is_ok() && Gateway::new().check_result(b"{").is_err());
    }
}
