//! What operators ask of the store: integrity check, export, statistics, and the rules that they set (NIP-86).

mod export;
mod integrity;
mod rules;
mod statistics;

pub use self::integrity::{Disagreement, IntegrityProgress};
pub use self::statistics::StoreStatistics;
