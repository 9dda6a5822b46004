//! Writing to the store: insertion, deletion (NIP-09), requests to vanish (NIP-62), expiry (NIP-40).

mod delete;
pub(in crate::store) mod erase;
mod expiry;
pub(in crate::store) mod fresh;
mod insert;
mod insertion;
pub(in crate::store) mod precheck;
mod vanish;

pub use self::expiry::expiry;
pub use self::insertion::Insertion;
pub use self::precheck::{Precheck, VANISH};
