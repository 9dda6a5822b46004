//! What reads from the store: `REQ`, `COUNT` and full-text search (NIP-50).

pub(in crate::store) mod driver;
pub(in crate::store) mod plan;
pub(in crate::store) mod query;
pub(in crate::store) mod scan;
pub(in crate::store) mod scan_budget;
pub(in crate::store) mod search;
pub(in crate::store) mod select;
pub(in crate::store) mod small_result;

pub use self::scan::{Coverage, Scan};
