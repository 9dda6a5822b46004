//! Batches of messages: before the first is handled, one query determines which of their events are fresh, the signatures of
//! these are verified together, and those for the agent are recorded in one row.

use openagents_host::nostr::schnorr::MIN_BATCH;
use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp};

use super::{Input, Relay};
use crate::admission::{AdmittedMessage, Freshness};
use crate::session::ConnectionId;
use openagents_host::nostr::message::RelayMessage;

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

    /// Verifies the fresh events of these inputs together, except those that their connections may not publish, and
    /// those of senders of forged signatures.
    pub(super) fn verify_fresh(&mut self, inputs: &mut [Input]) {
        let sessions = &mut self.sessions;
        let mut candidates: Vec<(ConnectionId, &mut AdmittedMessage)> = inputs
            .iter_mut()
            .filter_map(|input| match input {
                Input::Message { connection, message } => Some((*connection, message)),
                _ => None,
            })
            .filter(|(connection, message)| match message {
                AdmittedMessage::Unverified { freshness: Freshness(Some(_)), .. } => message
                    .unverified_event()
                    .is_some_and(|event| sessions.may_verify_together(*connection, event)),
                _ => false,
            })
            .collect();
        if candidates.len() < MIN_BATCH {
            return;
        }
        AdmittedMessage::prepare_together(candidates.iter_mut().map(|(_, message)| &mut **message).collect());
        for (connection, message) in candidates {
            if matches!(message, AdmittedMessage::Refused(RelayMessage::Ok { .. })) {
                self.sessions.record_forgery(connection);
            }
        }
    }

    /// Records the handover of the events that were verified together.
    pub(super) fn begin_handovers(&mut self, now: Timestamp, inputs: &[Input]) {
        let verified = inputs.iter().filter_map(|input| match input {
            Input::Message { message: AdmittedMessage::Prepared { event, .. }, .. } => Some(&**event),
            _ => None,
        });
        self.shard.begin_handovers(now, verified);
    }
}

/// The unverified event of an input.
fn unverified(input: &Input) -> Option<&Event> {
    match input {
        Input::Message { message, .. } => message.unverified_event(),
        _ => None,
    }
}

/// The freshness of an input's event.
fn freshness(input: &mut Input) -> Option<&mut Freshness> {
    match input {
        Input::Message { message, .. } if message.unverified_event().is_some() => match message {
            AdmittedMessage::Unverified { freshness, .. } => Some(freshness),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
