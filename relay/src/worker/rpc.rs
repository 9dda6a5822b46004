//! Calls to the relay's Durable Object from the Worker and the agent's object: publish, query, manage, memory usage.

use std::borrow::Cow;

use ::worker::{Error, Result, Stub};
use openagents_host::nostr::Filter;
use openagents_host::worker::rpc;
use openagents_host::{Event, VerifiedEvent};
use serde::{Deserialize, Serialize};

use crate::admission::ClientMemoryUsage;
use crate::management::{ManagementReply, Token, UsedToken};
use crate::reason::{Outcome, Reason};

/// The path at which an object reports how many rows Cloudflare bills, as counted by
/// [`DurableSql::billed_rows`](openagents_host::worker::DurableSql::billed_rows). The Worker must never route public
/// requests here.
pub const BILLED_ROWS_PATH: &str = "/internal/billed-rows";

/// The path below which a WebSocket is that of a client who has authenticated with a key, which follows in hex. Only the
/// Worker connects here: it forwards the WebSockets of clients at the root alone.
pub const AUTHENTICATED_PATH: &str = "/internal/authenticated/";

/// A call to the relay object. Limits for clients do not apply.
#[derive(Serialize, Deserialize)]
pub(super) enum RelayCall<'a> {
    /// Publish these events in this order.
    Publish(Vec<Cow<'a, Event>>),
    Query(Cow<'a, [Filter]>),
    /// A management request (NIP-86) that an operator has signed with this token.
    Manage {
        token: Token,
        call: Cow<'a, str>,
    },
    /// How much memory clients make the relay keep.
    MemoryUsage,
}

/// The reply to a call.
#[derive(Serialize, Deserialize)]
pub(super) enum RelayReply<E = Event> {
    /// One outcome for each event.
    Published(Vec<Outcome>),
    Found(std::result::Result<Vec<E>, Reason>),
    /// `None` if the token was used before.
    Managed(Option<ManagementReply>),
    MemoryUsage(ClientMemoryUsage),
}

/// Publishes events through the relay object, in this order and in one transaction of its runtime. Returns the outcome of
/// each; by then those that were accepted are stored. See
/// [`take_batch`](openagents_host::port::call_batch::take_batch) for how many.
///
/// # Errors
/// When the object could not be reached or failed. The events may then be stored or not: publish them again, which is
/// harmless.
pub async fn publish(relay: &Stub, events: &[&VerifiedEvent]) -> Result<Vec<Outcome>> {
    let call_events = events.iter().map(|event| Cow::Borrowed(&***event)).collect();
    match call(relay, &RelayCall::Publish(call_events)).await? {
        RelayReply::Published(outcomes) if outcomes.len() == events.len() => Ok(outcomes),
        _ => Err(wrong_reply()),
    }
}

/// The stored events that match any of the filters, as a `REQ` would return them: the newest first, each once.
/// Includes everything that was published before the call.
///
/// Each filter returns at most its `limit`, and never more than
/// [`MAX_INTERNAL_LIMIT`](crate::limits::MAX_INTERNAL_LIMIT). In total there are at most
/// [`max_answer_length`](crate::Limits::max_answer_length) bytes; if events are left out, they are the oldest, and can
/// be queried with `until`.
///
/// # Errors
/// When there are more than [`max_filters`](crate::Limits::max_filters), or the object could not be reached or failed.
pub async fn query(relay: &Stub, filters: &[Filter]) -> Result<Vec<Event>> {
    match call(relay, &RelayCall::Query(Cow::Borrowed(filters))).await? {
        RelayReply::Found(found) => found.map_err(|reason| Error::RustError(reason.to_string())),
        _ => Err(wrong_reply()),
    }
}

/// Has the relay object carry out a management request (NIP-86) that an operator has signed with this token.
///
/// # Errors
/// When the object could not be reached or failed.
pub async fn manage(
    relay: &Stub,
    token: Token,
    request: &str,
) -> Result<std::result::Result<ManagementReply, UsedToken>> {
    match call(relay, &RelayCall::Manage { token, call: Cow::Borrowed(request) }).await? {
        RelayReply::Managed(answer) => Ok(answer.ok_or(UsedToken)),
        _ => Err(wrong_reply()),
    }
}

/// How much memory clients make the relay object keep.
///
/// # Errors
/// When the object could not be reached or failed.
pub async fn memory_usage(relay: &Stub) -> Result<ClientMemoryUsage> {
    match call(relay, &RelayCall::MemoryUsage).await? {
        RelayReply::MemoryUsage(usage) => Ok(usage),
        _ => Err(wrong_reply()),
    }
}

async fn call(relay: &Stub, call: &RelayCall<'_>) -> Result<RelayReply> {
    rpc::call(relay, call).await
}

fn wrong_reply() -> Error {
    Error::RustError("the relay object replied to another call".to_owned())
}
