//! The searchable words of an event: title and body.

use std::collections::BTreeSet;

use crate::JsonObject;
use crate::nostr::event::Event;
use crate::nostr::kind::Kind;
use crate::nostr::kind::KindClass;
use serde::Deserialize;

use super::words::push_words;

/// The maximum number of searchable words per event.
const MAX_WORDS: usize = 4_096;

/// The maximum number of searchable bytes of a text.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The tags whose values are a title or a description.
const TITLES: [&str; 6] = ["title", "subject", "name", "summary", "description", "alt"];

/// The searchable words of an event, in lower case, each with a space before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchableText {
    /// The title, the topics, or the name of a profile.
    title: String,
    /// The content.
    body: String,
}

impl SearchableText {
    /// The words of an event: none if its content is not public or not meant for people to read.
    pub fn of(event: &Event) -> Self {
        let mut text = Self::default();
        if !is_searchable(event) {
            return text;
        }
        let mut left = MAX_WORDS;
        let mut push = |words: &mut String, more: &str| {
            left = left.saturating_sub(push_words(beginning(more, MAX_TEXT_BYTES), left, words));
        };
        for tag in &event.tags {
            if let [name, value, ..] = tag.as_slice()
                && (name == "t" || TITLES.contains(&name.as_str()))
            {
                push(&mut text.title, value);
            }
        }
        if let Some(profile) = is_profile(event.kind).then(|| profile(&event.content)) {
            [profile.name, profile.display_name, profile.nip05]
                .into_iter()
                .flatten()
                .for_each(|name| push(&mut text.title, &name));
            profile.about.into_iter().for_each(|about| push(&mut text.body, &about));
        } else if !looks_encrypted(&event.content) {
            push(&mut text.body, &event.content);
        }
        text
    }

    /// Whether there are no words.
    pub const fn is_empty(&self) -> bool {
        self.title.is_empty() && self.body.is_empty()
    }

    /// The words, each once.
    pub fn distinct_words(&self) -> BTreeSet<&str> {
        self.title().chain(self.body()).collect()
    }

    pub(super) fn title(&self) -> impl Iterator<Item = &str> {
        self.title.split_ascii_whitespace()
    }

    pub(super) fn body(&self) -> impl Iterator<Item = &str> {
        self.body.split_ascii_whitespace()
    }

    /// All words, for the index.
    pub fn into_words(self) -> String {
        self.title + &self.body
    }
}

/// Whether an event is searchable: not if it is ephemeral, encrypted (NIP-04, NIP-17, NIP-59, NIP-90), or of a kind
/// whose content is a reaction, a copy of another event, or data.
fn is_searchable(event: &Event) -> bool {
    const WITHOUT_WORDS: [Kind; 14] = [
        Kind::CONTACT_LIST,
        Kind::ENCRYPTED_DIRECT_MESSAGE,
        Kind::DELETION,
        Kind::REPOST,
        Kind::REACTION,
        Kind::SEAL,
        Kind::GENERIC_REPOST,
        Kind::VANISH,
        Kind::GIFT_WRAP,
        Kind::DOUBLE_RATCHET_MESSAGE,
        Kind::ZAP_RECEIPT,
        Kind::RELAY_LIST,
        Kind::AUTHENTICATION,
        Kind::APPLICATION_DATA,
    ];
    event.kind.class() != KindClass::Ephemeral
        && !WITHOUT_WORDS.contains(&event.kind)
        && !event.tags.iter().any(|tag| tag.first().is_some_and(|name| name == "encrypted"))
}

/// Whether the content is JSON that describes a profile (NIP-01), a channel (NIP-28) or a handler (NIP-89).
const fn is_profile(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::METADATA | Kind::CHANNEL_CREATION | Kind::CHANNEL_METADATA | Kind::HANDLER_INFORMATION
    )
}

/// The fields of a profile that people read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: Option<String>,
    #[serde(alias = "displayName")]
    display_name: Option<String>,
    about: Option<String>,
    nip05: Option<String>,
}

fn profile(content: &str) -> Profile {
    serde_json::from_str(content).map(|JsonObject(profile)| profile).unwrap_or_default()
}

/// Whether a content looks like the base64 of NIP-04 or NIP-44, as in the private part of a list (NIP-51): long, and
/// without a space.
fn looks_encrypted(content: &str) -> bool {
    let base64 = content.split_once("?iv=").map_or(content, |(content, _)| content);
    base64.len() >= 24
        && base64.len().is_multiple_of(4)
        && base64.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        && (base64.len() < content.len() || base64.len() >= 132)
}

fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::nostr::event::VerifiedEvent;

    use super::SearchableText;
    use crate::nostr::fixtures::{keys, signed_by};

    fn event(kind: u16, tags: &[&[&str]], content: &str) -> VerifiedEvent {
        signed_by(&keys(0), kind, 1, tags, content)
    }

    fn text(kind: u16, tags: &[&[&str]], content: &str) -> (String, String) {
        let text = SearchableText::of(&event(kind, tags, content));
        (text.title, text.body)
    }

    #[test]
    fn takes_what_people_read() {
        let pair = |title: &str, body: &str| (title.to_owned(), body.to_owned());
        assert_eq!(
            text(1, &[&["t", "Nostr"], &["e", "abc"], &["p"]], "Hello, World"),
            pair(" nostr", " hello world")
        );
        let tags: &[&[&str]] = &[&["title", "On Relays"], &["summary", "Short"], &["d", "x"]];
        assert_eq!(text(30_023, tags, "# Long"), pair(" on relays short", " long"));
        let profile = r#"{"name":"ada","display_name":"Ada L.","about":"First","nip05":"ada@x.example","picture":"https://p"}"#;
        for kind in [0, 31_990] {
            assert_eq!(text(kind, &[], profile), pair(" ada ada l ada x example", " first"));
        }
    }

    #[test]
    fn leaves_out_what_is_not_for_everybody_or_has_no_words() {
        let sealed = format!("{}==", "Ab+/".repeat(33).trim_end_matches("+/"));
        for (kind, tags, content) in [
            (4, &[][..], "secret"),
            (1_059, &[], "secret"),
            (13, &[], "secret"),
            (20_001, &[], "gone"),
            (7, &[], "sign"),
            (5_050, &[&["encrypted"][..]][..], "secret"),
            (10_000, &[], sealed.as_str()),
            (30_000, &[], "q83vEjRWeJCrze8SNFZ4kA==?iv=q83vEjRWeJCrze8SNFZ4kA=="),
            (0, &[], "no json"),
            (0, &[], r#"{"name":7}"#),
        ] {
            assert!(SearchableText::of(&event(kind, tags, content)).is_empty(), "{kind} {content}");
        }
        assert!(
            !SearchableText::of(&event(1, &[], "a1b2c3d4e5f6a1b2c3d4e5f6")).is_empty(),
            "a long word is one"
        );
    }

    #[test]
    fn takes_the_beginning_of_what_is_very_long() {
        let text = SearchableText::of(&event(1, &[], &"é ".repeat(60_000)));
        assert_eq!(text.body().count(), 4_096);
    }
}
