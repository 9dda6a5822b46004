//! Operator functions of the store: integrity check, export, statistics, and the rules set by operators (NIP-86).

mod export;
mod integrity;
mod rules;
mod statistics;

pub use self::integrity::{Inconsistency, IntegrityProgress};
pub use self::statistics::StoreStatistics;
