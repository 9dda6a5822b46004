//! Batches of messages: one query asks the store about the events of all of them, before the first is handled.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp};

use super::{Input, Relay};
use crate::admission::{AdmittedMessage, Freshness};
use openagents_host::nostr::message::ClientMessage;

impl<S: Sql> Relay<S> {
    /// Notes which events of these inputs are unknown to the store.
    pub(super) fn find_fresh(&self, now: Timestamp, inputs: &mut [Input]) {
        let events: Vec<&Event> = inputs.iter().filter_map(unverified).collect();
        // One alone is asked about when it is its turn. So is each, if nothing can be found out now.
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

/// The event that the store is to be asked about.
fn unverified(input: &Input) -> Option<&Event> {
    match input {
        Input::Message { message: AdmittedMessage::Unverified { message, .. }, .. } => match &**message {
            ClientMessage::Event(event) => Some(event),
            _ => None,
        },
        _ => None,
    }
}

/// What is known of that event.
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
