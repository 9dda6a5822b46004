//! Reads from the store, on the engine thread or on a reader thread.

use std::cmp::Reverse;
use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::ShardEngine;
use crate::admission::Access;
use crate::engine::Effect;
use crate::engine::shard_api::{ReadReply, ReadRequest, StoreRead};
use crate::limits::{Limits, MAX_ROW_BYTES};
use crate::nip45::HyperLogLog;
use crate::nip77::Records;
use crate::reason::{Prefix, Reason};
use crate::store::{Coverage, Store, Viewer};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Count;

/// A read that takes more than this many thousand SQLite steps (a few tenths of a millisecond) is left to the reader
/// threads.
const MAX_INLINE_READ_KILOSTEPS: u32 = 10;

/// The same applies to an answer with more bytes than this.
pub(in crate::engine) const MAX_INLINE_READ_BYTES: usize = 128 * 1024;

impl StoreRead {
    /// Reads, and passes each event to `each`. This runs several statements, which must see the same state.
    pub(in crate::engine) fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<ReadReply, SqlError> {
        let viewer = Viewer { private_kinds: &access.private_kinds, pubkeys: &self.pubkeys };
        match &self.request {
            ReadRequest::Events(filters) => {
                store.query(self.now, filters, limits, &viewer, each).map(ReadReply::Events)
            }
            ReadRequest::Count(filters) => {
                count(store, self.now, filters, &viewer, limits.max_look_ups).map(ReadReply::Count)
            }
            ReadRequest::Records(filter) => {
                records(store, self.now, filter, &viewer, limits).map(ReadReply::Records)
            }
        }
    }
}

impl<S: Sql> ShardEngine<S> {
    /// Reads, however long it takes.
    pub(in crate::engine) fn read(
        &self,
        read: &StoreRead,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<ReadReply, SqlError> {
        read.answer(&self.store, &self.config.access, &self.config.limits, each)
    }

    /// Whether the host has reader threads for long reads.
    pub(in crate::engine) const fn has_reader_threads(&self) -> bool {
        self.has_reader_threads
    }

    /// Whether to try a read on the engine thread although there are reader threads.
    pub(in crate::engine) fn may_read_inline(&self, read: &StoreRead) -> bool {
        // Most of a search happens outside of the counted SQLite steps, and other reads are less frequent.
        let is_simple = matches!(&read.request, ReadRequest::Events(filters) if filters.iter().all(|filter| filter.search.is_none()));
        is_simple && !self.under_load
    }

    /// Reads, unless that takes long. In that case, some events may have been passed to `each`.
    pub(in crate::engine) fn read_inline(
        &self,
        read: &StoreRead,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<Option<ReadReply>, SqlError> {
        let limits = &self.config.limits;
        let limits = Limits {
            // The limit leaves room for one more event, so an answer that is cut off here is longer than allowed
            // inline, whatever the next event would have been.
            max_answer_length: limits
                .max_answer_length
                .min(MAX_INLINE_READ_BYTES.saturating_add(MAX_ROW_BYTES)),
            ..limits.clone()
        };
        let reply = self.store.sql().limited(MAX_INLINE_READ_KILOSTEPS, || {
            read.answer(&self.store, &self.config.access, &limits, each)
        });
        match reply {
            Err(SqlError::Interrupted) => Ok(None),
            reply => reply.map(Some),
        }
    }

    /// The stored events that a `REQ` with these filters would return, with the limits for queries from inside the
    /// process.
    pub(in crate::engine) fn query(
        &mut self,
        now: Timestamp,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<Arc<str>>, Reason> {
        let limits = self.config.limits.for_internal_queries();
        if filters.len() > limits.max_filters {
            return Err(Reason::invalid(format!("a query can have at most {} filters", limits.max_filters)));
        }
        self.prepare_search(now, filters, effects);
        let mut events = Vec::new();
        match self.store.query(now, filters, &limits, &Viewer::everything(), &mut |event| events.push(event))
        {
            Ok(_) => Ok(events),
            Err(error) => {
                effects.push(Effect::Failed(error));
                Err(crate::reason::storage_failed())
            }
        }
    }
}

/// Counts events, and computes the HyperLogLog registers where NIP-45 defines them. If not all events could be read,
/// there are no registers, because a client would take them for complete.
fn count<S: Sql>(
    store: &Store<S>,
    now: Timestamp,
    filters: &[Filter],
    viewer: &Viewer<'_>,
    look_ups: u64,
) -> Result<Count, SqlError> {
    if let [filter] = filters
        && let Some(mut registers) = HyperLogLog::of(filter)
    {
        let mut count: u64 = 0;
        let coverage = store.each_match(now, filter, viewer, look_ups, look_ups, &mut |_, author, _| {
            count = count.saturating_add(1);
            registers.add(author);
        })?;
        if coverage == Coverage::All {
            let registers = Some(registers.into_registers());
            return Ok(Count { count, is_approximate: false, registers });
        }
    }
    let counted = store.count(now, filters, viewer, look_ups)?;
    Ok(Count { count: counted.count, is_approximate: counted.approximate, registers: None })
}

/// The records of a filter. If it has a `limit`, those of the newest events, as in a `REQ`.
fn records<S: Sql>(
    store: &Store<S>,
    now: Timestamp,
    filter: &Filter,
    viewer: &Viewer<'_>,
    limits: &Limits,
) -> Result<Result<Records, Reason>, SqlError> {
    let (most, look_ups) = (limits.max_reconciled_events, limits.max_look_ups);
    let mut found = Vec::new();
    let coverage = store.each_match(now, filter, viewer, most, look_ups, &mut |id, _, created_at| {
        found.push((created_at, *id));
    })?;
    if coverage == Coverage::Part {
        // In the words of NIP-77's example and of its description: clients look for one or the other.
        let text = format!(
            "this query is too big, with too many records: at most {most} events and {look_ups} look-ups"
        );
        return Ok(Err(Reason::new(Prefix::Blocked, text)));
    }
    if let Some(limit) = filter.limit.and_then(|limit| usize::try_from(limit).ok()) {
        found.sort_unstable_by_key(|(created_at, id)| (Reverse(*created_at), *id));
        found.truncate(limit);
    }
    Ok(Ok(found.into_iter().collect()))
}
