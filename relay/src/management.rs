//! The relay management API (NIP-86): calls, replies, and the operators' rules.
//!
//! The HTTP route of the relay checks that a call comes from an operator; the engine carries it out
//! ([`Input::Manage`](crate::Input::Manage)).

mod call;
mod rules;
mod token;

pub use call::{Call, CallError, METHODS};
pub use rules::{InformationText, List, ListEntry, Rules};
pub use token::{SignedCall, Token, UsedToken};

use openagents_host::http::response::{self, private};
use openagents_host::http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// The `Content-Type` of management requests and replies.
pub const CONTENT_TYPE: &str = "application/nostr+json+rpc";

/// The longest request body, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The reply to a call: its result, or an error message.
pub type ManagementReply = Result<Value, String>;

/// A reply as the JSON of NIP-86.
///
/// ```
/// use openagents_relay::management::reply_json;
///
/// assert_eq!(reply_json(&Ok(true.into())), r#"{"result":true}"#);
/// assert_eq!(reply_json(&Err("no".into())), r#"{"error":"no"}"#);
/// ```
#[must_use]
pub fn reply_json(answer: &ManagementReply) -> String {
    match answer {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": error }),
    }
    .to_string()
}

/// The HTTP response with a reply. It must not be cached.
#[must_use]
pub fn reply_response(status: StatusCode, reply: &ManagementReply) -> Response {
    private(response::bytes(status, HeaderValue::from_static(CONTENT_TYPE), reply_json(reply)))
}
