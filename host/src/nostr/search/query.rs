//! Search queries (NIP-50): words and phrases that an event must have or must not have.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;

use serde::{Serialize, Serializer};

use super::text::SearchableText;
use super::words::words;

/// The longest query, in bytes.
const MAX_QUERY_BYTES: usize = 1_024;

/// How many words a query can have.
const MAX_QUERY_WORDS: usize = 32;

/// The minimum length of a last word that is also treated as a prefix, in letters.
const MIN_PREFIX_LETTERS: usize = 3;

/// A search query (NIP-50).
///
/// An event must contain all of the words in any order, `"quoted words"` next to each other, and no word with a `-`
/// before it. The last word also matches words that begin with it, unless a space follows: the user may still be
/// typing. `key:value` pairs are extensions; none is supported, so they are ignored.
///
/// ```
/// use openagents_host::nostr::search::Search;
///
/// assert!(Search::parse("best \"nostr apps\" -spam language:en").is_ok());
/// // Nothing would be left to search for.
/// assert!(Search::parse("language:en").is_err() && Search::parse("-spam").is_err() && Search::parse("!").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Search {
    text: Box<str>,
    wanted: Box<[Phrase]>,
    unwanted: Box<[Phrase]>,
}

/// Words that must be next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phrase {
    words: Box<[String]>,
    /// Whether the last word also matches words that begin with it.
    is_begun: bool,
}

impl Search {
    /// Parses a query.
    ///
    /// # Errors
    /// What a valid query is.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_QUERY_BYTES {
            return Err("a text of at most 1024 bytes");
        }
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (is_wanted, part) = match rest.strip_prefix('-') {
                Some(part) => (false, part),
                None => (true, rest),
            };
            let (piece, is_quoted, after) = match part.strip_prefix('"') {
                Some(quoted) => {
                    let (piece, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                    (piece, true, after)
                }
                None => {
                    let end = part.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(part.len());
                    let (piece, after) = part.split_at_checked(end).unwrap_or((part, ""));
                    (piece, false, after)
                }
            };
            rest = after.trim_start();
            let words: Box<[String]> = words(piece).into();
            let Some(last) = words.last() else { continue };
            if !is_quoted && is_extension(piece) {
                continue;
            }
            let is_begun = is_wanted
                && !is_quoted
                && after.is_empty()
                && piece.ends_with(char::is_alphanumeric)
                && last.chars().nth(MIN_PREFIX_LETTERS.saturating_sub(1)).is_some();
            let phrases = if is_wanted { &mut wanted } else { &mut unwanted };
            phrases.push(Phrase { words, is_begun });
        }
        if wanted.is_empty() {
            return Err("a text with a word to search for");
        }
        let count = |phrases: &[Phrase]| phrases.iter().map(|phrase| phrase.words.len()).sum::<usize>();
        if count(&wanted).saturating_add(count(&unwanted)) > MAX_QUERY_WORDS {
            return Err("a text of at most 32 words");
        }
        Ok(Self { text: text.into(), wanted: wanted.into(), unwanted: unwanted.into() })
    }

    /// The query as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a text has all wanted phrases and no unwanted one.
    pub fn matches(&self, text: &SearchableText) -> bool {
        self.wanted.iter().all(|phrase| phrase.is_in(text))
            && !self.unwanted.iter().any(|phrase| phrase.is_in(text))
    }

    /// The same, given the distinct words of the text, which suffice for most queries.
    pub fn matches_among(&self, words: &BTreeSet<&str>, text: &SearchableText) -> bool {
        self.wanted.iter().all(|phrase| phrase.has_its_words_among(words))
            && self.wanted.iter().all(|phrase| phrase.is_one_word() || phrase.is_in(text))
            && !self.unwanted.iter().any(|phrase| {
                phrase.has_its_words_among(words) && (phrase.is_one_word() || phrase.is_in(text))
            })
    }

    /// The longest word that must match exactly, if there is one: probably the one that the fewest texts contain.
    pub fn whole_word(&self) -> Option<&str> {
        self.wanted.iter().flat_map(Phrase::whole_words).max_by_key(|word| word.len()).map(String::as_str)
    }

    pub(super) fn wanted(&self) -> &[Phrase] {
        &self.wanted
    }

    /// The query for the index (FTS5), with exact words.
    pub fn index_query(&self) -> String {
        self.wanted
            .iter()
            .flat_map(|phrase| &*phrase.words)
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// The query for the index (FTS5) with the last word as a prefix, if it may be one.
    pub fn index_prefix_query(&self) -> Option<String> {
        let is_begun = self.wanted.last().is_some_and(|phrase| phrase.is_begun);
        is_begun.then(|| self.index_query() + " *")
    }
}

/// Whether this is a `key:value` pair of NIP-50 and not the beginning of a URL.
fn is_extension(piece: &str) -> bool {
    let Some((key, value)) = piece.split_once(':') else { return false };
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_key && !value.is_empty() && !value.starts_with('/')
}

impl Phrase {
    const fn is_one_word(&self) -> bool {
        self.words.len() == 1
    }

    /// The words that must match exactly.
    fn whole_words(&self) -> impl Iterator<Item = &String> {
        self.words.iter().take(self.words.len().saturating_sub(usize::from(self.is_begun)))
    }

    /// Whether the text contains its words, at any position.
    fn has_its_words_among(&self, words: &BTreeSet<&str>) -> bool {
        let has_beginning = |beginning: &str| {
            let from_there = (Bound::Included(beginning), Bound::Unbounded);
            words.range::<str, _>(from_there).next().is_some_and(|word| word.starts_with(beginning))
        };
        self.whole_words().all(|word| words.contains(word.as_str()))
            && (!self.is_begun || self.words.last().is_some_and(|last| has_beginning(last)))
    }

