//! `Tags`: a list of events or people as a job's output, for discovery and search jobs.

use openagents_host::nostr::{KindClass, Tag};
use openagents_host::{Event, EventId, PublicKey};

use super::IntoOutput;
use crate::engine::Output;
use crate::error::JobError;

/// A ranked list of events or people, written as a JSON list of `e`, `a` and `p` tags: the output of discovery and
/// search jobs (kinds 5300 to 5303).
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// async fn echo(named: Vec<NostrEvent>, customer: Customer) -> JobResult<Tags> {
///     let authors = Tags::people(named.iter().map(|event| event.pubkey));
///     Ok(authors.and(Tags::events(named.iter().map(|event| event.id))).and(Tags::people([*customer])))
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub Vec<Tag>);

impl Tags {
    /// An `e` tag for each id.
    pub fn events(ids: impl IntoIterator<Item = EventId>) -> Self {
        Self(ids.into_iter().map(|id| tag("e", id.to_hex())).collect())
    }

    /// A `p` tag for each key.
    pub fn people(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().map(|key| tag("p", key.to_hex())).collect())
    }

    /// A tag for each event: `a` for a replaceable or addressable event such as an article (kind 30023), so that it
    /// leads to the latest version, and `e` for any other.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let tags = events.into_iter().map(|event| match event.kind.class() {
            KindClass::Replaceable => tag("a", format!("{}:{}:", event.kind, event.pubkey)),
            KindClass::Addressable => {
                tag("a", format!("{}:{}:{}", event.kind, event.pubkey, event.identifier()))
            }
            KindClass::Regular | KindClass::Ephemeral => tag("e", event.id.to_hex()),
        });
        Self(tags.collect())
    }

    /// Appends the other tags.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

fn tag(name: &str, value: String) -> Tag {
    vec![name.to_owned(), value]
}

impl IntoOutput for Tags {
    const MIME: &'static str = "application/json";

    fn into_output(self) -> Result<Output, JobError> {
        Output::json(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};

    use super::Tags;
    use crate::author::output::IntoOutput;

    #[test]
    fn is_a_json_list_of_tags() {
        let keys = Keys::from_secret(&[3; 32]).unwrap();
        let note = UnsignedEvent::new(Kind(1), "").sign(&keys, Timestamp::from_seconds(1));
        let (id, key) = (note.id, note.pubkey);
        let output = Tags::events([id]).and(Tags::people([key])).into_output().unwrap();
        assert_eq!(output.content, format!(r#"[["e","{id}"],["p","{key}"]]"#));
        assert_eq!(Tags::default().into_output().unwrap().content, "[]");
    }

    #[test]
    fn leads_to_what_can_be_replaced_by_its_address() {
        let keys = Keys::from_secret(&[3; 32]).unwrap();
        let sign = |kind: u16, d: &str| {
            UnsignedEvent::new(Kind(kind), "").tag(["d", d]).sign(&keys, Timestamp::from_seconds(1))
        };
        let (article, follows, note) = (sign(30_023, "my:title"), sign(3, ""), sign(1, "x"));
        let key = keys.public_key();
        assert_eq!(
            Tags::of([&*article, &*follows, &*note]).0,
            [
                ["a".to_owned(), format!("30023:{key}:my:title")],
                ["a".to_owned(), format!("3:{key}:")],
                ["e".to_owned(), note.id.to_hex()],
            ]
        );
    }
}
