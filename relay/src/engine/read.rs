//! Reads for clients: the shard half reads, the session half formats the answer.

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::client_read::{ClientRead, ReconciliationRead};
use super::shard_engine::MAX_INLINE_READ_BYTES;
use super::{Effect, Relay, RelayConfig};
use crate::store::Store;
use openagents_host::nostr::message::RelayMessage;

/// How many bytes are sent in the time that a look-up takes.
const BYTES_PER_LOOK_UP: u64 = 256;

impl ClientRead {
    /// Reads the whole answer, for a `REQ` up to and including `EOSE`. This runs several statements, which must see
    /// the same state. The returned value must be passed to the engine
    /// ([`Input::Reconciled`](super::Input::Reconciled)).
    ///
    /// # Errors
    /// When the database fails. The messages passed to `send` so far must be discarded.
    pub fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        config: &RelayConfig,
        send: &mut dyn FnMut(RelayMessage),
    ) -> Result<Option<ReconciliationRead>, SqlError> {
        let found = &mut |event| send(self.event(event));
        let reply = self.read.answer(store, &config.access, &config.limits, found)?;
        Ok(self.finish(reply, send))
    }
}

impl<S: Sql> Relay<S> {
    /// Answers a read, or leaves it to the host if it takes long.
    pub(super) fn read(&mut self, now: Timestamp, read: ClientRead, effects: &mut Vec<Effect>) {
        let (sent_before, connection) = (effects.len(), read.connection);
        let answered = if self.shard.has_reader_threads() {
            self.read_inline(&read, effects).map(|done| done.then_some(None))
        } else {
            let mut bytes: usize = 0;
            let mut send = |message: RelayMessage| {
                bytes = bytes.saturating_add(message.size());
                effects.push(Effect::Send { connection, message });
            };
            let sql = self.store().sql().clone();
            let (found, rows) =
                sql.metered(|| self.shard.read(&read.read, &mut |event| send(read.event(event))));
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.sessions.charge(now, connection, rows.saturating_add(bytes / BYTES_PER_LOOK_UP));
            let mut send = |message| effects.push(Effect::Send { connection, message });
            found.map(|reply| Some(read.finish(reply, &mut send)))
        };
        match answered {
            Ok(Some(None)) => {}
            Ok(Some(Some(reconciled))) => self.sessions.reconciled(now, &reconciled, effects),
            Ok(None) => {
                effects.truncate(sent_before);
                effects.push(Effect::Read(read));
            }
            Err(error) => {
                effects.truncate(sent_before);
                self.sessions.read_failed(&read, &error, effects);
                effects.push(Effect::Send { connection, message: read.refused(&error) });
            }
        }
    }

    /// Answers from the store if the read is short, and returns whether it was. If not, part of the answer may be
    /// among the effects.
    fn read_inline(&self, read: &ClientRead, effects: &mut Vec<Effect>) -> Result<bool, SqlError> {
        if !self.shard.may_read_inline(&read.read) {
            return Ok(false);
        }
        let (connection, subscription) = (read.connection, read.subscription.clone());
        effects.push(Effect::Answering { connection, subscription });
        let mut length: usize = 0;
        let mut send = |message: RelayMessage| {
            length = length.saturating_add(message.size());
            effects.push(Effect::Send { connection, message });
        };
        let found = self.shard.read_inline(&read.read, &mut |event| send(read.event(event)))?;
        let Some(reply) = found else { return Ok(false) };
        let _ = read.finish(reply, &mut send);
        Ok(length <= MAX_INLINE_READ_BYTES)
    }
}
