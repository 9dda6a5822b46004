//! The viewer: private kinds are visible only to the parties of an event.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use openagents_host::{Event, Kind, PublicKey};

use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::tag::{TagKey, TagName};

/// Who reads. Events of private kinds are visible only if one of the reader's keys is their author or is named in a
/// `p` tag (NIP-17, NIP-59). Everybody else gets answers as if they did not exist.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The kinds that are visible only to their parties.
    pub private_kinds: &'a OneOf<Kind>,
    /// The keys that the reader has authenticated with (NIP-42).
    pub pubkeys: &'a BTreeSet<PublicKey>,
}

static NO_KINDS: LazyLock<OneOf<Kind>> = LazyLock::new(OneOf::default);
static NO_KEYS: BTreeSet<PublicKey> = BTreeSet::new();

impl Viewer<'static> {
    /// A viewer that may read everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { private_kinds: &NO_KINDS, pubkeys: &NO_KEYS }
    }
}

impl Viewer<'_> {
    /// Whether the viewer may read this event.
    #[must_use]
    pub fn may_read(&self, event: &Event) -> bool {
        !self.private_kinds.contains(&event.kind)
            || self.pubkeys.contains(&event.pubkey)
            || event
                .tag_values("p")
                .filter_map(|value| PublicKey::from_hex(value).ok())
                .any(|addressee| self.pubkeys.contains(&addressee))
    }

    /// Whether this filter may match events that not everybody may read.
    pub(super) fn restricts(&self, filter: &Filter) -> bool {
        match &filter.kinds {
            Some(kinds) => kinds.iter().any(|kind| self.private_kinds.contains(kind)),
            None => !self.private_kinds.is_empty(),
        }
    }

    /// Whether this filter matches only events that not everybody may read.
    pub(super) fn restricts_all(&self, filter: &Filter) -> bool {
        filter.kinds.as_ref().is_some_and(|kinds| kinds.iter().all(|kind| self.private_kinds.contains(kind)))
    }

    /// The index keys of the `p` tags that name the viewer.
    pub(super) fn addressee_keys(&self) -> Vec<TagKey> {
        self.pubkeys.iter().filter_map(addressee_key).collect()
    }
}

/// The index key of a `p` tag with this public key.
pub(super) fn addressee_key(pubkey: &PublicKey) -> Option<TagKey> {
    Some(TagKey::new(TagName::new("p")?, &pubkey.to_hex()))
}
