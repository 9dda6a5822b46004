//! The relay's limits. All enforced limits are published (NIP-11, `limitation`).

use openagents_host::{Event, Timestamp};
use serde::Serialize;

use crate::nip13;
use crate::reason::Reason;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep};

/// The limits of a relay. They serialize as NIP-11's `limitation`; the fields after `default_limit` are not part of
/// NIP-11 and are published in addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The maximum length of a message, in bytes.
    pub max_message_length: usize,
    /// The maximum number of subscriptions per connection.
    pub max_subscriptions: usize,
    /// The maximum number of stored events per filter; a higher `limit` is reduced to this one.
    pub max_limit: u64,
    /// The maximum number of tags of an event.
    pub max_event_tags: usize,
    /// The maximum length of the content, in characters.
    pub max_content_length: usize,
    /// How many leading zero bits an event's id must have, and must have been mined for (NIP-13).
    pub min_pow_difficulty: u8,
    /// How old an event may be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at_lower_limit: Option<u64>,
    /// How far `created_at` may be ahead of the relay's clock, in seconds.
    pub created_at_upper_limit: u64,
    /// How many stored events a filter without a `limit` returns.
    pub default_limit: u64,
    /// The maximum number of filters per subscription.
    pub max_filters: usize,
    /// The maximum number of values in the lists of a filter.
    pub max_filter_values: usize,
    /// The maximum number of values in the filters of all subscriptions of a connection.
    pub max_connection_values: usize,
    /// The maximum size of the filters of all subscriptions of a connection, in bytes of JSON.
    pub max_filters_length: usize,
    /// The maximum number of filters with a `search` in all subscriptions of a connection; each may have to be
    /// evaluated for every event.
    pub max_search_filters: usize,
    /// The maximum size of the stored events that one `REQ` returns, in bytes. If events are left out, they are the
    /// oldest.
    pub max_answer_length: usize,
    /// The maximum number of events in a reconciliation (NIP-77).
    pub max_reconciled_events: u64,
    /// The maximum number of look-ups in the store for a `COUNT` or a reconciliation, even if it finds nothing: one
    /// for each row of the condition that finds the fewest rows, plus one per such row for each value of the other
    /// tags. In a Durable Object, which cannot interrupt a long query, the filters of a `REQ` are limited as well, to 20,000
    /// look-ups in equal shares.
    pub max_look_ups: u64,
}

/// The longest event that a bulk insert stores, in bytes of JSON: a row can have [`MAX_ROW_BYTES`].
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const MAX_EVENT_BYTES: usize = 1_500_000;

/// The longest row that a Durable Object can store, in bytes.
pub(crate) const MAX_ROW_BYTES: usize = 2_000_000;

/// The maximum number of stored events per filter in a query from inside the process.
pub const MAX_INTERNAL_LIMIT: u64 = 5_000;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_length: 256 * 1024,
            max_subscriptions: 64,
            max_limit: 1_000,
            max_event_tags: 2_500,
            max_content_length: 128 * 1024,
            min_pow_difficulty: 0,
            created_at_lower_limit: None,
            created_at_upper_limit: 900,
            default_limit: 500,
            max_filters: 16,
            max_filter_values: 5_000,
            max_connection_values: 20_000,
            max_filters_length: 512 * 1024,
            max_search_filters: 16,
            max_answer_length: 4 * 1024 * 1024,
            max_reconciled_events: 500_000,
            max_look_ups: 500_000,
        }
    }
}

impl Limits {
    /// Checks a message against the limits that need no other state.
    ///
    /// # Errors
    /// Which limit is exceeded.
    pub(crate) fn admit(&self, message: &ClientMessage, now: Timestamp) -> Result<(), Reason> {
        match message {
            ClientMessage::Event(event) => self.admit_event(event, now),
            ClientMessage::Request { filters, .. } | ClientMessage::Count { filters, .. } => {
                self.admit_filters(filters)
            }
            ClientMessage::Reconcile { step: ReconcileStep::Open { filter, .. }, .. } => {
                self.admit_filters(std::slice::from_ref(filter))
            }
            _ => Ok(()),
        }
    }

    fn admit_filters(&self, filters: &[Filter]) -> Result<(), Reason> {
        if filters.len() > self.max_filters {
            return Err(Reason::invalid(format!(
                "at most {} filters are accepted at once",
                self.max_filters
            )));
        }
        if filters.iter().any(|filter| filter.value_count() > self.max_filter_values) {
            let limit = self.max_filter_values;
            return Err(Reason::invalid(format!("a filter can have at most {limit} values in its lists")));
        }
        Ok(())
    }

    /// Checks an event against the limits.
    ///
    /// # Errors
    /// Which limit is exceeded.
    pub fn admit_event(&self, event: &Event, now: Timestamp) -> Result<(), Reason> {
        let now = now.as_seconds();
        if event.created_at > now.saturating_add(self.created_at_upper_limit) {
            let limit = self.created_at_upper_limit;
            return Err(Reason::invalid(format!("created_at is more than {limit} seconds in the future")));
        }
        if let Some(limit) = self.created_at_lower_limit
            && event.created_at < now.saturating_sub(limit)
        {
            return Err(Reason::invalid(format!("created_at is more than {limit} seconds in the past")));
        }
        if event.tags.len() > self.max_event_tags {
            return Err(Reason::invalid(format!("an event can have at most {} tags", self.max_event_tags)));
        }
        // There are at most as many characters as bytes, so only a long content must be counted.
        if event.content.len() > self.max_content_length
            && event.content.chars().count() > self.max_content_length
        {
            let limit = self.max_content_length;
            return Err(Reason::invalid(format!("content can have at most {limit} characters")));
        }
        nip13::admit(event, self.min_pow_difficulty)
    }

    /// The limits for a query from inside the process: more stored events per filter, even without a `limit`. All
    /// other limits are those for clients, above all the size of an answer, which has to fit into memory.
    #[must_use]
    pub fn for_internal_queries(&self) -> Self {
        let max_limit = self.max_limit.max(MAX_INTERNAL_LIMIT);
        Self { max_limit, default_limit: max_limit, max_look_ups: u64::MAX, ..self.clone() }
    }

    /// The maximum number of stored events that this filter returns.
    #[must_use]
    pub fn stored_events(&self, filter: &Filter) -> u64 {
        filter.limit.unwrap_or(self.default_limit).min(self.max_limit)
    }
}
