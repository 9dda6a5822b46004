//! The relay object's replies to the calls in [`rpc`](crate::worker::rpc).

use std::rc::Rc;

use ::worker::{Error, Response, Result};
use openagents_host::worker::rpc;
use openagents_host::{Event, nostr::Filter};
use serde_json::value::RawValue;

use super::ObjectInner;
use crate::engine::Input;
use crate::management::{Call, ManagementReply, SignedCall, Token};
use crate::reason::{Outcome, Reason};
use crate::session::Ticket;
use crate::worker::rpc::{RelayCall, RelayReply};

/// A reply that passes on stored events without parsing them.
type StoredReply<'a> = RelayReply<&'a RawValue>;

impl ObjectInner {
    /// Answers a call.
    pub(super) async fn answer(self: &Rc<Self>, call: RelayCall<'_>) -> Result<Response> {
        match call {
            RelayCall::Publish(event) => {
                rpc::reply(&StoredReply::Published(self.publish(event.into_owned()).await?))
            }
            RelayCall::Query(filters) => self.query(filters.into_owned()).await,
            RelayCall::MemoryUsage => {
                rpc::reply(&StoredReply::MemoryUsage(self.with_open(|open| open.memory_usage())?))
            }
            RelayCall::Manage { token, call } => {
                rpc::reply(&StoredReply::Managed(self.manage(token, &call).await?))
            }
        }
    }

    async fn publish(self: &Rc<Self>, event: Event) -> Result<Outcome> {
        let event = match event.verify() {
            Ok(event) => event,
            Err(error) => return Ok(Outcome::Refused(Reason::invalid(error.to_string()))),
        };
        let mut pending = self.handle(Input::Publish { ticket: Ticket(0), event })?;
        let outcome = pending.outcome.take();
        self.finish(pending).await?;
        outcome.ok_or_else(no_answer)
    }

    async fn query(self: &Rc<Self>, filters: Vec<Filter>) -> Result<Response> {
        let mut pending = self.handle(Input::Query { ticket: Ticket(0), filters })?;
        let found = pending.found.take();
        // A query has no effects, but it may have woken the object, and then the alarm must be set.
        self.finish(pending).await?;
        match found.ok_or_else(no_answer)? {
            Ok(events) => {
                let events: serde_json::Result<Vec<&RawValue>> =
                    events.iter().map(|event| serde_json::from_str(event)).collect();
                rpc::reply(&StoredReply::Found(Ok(events?)))
            }
            Err(reason) => rpc::reply(&StoredReply::Found(Err(reason))),
        }
    }

    /// Carries out a management call of an operator; `None` if its token was used before.
    async fn manage(self: &Rc<Self>, token: Token, call: &str) -> Result<Option<ManagementReply>> {
        let call = match Call::parse(call) {
            Ok(call) => SignedCall { token, call },
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        let mut pending = self.handle(Input::Manage { ticket: Ticket(0), call })?;
        let answer = pending.answer.take();
        self.finish(pending).await?;
        Ok(answer.ok_or_else(no_answer)?.ok())
    }
}

fn no_answer() -> Error {
    Error::RustError("the relay did not answer".to_owned())
}
