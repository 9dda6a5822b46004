//! Events of subscriptions that were received but not yet read, and how many may wait.

use std::collections::VecDeque;

use super::{RelayError, RelayLimits};
use crate::nostr::VerifiedEvent;
use crate::nostr::message::SubscriptionId;

/// The queue for [`RelayClient::next_event`](super::RelayClient::next_event).
#[derive(Debug, Default)]
pub(super) struct Backlog {
    arrivals: VecDeque<Result<(SubscriptionId, VerifiedEvent), RelayError>>,
    bytes: usize,
    overrun: bool,
}

impl Backlog {
    pub(super) fn push(
        &mut self,
        arrival: Result<(SubscriptionId, VerifiedEvent), RelayError>,
        length: usize,
        limits: &RelayLimits,
    ) {
        let bytes = self.bytes.saturating_add(length);
        if self.arrivals.len() >= limits.max_events || bytes > limits.max_bytes {
            self.overrun = true;
        } else {
            self.bytes = bytes;
            self.arrivals.push_back(arrival);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Result<(SubscriptionId, VerifiedEvent), RelayError>> {
        let arrival = self.arrivals.pop_front();
        if self.arrivals.is_empty() {
            self.bytes = 0;
        }
        arrival.or_else(|| std::mem::take(&mut self.overrun).then_some(Err(RelayError::Overrun)))
    }
}
