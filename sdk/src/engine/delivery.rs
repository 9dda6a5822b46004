//! Events on their way to relays: results and feedback, announcements, the outbox and its pauses.

pub(super) mod announcements;
pub(super) mod answers;
pub(super) mod backoff;
pub(super) mod outbox;
