//! The way of an operator's wishes into the relay object.

use std::rc::Rc;

use ::worker::{Response, Result, Stub};
use serde_json::Value;

use super::publish::post;
use super::{HandOver, Object};
use crate::management::{Answer, Call, answer_json};
use crate::relay::{Input, Ticket};

/// Where the relay object is managed. The Worker's own routes must lead here only for operators.
pub const MANAGE_PATH: &str = "/internal/manage";

/// Has the relay object carry out what an operator wants: a request of NIP-86.
///
/// # Errors
/// When the object could not be reached or failed.
pub async fn manage(relay: &Stub, call: &str) -> Result<Answer> {
    let answer: Value = post(relay, MANAGE_PATH, call).await?.json().await?;
    Ok(match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer.get("result").cloned().unwrap_or_default()),
    })
}

impl<H: HandOver> Object<H> {
    /// Carries out a call.
    pub(super) async fn managed(self: &Rc<Self>, call: &str) -> Result<Response> {
        let answer = match Call::parse(call) {
            Ok(call) => {
                let mut pending = self.handle(&Input::Manage { ticket: Ticket(0), call })?;
                let answer = pending.answer.take();
                self.go_on(pending).await?;
                answer.unwrap_or_else(|| Err("the relay did not answer".to_owned()))
            }
            Err(error) => Err(error.to_string()),
        };
        let mut response = Response::ok(answer_json(&answer))?;
        response.headers_mut().set("content-type", "application/json")?;
        Ok(response)
    }
}
