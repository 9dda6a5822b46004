//! Full-text search (NIP-50): words, queries and ranking.
//!
//! Texts are split into words only here. The index, queries and live events use the same words, so a query finds
//! stored and live events alike on every host.

mod query;
mod rank;
mod text;
mod words;

pub use query::Search;
pub use rank::{Match, best};
pub use text::SearchableText;