    fn is_in(&self, text: &SearchableText) -> bool {
        self.is_in_field(text.title()) || self.is_in_field(text.body())
    }

    fn is_in_field<'a>(&self, mut field: impl Iterator<Item = &'a str>) -> bool {
        let Some((last, others)) = self.words.split_last() else { return false };
        let is_last = |word: &str| word == last || self.is_begun && word.starts_with(last.as_str());
        if others.is_empty() {
            return field.any(is_last);
        }
        let field: Vec<&str> = field.collect();
        field.windows(self.words.len()).any(|window| {
            window.split_last().is_some_and(|(end, before)| {
                is_last(end) && before.iter().zip(others).all(|(word, wanted)| word == wanted)
            })
        })
    }

    /// How often the phrase occurs. A word that only begins with the last one counts half.
    pub(super) fn count<'a>(&self, field: impl Iterator<Item = &'a str>) -> f64 {
        let Some((last, others)) = self.words.split_last() else { return 0.0 };
        let value = |word: &str| {
            if word == last {
                1.0
            } else if self.is_begun && word.starts_with(last.as_str()) {
                0.5
            } else {
                0.0
            }
        };
        if others.is_empty() {
            return field.map(value).sum();
        }
        let field: Vec<&str> = field.collect();
        let windows = field.windows(self.words.len());
        let ends = windows.filter_map(|window| {
            let (end, before) = window.split_last()?;
            before.iter().zip(others).all(|(word, wanted)| word == wanted).then_some(*end)
        });
        ends.map(value).sum()
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Search {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Search;
    use crate::nostr::fixtures::{keys, signed_by};
    use crate::nostr::search::SearchableText;

    fn text(content: &str) -> SearchableText {
        SearchableText::of(&signed_by(&keys(0), 1, 1, &[], content))
    }

    fn finds(query: &str, content: &str) -> bool {
        Search::parse(query).unwrap().matches(&text(content))
    }

    #[test]
    fn wants_all_words_and_phrases_and_none_of_those_behind_a_minus() {
        let content = "The best Nostr apps, reviewed: e-mail is no app";
        for (query, found) in [
            ("nostr", true),
            ("APPS nóstr", true),
            ("nostr apps of", false),
            ("\"nostr apps\"", true),
            ("\"apps nostr\"", false),
            ("\"nostr apps", true),
            ("nostr -apps", false),
            ("nostr -cats", true),
            ("nostr -\"apps nostr\"", true),
            ("e-mail", true),
            ("mail-e", false),
            ("nostr --", true),
        ] {
            assert_eq!(finds(query, content), found, "{query}");
        }
        assert!(finds("東京", "東京タワー") && !finds("京東", "東京タワー"));
    }

    #[test]
    fn the_last_word_may_be_a_beginning_while_it_is_typed() {
        for (query, found) in [
            ("revi", true),
            ("best revi", true),
            ("revi best", false),
            ("revi ", false),
            ("\"revi\"", false),
            ("re", false),
            ("best -revi", true),
        ] {
            assert_eq!(finds(query, "the best, reviewed"), found, "{query}");
        }
    }

    #[test]
    fn extensions_are_ignored_and_what_only_looks_like_one_is_not() {
        assert!(finds("include:spam best domain:x.example language:en", "the best"));
        assert!(!finds("https://x.example", "the best"));
        assert!(finds("https://x.example/a", "see https://x.example/a"));
        assert!(finds("note: best", "the best note"));
        assert!(!finds("note: best", "the best"));
        assert!(finds("\"language:en\"", "their language: en"));
    }

    #[test]
    fn refuses_what_leaves_nothing_to_search_for() {
        for query in ["", " ", "!", "\"\"", "-", "-spam", "include:spam", "language:en sentiment:positive"] {
            assert!(Search::parse(query).is_err(), "{query}");
        }
        assert!(Search::parse(&"a ".repeat(33)).is_err() && Search::parse(&"a".repeat(1_025)).is_err());
        assert!(Search::parse(&"a ".repeat(32)).is_ok());
    }

    proptest! {
        #[test]
        fn every_text_finds_its_own_words(content in "[a-zéß東 ,.:-]{1,40}", at in any::<prop::sample::Index>()) {
            let text = text(&content);
            let words: Vec<&str> = text.body().collect();
            if !words.is_empty() {
                let word = words[at.index(words.len())];
                prop_assert!(Search::parse(word).unwrap().matches(&text));
                let phrase = format!("\"{}\"", words.join(" "));
                prop_assert!(Search::parse(&phrase).unwrap().matches(&text));
            }
        }

        #[test]
        fn the_set_of_words_and_the_count_decide_as_the_text_does(
            query in "[\"\\-ab ]{1,12}|\"?[ab]{1,4}( [ab]{1,4}){0,2}\"?", content in "[ab]{1,4}( [ab]{1,4}){0,6}",
        ) {
            if let Ok(search) = Search::parse(&query) {
                let text = text(&content);
                let words = text.distinct_words();
                prop_assert_eq!(search.matches_among(&words, &text), search.matches(&text));
                let wanted = search.wanted.iter().all(|phrase| phrase.count(text.body()) > 0.0);
                let unwanted = search.unwanted.iter().any(|phrase| phrase.count(text.body()) > 0.0);
                prop_assert_eq!(search.matches(&text), wanted && !unwanted);
                prop_assert!(!search.matches(&text) || search.whole_word().is_none_or(|word| words.contains(word)));
            }
        }

        #[test]
        fn no_query_makes_it_panic(query in "[\"\\-:a-zé東* ]{0,40}", content in "\\PC{0,40}") {
            if let Ok(search) = Search::parse(&query) {
                search.matches(&text(&content));
            }
        }
    }
}
