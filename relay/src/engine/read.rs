//! Reads for clients: the shard half reads, the session half formats the answer.

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::client_read::{ClientRead, ReconciliationRead};
use super::shard_api::{ReadReply, ReadRequest};
use super::shard_engine::{MAX_INLINE_READ_BYTES, MAX_REQUEST_LOOK_UPS, ReadScan};
use super::{Effect, Relay, RelayConfig};
use crate::session::ConnectionId;
use crate::store::Store;
use openagents_host::nostr::filter::Filter;
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

/// With how many tag values each row that a filter finds may be compared.
fn compared_values(filter: &Filter) -> u64 {
    let values = || filter.tags.values().map(|values| values.len());
    let others = values().sum::<usize>().saturating_sub(values().min().unwrap_or(0));
    u64::try_from(others).unwrap_or(u64::MAX)
}

/// A `COUNT` or a reconciliation of which a part is done.
#[derive(Debug)]
pub(super) struct UnfinishedRead {
    read: ClientRead,
    scan: ReadScan,
}

impl UnfinishedRead {
    pub(super) const fn connection(&self) -> ConnectionId {
        self.read.connection
    }

    /// Approximately how many bytes of memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.read.memory_bytes().saturating_add(self.scan.memory_bytes())
    }
}

impl<S: Sql> Relay<S> {
    /// Answers a read, or leaves it to the host if it takes long.
    pub(super) fn read(&mut self, now: Timestamp, read: ClientRead, effects: &mut Vec<Effect>) {
        let (sent_before, connection) = (effects.len(), read.connection);
        if self.shard.has_reader_threads() {
            match self.read_inline(&read, effects) {
                Ok(true) => {}
                Ok(false) => {
                    effects.truncate(sent_before);
                    effects.push(Effect::Read(read));
                }
                Err(error) => self.failed(&read, &error, sent_before, effects),
            }
        } else if let ReadRequest::Events(filters) = &read.read.request {
            let values = filters.iter().map(compared_values).max().unwrap_or(0);
            let mut bytes: usize = 0;
            let mut send = |message: RelayMessage| {
                bytes = bytes.saturating_add(message.size());
                effects.push(Effect::Send { connection, message });
            };
            let sql = self.store().sql().clone();
            let found = &mut |event| send(read.event(event));
            let (found, rows) = sql.metered(|| self.shard.read_events(&read.read, filters, found));
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            // Rows that do not exist take as long to look up.
            let compared = rows.saturating_mul(values).min(MAX_REQUEST_LOOK_UPS);
            let look_ups = rows.saturating_add(compared).saturating_add(bytes / BYTES_PER_LOOK_UP);
            self.sessions.charge(now, connection, look_ups);
            self.finish(now, &read, found, sent_before, effects);
        } else {
            let scan = self.shard.begin_scan(&read.read);
            self.scan(now, UnfinishedRead { read, scan }, effects);
        }
    }

    /// Continues what is unfinished of a connection.
    pub(super) fn continue_read(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        effects: &mut Vec<Effect>,
    ) {
        let is_its = |unfinished: &UnfinishedRead| unfinished.connection() == connection;
        if let Some(place) = self.unfinished.iter().position(is_its) {
            let unfinished = self.unfinished.swap_remove(place);
            self.scan(now, unfinished, effects);
        }
    }

    /// Does a slice of a scan.
    fn scan(&mut self, now: Timestamp, mut unfinished: UnfinishedRead, effects: &mut Vec<Effect>) {
        let UnfinishedRead { read, scan } = &mut unfinished;
        let (sent_before, connection) = (effects.len(), read.connection);
        let sql = self.store().sql().clone();
        let (slice, left) = (self.sessions.turn.slice, scan.left());
        let (done, rows) = sql.metered(|| self.shard.continue_scan(&read.read, scan, slice));
        let look_ups = left.saturating_sub(unfinished.scan.left());
        self.sessions.charge(now, connection, rows.max(look_ups));
        match done.transpose() {
            Some(reply) => self.finish(now, &unfinished.read, reply, sent_before, effects),
            None => {
                let bytes = unfinished.memory_bytes();
                self.unfinished.push(unfinished);
                effects.push(Effect::MemoryChanged { connection, bytes });
                effects.push(Effect::Continue(connection));
            }
        }
    }

    /// Sends the messages that end an answer, or refuses what could not be read.
    fn finish(
        &mut self,
        now: Timestamp,
        read: &ClientRead,
        reply: Result<ReadReply, SqlError>,
        sent_before: usize,
        effects: &mut Vec<Effect>,
    ) {
        let connection = read.connection;
        match reply {
            Ok(reply) => {
                let mut send = |message| effects.push(Effect::Send { connection, message });
                if let Some(reconciled) = read.finish(reply, &mut send) {
                    self.sessions.reconciled(now, &reconciled, effects);
                }
            }
            Err(error) => self.failed(read, &error, sent_before, effects),
        }
    }

    fn failed(&mut self, read: &ClientRead, error: &SqlError, sent_before: usize, effects: &mut Vec<Effect>) {
        effects.truncate(sent_before);
        self.sessions.read_failed(read, error, effects);
        effects.push(Effect::Send { connection: read.connection, message: read.refused(error) });
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
