//! Batches of messages: all are parsed before the first is handled, so that one query asks the store about all their
//! events.

use openagents_host::sql::Sql;
use openagents_host::{Engine as _, Event, Timestamp};

use super::{ConnectionId, Effect, Input, Relay};
use crate::message::ClientMessage;
use crate::validate::{self, Checked};

/// An input that was parsed ahead of its turn.
#[derive(Debug)]
pub struct Prepared(PreparedInput);

#[derive(Debug)]
enum PreparedInput {
    Message { connection: ConnectionId, message: ClientMessage, prescreened: Prescreened },
    Input(Input),
}

/// What is known about a message ahead of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prescreened {
    /// Nothing.
    Nothing,
    /// It is within the rates of its connection, against which it was counted.
    Admitted,
    /// That, and its event is unknown to the store, after so many changes.
    Fresh { changes: u64 },
}

impl<S: Sql> Relay<S> {
    /// Parses inputs that are to be [handled](Self::handle_prepared) in this order and before any other, for hosts with
    /// one thread. What comes of each is the same as without that.
    #[must_use]
    pub fn prepare(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Prepared> {
        let mut prepared_inputs: Vec<Prepared> =
            inputs.into_iter().map(|input| Prepared(self.prepare_input(now, input))).collect();
        let events: Vec<&Event> = prepared_inputs.iter().filter_map(Prepared::admitted).collect();
        // One alone is asked about when it is its turn. So is each, if nothing can be found out now.
        if events.len() > 1
            && let Ok((are_fresh, changes)) = self.shard.are_fresh(now, &events)
        {
            let mut are_fresh = are_fresh.into_iter();
            for Prepared(prepared) in &mut prepared_inputs {
                if let PreparedInput::Message { prescreened: prescreened @ Prescreened::Admitted, .. } =
                    prepared
                    && are_fresh.next() == Some(true)
                {
                    *prescreened = Prescreened::Fresh { changes };
                }
            }
        }
        prepared_inputs
    }

    /// Handles what was [prepared](Self::prepare).
    pub fn handle_prepared(
        &mut self,
        now: Timestamp,
        Prepared(prepared): Prepared,
        effects: &mut Vec<Effect>,
    ) {
        match prepared {
            PreparedInput::Input(input) => self.handle(now, &input, effects),
            PreparedInput::Message { connection, message, prescreened } => {
                self.sessions.forget_unused(now);
                self.client_message(now, connection, message, prescreened, effects);
            }
        }
    }

    fn prepare_input(&mut self, now: Timestamp, input: Input) -> PreparedInput {
        let Input::Text { connection, text } = input else { return PreparedInput::Input(input) };
        match validate::read(&text, self.limits(), now) {
            Ok(message) => {
                let prescreened = self.prescreened(now, connection, &message);
                PreparedInput::Message { connection, message, prescreened }
            }
            Err(refusal) => {
                PreparedInput::Input(Input::Message { connection, message: Checked::Refused(refusal) })
            }
        }
    }

    /// Counts an event against the rates: only within them the store is asked about it.
    fn prescreened(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &ClientMessage,
    ) -> Prescreened {
        match message {
            ClientMessage::Event(event)
                if self.sessions.authorize_write(connection, event).is_ok()
                    && self.sessions.within_rates(now, connection, message).is_ok() =>
            {
                Prescreened::Admitted
            }
            _ => Prescreened::Nothing,
        }
    }
}

impl Prepared {
    /// The event that the store is to be asked about.
    const fn admitted(&self) -> Option<&Event> {
        match &self.0 {
            PreparedInput::Message {
                message: ClientMessage::Event(event),
                prescreened: Prescreened::Admitted,
                ..
            } => Some(event),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
