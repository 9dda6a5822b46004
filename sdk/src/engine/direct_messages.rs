//! Direct messages (NIP-17): opens those to the agent, and sends replies.

use openagents_host::{Kind, PublicKey, Rumor, Sql, SqlError, Timestamp, UnsignedEvent, VerifiedEvent};

use super::vocabulary::{Changes, Destination, RunOutcome};
use super::{Effect, JobEngine};

impl<S: Sql> JobEngine<S> {
    /// The direct message in a gift wrap. `None` if it cannot be read, is of the agent itself, or is not for the agent
    /// alone: a reply to one of several receivers would begin another conversation.
    pub(super) fn direct_message(&self, wrap: &VerifiedEvent) -> Option<Rumor> {
        let message = Rumor::unwrap(wrap, &self.keys).ok()?;
        let (me, author) = (self.keys.public_key().to_hex(), message.pubkey.to_hex());
        let receivers = message.tags.iter().filter(|tag| tag.first().is_some_and(|name| name == "p"));
        let mut others = receivers
            .filter_map(|tag| tag.get(1))
            .filter(|receiver| **receiver != me && **receiver != author);
        let is_for_me = message.kind == Kind::DIRECT_MESSAGE && author != me && others.next().is_none();
        is_for_me.then_some(message)
    }

    /// Sends the reply to a direct message, if there is one.
    pub(super) fn send_reply(
        &mut self,
        now: Timestamp,
        number: u64,
        outcome: &RunOutcome,
        changes: &Changes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let (RunOutcome::Done(_), Some(text)) = (outcome, &changes.reply) else { return Ok(()) };
        let Some((message, author)) = self.received_events.origin(number)? else { return Ok(()) };
        let reply = UnsignedEvent::new(Kind::DIRECT_MESSAGE, text.as_str())
            .tag(["p", &author.to_hex()])
            .tag(["e", &message.to_hex()]);
        self.send_direct_message(now, reply, &author, effects)
    }

    fn send_direct_message(
        &mut self,
        now: Timestamp,
        message: UnsignedEvent,
        receiver: &PublicKey,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let message = Rumor::new(message, self.keys.public_key(), now);
        match message.wrap(&self.keys, receiver, now) {
            Ok(wrap) => self.outbox.put(&wrap, &Destination::Inbox { receiver: *receiver }, now),
            Err(error) => {
                effects.push(Effect::Warn(format!("a direct message cannot be sent: {error}")));
                Ok(())
            }
        }
    }
}
