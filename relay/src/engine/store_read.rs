//! Reads from the store for clients (`REQ`, `COUNT`, NIP-77): what to read, and how it is answered, on the engine's
//! thread or on a reader thread.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{PublicKey, Timestamp};

use super::config::RelayConfig;
use crate::admission::Access;
use crate::filter::Filter;
use crate::limits::Limits;
use crate::message::{Count, RelayMessage, SubscriptionId};
use crate::nip45::HyperLogLog;
use crate::nip77::{self, Records};
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;
use crate::store::{Coverage, Store, Viewer};

/// A read from the store for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRead {
    /// The connection that the answer goes to.
    pub connection: ConnectionId,
    /// The subscription id of the request.
    pub subscription: SubscriptionId,
    /// What to read.
    pub request: ReadRequest,
    /// The time of the request: events expired by then are left out.
    pub now: Timestamp,
    /// The keys that have authenticated on the connection (NIP-42).
    pub pubkeys: BTreeSet<PublicKey>,
}

/// What a client asks to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// The stored part of the answer to a `REQ` of these filters.
    Request(Vec<Filter>),
    /// How many events match any of these (NIP-45).
    Count(Vec<Filter>),
    /// The answer to a message about the events of a filter (NIP-77).
    Reconcile {
        /// The filter of the reconciliation.
        filter: Filter,
        /// The client's message, a Negentropy message in bytes.
        message: Vec<u8>,
    },
}

impl StoreRead {
    /// Reads the answer, all of it: for a `REQ` up to and with `EOSE`. More than one statement is run, which must all
    /// see the same state. What comes back is for the engine ([`Input::Reconciled`](super::Input::Reconciled)).
    ///
    /// # Errors
    /// When the database fails. Then what was told so far is not to be sent.
    pub fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        config: &RelayConfig,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<Option<ReconciliationRead>, SqlError> {
        self.answer_within(store, &config.access, &config.limits, tell)
    }

    /// The answer where the database failed, or took too long.
    #[must_use]
    pub fn refused(&self, error: &SqlError) -> RelayMessage {
        let subscription = self.subscription.clone();
        let reason = crate::reason::read_failed(error);
        match self.request {
            ReadRequest::Request(_) | ReadRequest::Count(_) => RelayMessage::Closed { subscription, reason },
            ReadRequest::Reconcile { .. } => RelayMessage::ReconcileRefused { subscription, reason },
        }
    }

    pub(super) fn answer_within<S: Sql>(
        &self,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<Option<ReconciliationRead>, SqlError> {
        let subscription = || self.subscription.clone();
        let viewer = Viewer { private_kinds: &access.private_kinds, pubkeys: &self.pubkeys };
        match &self.request {
            ReadRequest::Request(filters) => {
                let completeness = store.query(self.now, filters, limits, &viewer, &mut |event| {
                    tell(RelayMessage::Event { subscription: subscription(), event });
                })?;
                tell(RelayMessage::EndOfStoredEvents { subscription: subscription(), completeness });
            }
            ReadRequest::Count(filters) => {
                let count = count(store, self.now, filters, &viewer, limits.max_look_ups)?;
                tell(RelayMessage::Count { subscription: subscription(), count });
            }
            ReadRequest::Reconcile { filter, message } => {
                let records = records(store, self.now, filter, &viewer, limits)?;
                let reconciled = ReconciliationRead::of(self, filter, records, message, tell);
                return Ok(Some(reconciled));
            }
        }
        Ok(None)
    }
}

/// Counts, and takes the authors into account where NIP-45 wants that. Those of only some of the events would be taken
/// for those of all.
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

/// A step of a reconciliation whose records had to be read was answered.
#[derive(Clone, Debug)]
pub struct ReconciliationRead {
    pub(super) connection: ConnectionId,
    pub(super) subscription: SubscriptionId,
    pub(super) filter: Filter,
    /// The records, for the next step; none after a refusal.
    pub(super) records: Option<Arc<Records>>,
}

impl ReconciliationRead {
    /// Answers the step of a reading.
    fn of(
        read: &StoreRead,
        filter: &Filter,
        records: Result<Records, Reason>,
        message: &[u8],
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Self {
        let subscription = read.subscription.clone();
        let answered = records.and_then(|records| Ok((reply(&subscription, &records, message)?, records)));
        let records = match answered {
            Ok((message, records)) => {
                tell(message);
                Some(Arc::new(records))
            }
            Err(reason) => {
                tell(RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason });
                None
            }
        };
        Self { connection: read.connection, subscription, filter: filter.clone(), records }
    }
}

/// The relay's message of a reconciliation.
pub(super) fn reply(
    subscription: &SubscriptionId,
    records: &Records,
    message: &[u8],
) -> Result<RelayMessage, Reason> {
    let message = nip77::answer(records, message).map_err(|error| Reason::invalid(error.to_string()))?;
    let message = base16ct::lower::encode_string(&message);
    Ok(RelayMessage::Reconcile { subscription: subscription.clone(), message })
}

/// What a filter brings. Of a filter with a `limit` it is the newest, as in a `REQ`.
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
        let text = format!(
            "this query is too big: a reconciliation can be about {most} events here, and look at {look_ups}"
        );
        return Ok(Err(Reason::new(Prefix::Blocked, text)));
    }
    if let Some(limit) = filter.limit.and_then(|limit| usize::try_from(limit).ok()) {
        found.sort_unstable_by_key(|(created_at, id)| (Reverse(*created_at), *id));
        found.truncate(limit);
    }
    Ok(Ok(found.into_iter().collect()))
}
