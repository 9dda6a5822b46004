//! Full-text search (NIP-50): words, queries and ranking.
//!
//! Texts are cut into words here and nowhere else: what the index holds, what a query asks for, and what a live event is
//! held against are words of the same making, so that stored and live events are found by the same queries on every host.

mod query;
mod rank;
mod text;
mod words;

pub use query::Search;
pub use rank::{Match, best};
pub use text::SearchableText;
#[doc(hidden)]
pub use text::SearchableText as Text;
