//! The relay object's replies to the calls in [`rpc`](crate::worker::rpc).

use std::borrow::Cow;
use std::collections::VecDeque;
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
            RelayCall::Publish(events) => {
                let events = events.into_iter().map(Cow::into_owned).collect();
                rpc::reply(&StoredReply::Published(self.publish(events).await?))
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

    /// Publishes events in their order, and returns the outcome of each.
    async fn publish(self: &Rc<Self>, events: Vec<Event>) -> Result<Vec<Outcome>> {
        let (mut refused, mut inputs) = (Vec::new(), VecDeque::new());
        for event in Event::verify_all(events) {
            refused.push(match event {
                Ok(event) => {
                    inputs.push_back(Input::Publish { ticket: Ticket(0), event });
                    None
                }
                Err(error) => Some(Outcome::Refused(Reason::invalid(error.to_string()))),
            });
        }
        let mut pending = self.handle_all(&mut inputs)?;
        let mut outcomes = std::mem::take(&mut pending.outcomes).into_iter();
        self.finish(pending).await?;
        let outcomes = refused.into_iter().map(|refused| refused.or_else(|| outcomes.next()));
        outcomes.map(|outcome| outcome.ok_or_else(no_answer)).collect()
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
