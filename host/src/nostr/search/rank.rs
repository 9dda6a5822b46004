//! Ranking of search results (BM25).

use std::cmp::Reverse;

use crate::nostr::bytes::EventId;

use super::query::Search;
use super::text::SearchableText;

/// The weight of a word in the title; in the body it is 1.
const TITLE: f64 = 3.0;

/// The parameters k1 and b of BM25, with their usual values: how soon repeated words stop counting, and how much long
/// texts are penalized.
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;

/// An event that matches.
pub struct Match<T> {
    /// The event's words.
    pub text: SearchableText,
    /// The event's `created_at`, in seconds since the Unix epoch.
    pub created_at: u64,
    /// The event's id.
    pub id: EventId,
    /// The caller's data for the event.
    pub event: T,
}

/// Sorts the events by quality (BM25), the best first; equal ones by time, the newest first, then by id, the lowest
/// first.
#[expect(clippy::cast_precision_loss, reason = "texts have a few thousand words")]
pub fn best<T>(search: &Search, matches: Vec<Match<T>>) -> impl Iterator<Item = T> {
    let length = |text: &SearchableText| text.title().count().saturating_add(text.body().count()) as f64;
    let average =
        matches.iter().map(|found| length(&found.text)).sum::<f64>() / (matches.len().max(1) as f64);
    let score = |text: &SearchableText| {
        let longer = SATURATION * (1.0 - LENGTH + LENGTH * length(text) / average.max(1.0));
        let of_phrase = |count: f64| count * (SATURATION + 1.0) / (count + longer);
        let counts = search
            .wanted()
            .iter()
            .map(|phrase| TITLE * phrase.count(text.title()) + phrase.count(text.body()));
        counts.map(of_phrase).sum::<f64>()
    };
    let mut scored: Vec<(f64, Match<T>)> =
        matches.into_iter().map(|found| (score(&found.text), found)).collect();
    scored.sort_by(|(score, found), (other_score, other)| {
        let tie = (Reverse(found.created_at), found.id).cmp(&(Reverse(other.created_at), other.id));
        other_score.total_cmp(score).then(tie)
    });
    scored.into_iter().map(|(_, found)| found.event)
}

#[cfg(test)]
mod tests {
    use super::{Match, best};
    use crate::nostr::fixtures::{keys, signed_by};
    use crate::nostr::search::{Search, SearchableText};

    #[test]
    fn the_title_counts_more_than_the_text_and_density_more_than_length() {
        let long = format!("nostr {}", "and more words ".repeat(30));
        let events = [
            ("once, long", signed_by(&keys(0), 1, 50, &[], &long)),
            ("once, short", signed_by(&keys(0), 1, 10, &[], "about nostr and more")),
            ("once, short, newer", signed_by(&keys(0), 1, 11, &[], "about nostr and cats")),
            ("often", signed_by(&keys(0), 1, 1, &[], "nostr nostr nostr nostr")),
            ("in the title", signed_by(&keys(0), 30_023, 1, &[&["title", "nostr"]], "nostr this and that")),
            ("begins so", signed_by(&keys(0), 1, 60, &[], "about nostriches and more")),
        ];
        let matches = events.into_iter().map(|(event, signed)| Match {
            text: SearchableText::of(&signed),
            created_at: signed.created_at,
            id: signed.id,
            event,
        });
        let order: Vec<&str> = best(&Search::parse("nostr").unwrap(), matches.collect()).collect();
        assert_eq!(
            order,
            ["often", "in the title", "once, short, newer", "once, short", "begins so", "once, long"]
        );
    }
}
