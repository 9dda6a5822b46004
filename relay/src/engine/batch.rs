//! Batches of messages: before the first is handled, one query determines which of their events are fresh.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp};

use super::{Input, Relay};
use crate::admission::{AdmittedMessage, Freshness};
use openagents_host::nostr::message::ClientMessage;

impl<S: Sql> Relay<S> {
    /// Records which events of these inputs are unknown to the store.
    pub(super) fn find_fresh(&self, now: Timestamp, inputs: &mut [Input]) {
        let events: Vec<&Event> = inputs.iter().filter_map(unverified).collect();
        // A single event is prechecked when it is handled, and so are all if this query fails.
        if events.len() > 1
            && let Ok((are_fresh, changes)) = self.shard.are_fresh(now, &events)
        {
            let freshness = inputs.iter_mut().filter_map(freshness);
            for (freshness, is_fresh) in freshness.zip(are_fresh) {
                *freshness = Freshness(is_fresh.then_some(changes));
            }
        }
    }
}

/// The unverified event of an input.
fn unverified(input: &Input) -> Option<&Event> {
    match input {
        Input::Message { message: AdmittedMessage::Unverified { message, .. }, .. } => match &**message {
            ClientMessage::Event(event) => Some(event),
            _ => None,
        },
        _ => None,
    }
}

/// The freshness of an input's event.
fn freshness(input: &mut Input) -> Option<&mut Freshness> {
    match input {
        Input::Message { message: AdmittedMessage::Unverified { message, freshness }, .. }
            if matches!(**message, ClientMessage::Event(_)) =>
        {
            Some(freshness)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
