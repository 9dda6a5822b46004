//! Who reads: private kinds are found only by their parties.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use openagents_host::{Event, Kind, PublicKey};

use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::tag::{TagKey, TagName};

/// Who reads. Events of private kinds are found only if their author, or one that a `p` tag names, is among the
/// reader's keys (NIP-17, NIP-59): for everybody else they are not there.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// The kinds that are only for their parties.
    pub private_kinds: &'a OneOf<Kind>,
    /// The keys that the reader has proven to hold.
    pub pubkeys: &'a BTreeSet<PublicKey>,
}

static NO_KINDS: LazyLock<OneOf<Kind>> = LazyLock::new(OneOf::default);
static NO_KEYS: BTreeSet<PublicKey> = BTreeSet::new();

impl Viewer<'static> {
    /// Somebody who may read everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { private_kinds: &NO_KINDS, pubkeys: &NO_KEYS }
    }
}

impl Viewer<'_> {
    /// Whether the reader may have this event.
    #[must_use]
    pub fn may_read(&self, event: &Event) -> bool {
        !self.private_kinds.contains(&event.kind)
            || self.pubkeys.contains(&event.pubkey)
            || event
                .tag_values("p")
                .filter_map(|value| PublicKey::from_hex(value).ok())
                .any(|addressee| self.pubkeys.contains(&addressee))
    }

    /// Whether an event of this filter may be one that not everybody may read.
    pub(super) fn restricts(&self, filter: &Filter) -> bool {
        match &filter.kinds {
            Some(kinds) => kinds.iter().any(|kind| self.private_kinds.contains(kind)),
            None => !self.private_kinds.is_empty(),
        }
    }

    /// Whether every event of this filter is one that not everybody may read.
    pub(super) fn restricts_all(&self, filter: &Filter) -> bool {
        filter.kinds.as_ref().is_some_and(|kinds| kinds.iter().all(|kind| self.private_kinds.contains(kind)))
    }

    /// What events for the reader are found under.
    pub(super) fn addressee_keys(&self) -> Vec<TagKey> {
        self.pubkeys.iter().filter_map(addressee_key).collect()
    }
}

/// What events with a `p` tag of this public key are found under.
pub(super) fn addressee_key(pubkey: &PublicKey) -> Option<TagKey> {
    Some(TagKey::new(TagName::new("p")?, &pubkey.to_hex()))
}
