//! Reads from the store, on the engine thread or on a reader thread.

use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::ShardEngine;
use super::scan::ReadScan;
use crate::admission::Access;
use crate::engine::Effect;
use crate::engine::shard_api::{ReadReply, ReadRequest, StoreRead};
use crate::limits::{Limits, MAX_ROW_BYTES};
use crate::reason::Reason;
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::Filter;

/// A read that takes more than this many thousand SQLite steps (a few tenths of a millisecond) is left to the reader
/// threads.
const MAX_INLINE_READ_KILOSTEPS: u32 = 10;

/// The same applies to an answer with more bytes than this.
pub(in crate::engine) const MAX_INLINE_READ_BYTES: usize = 128 * 1024;

/// How many look-ups a `REQ` may make if the database does not [interrupt](Sql::limited) it.
pub(in crate::engine) const MAX_REQUEST_LOOK_UPS: u64 = 20_000;

/// The look-ups of a slice where nobody waits for its end. If a scan is interrupted, what the slices before have found is
/// known.
const LONG_SLICE: u64 = 250_000;

impl StoreRead {
    /// Reads, and passes each event to `each`. This runs several statements, which must see the same state.
    pub(in crate::engine) fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<ReadReply, SqlError> {
        if let ReadRequest::Events(filters) = &self.request {
            return self.events(filters, store, access, limits, each);
        }
        let mut scan = ReadScan::new(self, access, limits);
        loop {
            if let Some(reply) = scan.advance(self, store, access, limits, LONG_SLICE)? {
                return Ok(reply);
            }
        }
    }

    /// Answers a `REQ` with these filters.
    fn events<S: Sql>(
        &self,
        filters: &[Filter],
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<ReadReply, SqlError> {
        let max_look_ups = limits.max_look_ups.min(MAX_REQUEST_LOOK_UPS);
        let limits = Limits { max_look_ups, ..limits.clone() };
        store.query(self.now, filters, &limits, &self.viewer(access), each).map(ReadReply::Events)
    }

    /// Who reads.
    pub(super) fn viewer<'a>(&'a self, access: &'a Access) -> Viewer<'a> {
        Viewer { private_kinds: &access.private_kinds, pubkeys: &self.pubkeys }
    }
}

impl<S: Sql> ShardEngine<S> {
    /// Answers a `REQ` with these filters, however long it takes.
    pub(in crate::engine) fn read_events(
        &self,
        read: &StoreRead,
        filters: &[Filter],
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<ReadReply, SqlError> {
        read.events(filters, &self.store, &self.config.access, &self.config.limits, each)
    }

    /// Begins a `COUNT` or a reconciliation that is done in slices.
    pub(in crate::engine) fn begin_scan(&self, read: &StoreRead) -> ReadScan {
        ReadScan::new(read, &self.config.access, &self.config.limits)
    }

    /// Continues it for about this many look-ups. `None` if there is more to do.
    pub(in crate::engine) fn continue_scan(
        &self,
        read: &StoreRead,
        scan: &mut ReadScan,
        slice: u64,
    ) -> Result<Option<ReadReply>, SqlError> {
        scan.advance(read, &self.store, &self.config.access, &self.config.limits, slice)
    }

    /// Whether the host has reader threads for long reads.
    pub(in crate::engine) const fn has_reader_threads(&self) -> bool {
        // Threads read what the engine does not finish within its limit.
        S::CAN_LIMIT && self.has_reader_threads
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
