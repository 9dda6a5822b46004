//! What a relay's operators change while it runs (NIP-86): what is said to it, what it answers, and what stays.
//!
//! Whoever runs the relay lets only its operators say such things; the engine carries them out
//! ([`Input::Manage`](crate::Input::Manage)).

mod call;
mod rules;
mod token;

pub use call::{Call, CallError, METHODS};
pub use rules::{List, Listed, Rules, Wording};
pub use token::{SignedCall, Token, UsedToken};

use serde_json::{Value, json};

/// The `Content-Type` of such requests and answers.
pub const CONTENT_TYPE: &str = "application/nostr+json+rpc";

/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 64 * 1024;

/// What a call brought: its result, or what is wrong with it, in words.
pub type Answer = Result<Value, String>;

/// An answer as JSON.
///
/// ```
/// use openagents_relay::management::answer_json;
///
/// assert_eq!(answer_json(&Ok(true.into())), r#"{"result":true}"#);
/// assert_eq!(answer_json(&Err("no".into())), r#"{"error":"no"}"#);
/// ```
#[must_use]
pub fn answer_json(answer: &Answer) -> String {
    match answer {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": error }),
    }
    .to_string()
}
