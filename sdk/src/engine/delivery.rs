//! Delivery of events to relays: results, feedback and announcements, the outbox and its retry pauses.

pub(super) mod announcements;
pub(super) mod answers;
pub(super) mod backoff;
mod in_flight;
pub(super) mod outbox;
