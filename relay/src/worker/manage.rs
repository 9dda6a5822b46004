//! The way of an operator's wishes into the relay object.

use std::borrow::Cow;
use std::rc::Rc;

use ::worker::{Error, Response, Result, Stub};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::publish::post;
use super::{HandOver, Object};
use crate::management::{Answer, Call, SignedCall, Token, UsedToken, answer_json};
use crate::relay::{Input, Ticket};

/// Where the relay object is managed. The Worker's own routes must lead here only for operators.
pub const MANAGE_PATH: &str = "/internal/manage";

/// What the relay object is sent.
#[derive(Serialize, Deserialize)]
struct Passed<'a> {
    token: Token,
    call: Cow<'a, str>,
}

/// What it answers.
#[derive(Serialize, Deserialize)]
struct Answered {
    is_used_token: bool,
    answer: Value,
}

/// Has the relay object carry out what an operator wants: a request of NIP-86 that was signed for by this token.
///
/// # Errors
/// When the object could not be reached or failed.
pub async fn manage(
    relay: &Stub,
    token: Token,
    call: &str,
) -> Result<std::result::Result<Answer, UsedToken>> {
    let passed = serde_json::to_string(&Passed { token, call: Cow::Borrowed(call) })?;
    let Answered { is_used_token, answer } = post(relay, MANAGE_PATH, &passed).await?.json().await?;
    if is_used_token {
        return Ok(Err(UsedToken));
    }
    Ok(Ok(match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer.get("result").cloned().unwrap_or_default()),
    }))
}

impl<H: HandOver> Object<H> {
    /// Carries out a call.
    pub(super) async fn managed(self: &Rc<Self>, passed: &str) -> Result<Response> {
        let Passed { token, call } = serde_json::from_str(passed)?;
        let answer = match Call::parse(&call) {
            Ok(call) => {
                let call = SignedCall { token, call };
                let mut pending = self.handle(Input::Manage { ticket: Ticket(0), call })?;
                let answer = pending.answer.take();
                self.go_on(pending).await?;
                answer.ok_or_else(|| Error::RustError("the relay did not answer".to_owned()))?
            }
            Err(error) => Ok(Err(error.to_string())),
        };
        let is_used_token = answer.is_err();
        let answer =
            serde_json::from_str(&answer_json(&answer.unwrap_or_else(|used| Err(used.to_string()))))?;
        Response::from_json(&Answered { is_used_token, answer })
    }
}
