//! Delivery of events to relays: results, feedback and announcements, the outbox and its retry pauses.

pub(super) mod announcements;
pub(super) mod answers;
pub(super) mod backoff;
pub(super) mod outbox;
