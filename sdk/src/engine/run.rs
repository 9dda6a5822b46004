//! Runs of handlers, schedules and hooks: their leases, reports, changes and failures.

pub(super) mod changes;
pub(super) mod failures;
pub(super) mod next;
pub(super) mod reports;
pub(super) mod runs;
