//! The audit of the gateway: one JSON record for each request, under `audit/<unix milliseconds>.json`, in R2 or in the data
//! folder.

mod key;
mod record;
mod store;

pub(crate) use key::AuditKey;
pub(crate) use record::{AuditRecord, RefusedRequests, RequestAudit};
pub(crate) use store::{AuditError, AuditPage, AuditStore, store};
