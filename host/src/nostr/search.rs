//! Full-text search (NIP-50): words, queries and ranking.
//!
//! Texts are split into words only here. The index, queries and live events all use these words, so the same query finds
//! stored and live events on every host.

mod query;
mod rank;
mod text;
mod words;

pub use query::Search;
pub use rank::{Match, best};
pub use text::SearchableText;
