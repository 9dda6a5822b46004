//! The relay's limits. Every limit that is enforced is published (NIP-11, `limitation`).

use openagents_host::{Event, Timestamp};
use serde::Serialize;

use crate::nip13;
use crate::reason::Reason;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::ClientMessage;

/// The limits of a relay. They serialise as NIP-11's `limitation`; the fields below `default_limit` are not in
/// NIP-11 and stand there as extra ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The longest message, in bytes of UTF-8.
    pub max_message_length: usize,
    /// How many subscriptions one connection can have at a time.
    pub max_subscriptions: usize,
    /// The most stored events that one filter brings; a higher `limit` is taken for this one.
    pub max_limit: u64,
    /// The most tags that an event can have.
    pub max_event_tags: usize,
    /// The longest content, in characters.
    pub max_content_length: usize,
    /// How many leading zero bits the id of an event must have, and be meant to have (NIP-13).
    pub min_pow_difficulty: u8,
    /// How many seconds an event may be old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at_lower_limit: Option<u64>,
    /// How many seconds the clock of an event may be ahead of the relay's.
    pub created_at_upper_limit: u64,
    /// How many stored events a filter without a `limit` brings.
    pub default_limit: u64,
    /// How many filters a subscription can have.
    pub max_filters: usize,
    /// How long the filters of all subscriptions of a connection can be together, in bytes of JSON.
    pub max_filters_length: usize,
    /// How many filters of all subscriptions of a connection can have a `search`: each is looked at for every event.
    pub max_search_filters: usize,
    /// How many bytes of stored events one `REQ` brings. What is left out is the oldest.
    pub max_answer_length: usize,
    /// How many events a reconciliation can be about (NIP-77).
    pub max_reconciled_events: u64,
    /// How much a `COUNT` or a reconciliation may look up in the store, whatever it finds: one for each row of the
    /// condition that finds the fewest, and for each of these one more for each value of the other tags. In a Durable
    /// Object, which cannot end what takes long, a filter of a `REQ` may look up as much.
    pub max_look_ups: u64,
}

/// The longest event that is stored by a bulk insert, in bytes of JSON: a row has [`MAX_ROW_BYTES`].
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const MAX_EVENT_BYTES: usize = 1_500_000;

/// The longest row of a database, in bytes: what a Durable Object stores.
pub(crate) const MAX_ROW_BYTES: usize = 2_000_000;

/// How many stored events a filter brings at most in a query from inside the process.
pub const MAX_LIMIT_INSIDE: u64 = 5_000;

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
            max_filters_length: 256 * 1024,
            max_search_filters: 16,
            max_answer_length: 4 * 1024 * 1024,
            max_reconciled_events: 500_000,
            max_look_ups: 500_000,
        }
    }
}

impl Limits {
    /// Whether a message keeps to the limits, as far as that can be told from the message alone.
    ///
    /// # Errors
    /// Says which limit it does not keep.
    pub(crate) fn admit(&self, message: &ClientMessage, now: Timestamp) -> Result<(), Reason> {
        match message {
            ClientMessage::Event(event) => self.admit_event(event, now),
            ClientMessage::Request { filters, .. } | ClientMessage::Count { filters, .. }
                if filters.len() > self.max_filters =>
            {
                Err(Reason::invalid(format!(
                    "at most {} filters can be asked for at once here",
                    self.max_filters
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether an event keeps to the limits.
    ///
    /// # Errors
    /// Says which limit it does not keep.
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
            return Err(Reason::invalid(format!(
                "an event can have at most {} tags here",
                self.max_event_tags
            )));
        }
        // A text has at most as many characters as bytes: only a long one has to be counted.
        if event.content.len() > self.max_content_length
            && event.content.chars().count() > self.max_content_length
        {
            let limit = self.max_content_length;
            return Err(Reason::invalid(format!("content can have at most {limit} characters here")));
        }
        nip13::admit(event, self.min_pow_difficulty)
    }

    /// The limits for a query from inside. There are more stored events for a filter, as many also if it has no
    /// `limit`; all else, and above all the length of an answer, is as for strangers: it has to fit into memory.
    #[must_use]
    pub fn for_those_inside(&self) -> Self {
        let max_limit = self.max_limit.max(MAX_LIMIT_INSIDE);
        Self { max_limit, default_limit: max_limit, max_look_ups: u64::MAX, ..self.clone() }
    }

    /// How many stored events this filter brings at most.
    #[must_use]
    pub fn stored_events(&self, filter: &Filter) -> u64 {
        filter.limit.unwrap_or(self.default_limit).min(self.max_limit)
    }
}
