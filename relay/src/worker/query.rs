//! The way of stored events out of the relay object, to an agent.

use std::rc::Rc;
use std::sync::Arc;

use ::worker::{Response, Result, Stub};
use openagents_host::Event;

use super::publish::post;
use super::{HandOver, Object};
use crate::filter::Filter;
use crate::reason::Prefix;
use crate::relay::{Input, Ticket};

/// Where the relay object answers queries from inside. The Worker's own routes must never lead here: the limits for
/// strangers do not apply.
pub const QUERY_PATH: &str = "/internal/query";

/// The stored events that match any of the filters, as a `REQ` would bring them: newest first, each once. What was
/// published before is among them.
///
/// A filter brings its `limit`, and at most [`MAX_LIMIT_INSIDE`](crate::limits::MAX_LIMIT_INSIDE). All together
/// have at most [`max_answer_length`](crate::Limits::max_answer_length) bytes; what is left out is the oldest, and
/// can be asked for with `until`.
///
/// # Errors
/// When there are more than [`max_filters`](crate::Limits::max_filters), or the object could not be reached or failed.
pub async fn query(relay: &Stub, filters: &[Filter]) -> Result<Vec<Event>> {
    let mut response = post(relay, QUERY_PATH, &serde_json::to_string(filters)?).await?;
    // Bytes and not a text, which JavaScript would keep at two bytes for each of them.
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

impl<H: HandOver> Object<H> {
    /// Answers a list of filters with the list of the events.
    pub(super) async fn queried(self: &Rc<Self>, filters: &str) -> Result<Response> {
        let filters = match serde_json::from_str(filters) {
            Ok(filters) => filters,
            Err(error) => return Response::error(format!("this is no list of filters: {error}\n"), 400),
        };
        let mut pending = self.handle(Input::Query { ticket: Ticket(0), filters })?;
        let found = pending.found.take();
        // A query brings nothing to do, but it may have woken the object: then the alarm is to be set.
        self.go_on(pending).await?;
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
}

/// Events as a JSON list of them.
fn list(events: &[Arc<str>]) -> Vec<u8> {
    format!("[{}]", events.join(",")).into_bytes()
}
