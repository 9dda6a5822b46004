//! The responding side of reconciliations: those that clients have open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use negentropy::Negentropy;
use openagents_host::Timestamp;
use serde_json::value::RawValue;

use super::{MAX_MESSAGE_BYTES, ReconciliationError, Records};
use crate::limits::Limits;
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::SubscriptionId;

/// How many reconciliations a connection can have open.
const MAX_OPEN: usize = 8;

/// How long the records of an idle reconciliation stay in memory.
const RECORDS_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer to a client's message, to be sent as `NEG-MSG`. It depends only on the two arguments, so a relay needs
/// to remember only the filter of a reconciliation.
///
/// A message of another protocol version is answered with the supported version (NIP-77, "Message").
///
/// # Errors
/// When the message is malformed.
pub fn answer(records: &Records, message: &[u8]) -> Result<Vec<u8>, ReconciliationError> {
    Ok(Negentropy::borrowed(records.sorted(), MAX_MESSAGE_BYTES)?.reconcile(message)?)
}

/// The reconciliations that clients have open.
///
/// Only the filter of each must be kept. Its records stay in memory while there is room and it is in use. They can be
/// read from the store again, in which case later answers include newer events.
#[derive(Debug, Default)]
pub struct Reconciliations {
    open: BTreeMap<ConnectionId, BTreeMap<SubscriptionId, Filter>>,
    kept: BTreeMap<(ConnectionId, SubscriptionId), KeptRecords>,
}

#[derive(Debug)]
struct KeptRecords {
    records: Arc<Records>,
    used: Timestamp,
}

impl Reconciliations {
    /// Opens a reconciliation; it replaces one with the same id on the same connection (NIP-77).
    ///
    /// # Errors
    /// When the connection exceeds a limit. A reconciliation with the same id is closed in that case.
    pub fn open(
        &mut self,
        connection: ConnectionId,
        id: &SubscriptionId,
        filter: &Filter,
        limits: &Limits,
    ) -> Result<(), Reason> {
        self.close(connection, id);
        let open = self.open.entry(connection).or_default();
        if open.len() >= MAX_OPEN {
            return Err(Reason::new(
                Prefix::Blocked,
                format!("a connection can have at most {MAX_OPEN} reconciliations open"),
            ));
        }
        // Filters always serialize.
        let length = |filter: &Filter| serde_json::to_string(filter).map_or(usize::MAX, |json| json.len());
        let total = open.values().map(length).fold(length(filter), usize::saturating_add);
        if total > limits.max_filters_length {
            let limit = limits.max_filters_length;
            let text = format!("the filters of a connection can have at most {limit} bytes in total");
            return Err(Reason::new(Prefix::Blocked, text));
        }
        open.insert(id.clone(), filter.clone());
        Ok(())
    }

    /// Approximately how many bytes of memory the open reconciliations of a connection take, without the records.
    #[must_use]
    pub fn memory_bytes(&self, connection: ConnectionId) -> usize {
        let filters = self.open.get(&connection).into_iter().flat_map(BTreeMap::values);
        filters.map(Filter::memory_bytes).fold(0, usize::saturating_add)
    }

    /// The filter of an open reconciliation.
    #[must_use]
    pub fn filter(&self, connection: ConnectionId, id: &SubscriptionId) -> Option<&Filter> {
        self.open.get(&connection)?.get(id)
    }

    /// The records of an open reconciliation, if they are still in memory.
    pub fn records(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        id: &SubscriptionId,
    ) -> Option<&Records> {
        self.forget_unused(now);
        let kept = self.kept.get_mut(&(connection, id.clone()))?;
        kept.used = now;
        Some(&kept.records)
    }

    /// Keeps the records of an open reconciliation. If all records together exceed `at_most`, the least recently used
    /// ones are dropped.
    pub fn keep(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        id: &SubscriptionId,
        records: Arc<Records>,
        at_most: u64,
    ) {
        self.forget_unused(now);
        let key = (connection, id.clone());
        self.kept.insert(key.clone(), KeptRecords { records, used: now });
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        while self.kept.len() > 1
            && self.kept.values().map(|kept| kept.records.len()).sum::<usize>() > at_most
        {
            // If several were last used at the same instant, this one still counts as the newest.
            let others = self.kept.iter().filter(|(other, _)| **other != key);
            let oldest = others.min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.kept.remove(&oldest);
        }
    }

    /// Drops records that were not used for a while.
    pub fn forget_unused(&mut self, now: Timestamp) {
        self.kept.retain(|_, kept| kept.used + RECORDS_IDLE_TIMEOUT > now);
    }

    /// Closes a reconciliation; returns whether it was open.
    pub fn close(&mut self, connection: ConnectionId, id: &SubscriptionId) -> bool {
        self.kept.remove(&(connection, id.clone()));
        self.open.get_mut(&connection).is_some_and(|open| open.remove(id).is_some())
    }

    /// Closes all reconciliations of a connection.
    pub fn close_all(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
        self.kept.retain(|(of, _), _| *of != connection);
    }

    /// The open reconciliations of a connection as compact JSON for [`restore`](Self::restore), if there are any.
    #[must_use]
    pub fn saved(&self, connection: ConnectionId) -> Option<Box<RawValue>> {
        let open = self.open.get(&connection).filter(|open| !open.is_empty())?;
        let mut json = String::from("{");
        for (id, filter) in open {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(id.as_json());
            json.push(':');
            // Filters always serialize.
            json.push_str(&serde_json::to_string(filter).unwrap_or_default());
        }
        json.push('}');
        RawValue::from_string(json).ok()
    }

    /// Restores [`saved`](Self::saved) reconciliations. One that cannot be parsed by this release is closed, and the
    /// client learns that from the answer to its next message.
    pub fn restore(&mut self, connection: ConnectionId, saved: &RawValue, limits: &Limits) {
        let saved: BTreeMap<String, &RawValue> = serde_json::from_str(saved.get()).unwrap_or_default();
        for (id, filter) in saved {
            if let (Ok(id), Ok(filter)) = (SubscriptionId::new(&id), Filter::from_json(filter.get())) {
                let _ = self.open(connection, &id, &filter, limits);
            }
        }
    }
}
