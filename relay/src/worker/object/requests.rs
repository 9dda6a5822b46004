//! The object's side of the calls in [`rpc`](crate::worker::rpc).

use std::rc::Rc;
use std::sync::Arc;

use ::worker::{Error, Response, Result};
use openagents_host::Event;

use super::ObjectInner;
use crate::engine::Input;
use crate::management::{Call, SignedCall, reply_json};
use crate::reason::{Outcome, Prefix, Reason};
use crate::session::Ticket;
use crate::worker::rpc::{ManageRequest, ManageResponse};

impl ObjectInner {
    /// Publishes an agent's event and answers with the [`Outcome`].
    pub(super) async fn published(self: &Rc<Self>, json: &str) -> Result<Response> {
        let event = match Event::from_json(json).map_err(|error| error.to_string()) {
            Ok(event) => event.verify().map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => return Response::from_json(&Outcome::Refused(Reason::invalid(error))),
        };
        let mut pending = self.handle(Input::Publish { ticket: Ticket(0), event })?;
        let outcome = pending.outcome.take();
        self.finish(pending).await?;
        match outcome {
            Some(outcome) => Response::from_json(&outcome),
            None => Response::error("the relay did not decide\n", 500),
        }
    }

    /// Answers a list of filters with the list of the events.
    pub(super) async fn queried(self: &Rc<Self>, filters: &str) -> Result<Response> {
        let filters = match serde_json::from_str(filters) {
            Ok(filters) => filters,
            Err(error) => return Response::error(format!("this is no list of filters: {error}\n"), 400),
        };
        let mut pending = self.handle(Input::Query { ticket: Ticket(0), filters })?;
        let found = pending.found.take();
        // A query brings nothing to do, but it may have woken the object: then the alarm is to be set.
        self.finish(pending).await?;
        match found {
            Some(Ok(events)) => {
                let mut response = Response::from_bytes(list(&events))?;
                response.headers_mut().set("content-type", "application/json")?;
                Ok(response)
            }
            Some(Err(reason)) => {
                let status = if reason.prefix == Prefix::Invalid { 400 } else { 503 };
                Response::error(format!("{reason}\n"), status)
            }
            None => Response::error("the relay did not answer\n", 500),
        }
    }

    /// Carries out a call.
    pub(super) async fn managed(self: &Rc<Self>, passed: &str) -> Result<Response> {
        let ManageRequest { token, call } = serde_json::from_str(passed)?;
        let answer = match Call::parse(&call) {
            Ok(call) => {
                let call = SignedCall { token, call };
                let mut pending = self.handle(Input::Manage { ticket: Ticket(0), call })?;
                let answer = pending.answer.take();
                self.finish(pending).await?;
                answer.ok_or_else(|| Error::RustError("the relay did not answer".to_owned()))?
            }
            Err(error) => Ok(Err(error.to_string())),
        };
        let is_used_token = answer.is_err();
        let answer = serde_json::from_str(&reply_json(&answer.unwrap_or_else(|used| Err(used.to_string()))))?;
        Response::from_json(&ManageResponse { is_used_token, answer })
    }
}

/// Events as a JSON list of them.
fn list(events: &[Arc<str>]) -> Vec<u8> {
    format!("[{}]", events.join(",")).into_bytes()
}
