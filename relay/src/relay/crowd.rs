//! Messages that come together: they are read before the first of them is handled, so that the store can be asked about
//! all their events at once.

use openagents_host::sql::Sql;
use openagents_host::{Engine as _, Event, Timestamp};

use super::{ConnectionId, Effect, Input, Relay};
use crate::check::{self, Checked};
use crate::message::ClientMessage;

/// An input that was read before its turn, and what is known about it.
#[derive(Debug)]
pub struct Ahead(Turn);

#[derive(Debug)]
enum Turn {
    Message { connection: ConnectionId, message: ClientMessage, foresight: Foresight },
    Input(Input),
}

/// What is known about a message before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foresight {
    /// Nothing.
    Nothing,
    /// It is within the rates of its connection, against which it was counted.
    Admitted,
    /// That, and that its event is ordinary to the store, after so many [changes](Relay::changes).
    Ordinary { changes: u64 },
}

impl<S: Sql> Relay<S> {
    /// Reads inputs that are to be [handled](Self::handle_ahead) in this order and before any other, for hosts with one
    /// thread. What comes of each is the same as without that.
    #[must_use]
    pub fn read_ahead(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Ahead> {
        let mut turns: Vec<Ahead> =
            inputs.into_iter().map(|input| Ahead(self.read_input(now, input))).collect();
        let events: Vec<&Event> = turns.iter().filter_map(Ahead::admitted).collect();
        // One alone is asked about when it is its turn. So is each, if nothing can be found out now.
        if events.len() > 1
            && let Ok(ordinary) = self.store.ordinary(now, &events)
        {
            let mut ordinary = ordinary.into_iter();
            for Ahead(turn) in &mut turns {
                if let Turn::Message { foresight: foresight @ Foresight::Admitted, .. } = turn
                    && ordinary.next() == Some(true)
                {
                    *foresight = Foresight::Ordinary { changes: self.changes };
                }
            }
        }
        turns
    }

    /// Handles what was [read ahead](Self::read_ahead).
    pub fn handle_ahead(&mut self, now: Timestamp, Ahead(turn): Ahead, effects: &mut Vec<Effect>) {
        match turn {
            Turn::Input(input) => self.handle(now, &input, effects),
            Turn::Message { connection, message, foresight } => {
                self.reconciliations.forget_unused(now);
                self.client_message(now, connection, message, foresight, effects);
            }
        }
    }

    fn read_input(&mut self, now: Timestamp, input: Input) -> Turn {
        let Input::Text { connection, text } = input else { return Turn::Input(input) };
        match check::read(&text, &self.config.limits, now) {
            Ok(message) => {
                let foresight = self.foresight(now, connection, &message);
                Turn::Message { connection, message, foresight }
            }
            Err(refusal) => Turn::Input(Input::Message { connection, message: Checked::Refused(refusal) }),
        }
    }

    /// Counts an event against the rates: only within them the store is asked about it.
    fn foresight(&mut self, now: Timestamp, connection: ConnectionId, message: &ClientMessage) -> Foresight {
        match message {
            ClientMessage::Event(event)
                if self.may_write(connection, event).is_ok()
                    && self.within_rates(now, connection, message).is_ok() =>
            {
                Foresight::Admitted
            }
            _ => Foresight::Nothing,
        }
    }
}

impl Ahead {
    /// The event that the store is to be asked about.
    const fn admitted(&self) -> Option<&Event> {
        match &self.0 {
            Turn::Message {
                message: ClientMessage::Event(event), foresight: Foresight::Admitted, ..
            } => Some(event),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
