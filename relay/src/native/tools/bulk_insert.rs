//! Bulk insertion of verified events into a store, with counts of the results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use openagents_host::native::Sqlite;
use openagents_host::{SqlError, Timestamp, VerifiedEvent};
use serde::Serialize;

use crate::admission::Lists;
use crate::admission::access::Access;
use crate::limits::MAX_EVENT_BYTES;
use crate::management::Rules;
use crate::reason::Prefix;
use crate::store::{Insertion, Store, VANISH};

/// How many reasons given by a relay are kept for display, and how many characters of each.
const MAX_REASONS: usize = 5;
const MAX_REASON_CHARS: usize = 200;

/// The prefixes of relays' reasons (NIP-01 and others).
const PREFIXES: [Prefix; 11] = [
    Prefix::Duplicate,
    Prefix::Pow,
    Prefix::Blocked,
    Prefix::RateLimited,
    Prefix::Invalid,
    Prefix::AuthRequired,
    Prefix::Restricted,
    Prefix::Mute,
    Prefix::Closed,
    Prefix::Unsupported,
    Prefix::Error,
];

/// Why an event was not stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It is not an event, or its id or signature is wrong.
    Invalid,
    /// A newer version of it is stored.
    Superseded,
    /// Its author, or the addressee of a gift wrap, requested its deletion (NIP-09, NIP-59).
    Deleted,
    /// Its author, or the addressee of a gift wrap, requested to vanish (NIP-62).
    Vanished,
    /// It has expired (NIP-40).
    Expired,
    /// Too many other events claim the same second.
    Crowded,
    /// Its kind is not stored.
    Ephemeral,
    /// It has more than 1.5 MB of JSON.
    TooLong,
    /// An operator has banned it, its author or its kind (NIP-86).
    Banned,
    /// The other relay refused it. Contains the prefix of its reason (NIP-01), or `other` if there is none.
    ByRelay(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Superseded => "older versions",
            Self::Deleted => "deleted by their authors",
            Self::Vanished => "of authors who vanished",
            Self::Expired => "expired",
            Self::Crowded => "too many in one second",
            Self::Ephemeral => "ephemeral",
            Self::TooLong => "too long",
            Self::Banned => "banned by the operators",
            Self::ByRelay(word) => word,
        })
    }
}

/// What happened to the events of an import or a synchronization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportCounts {
    /// How many are new.
    pub accepted: u64,
    /// How many were stored before.
    pub duplicates: u64,
    /// How many were refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// The first few distinct reasons given by the other relay, each cut off if it is long.
    pub reasons: Vec<String>,
}

impl ImportCounts {
    /// The number of events counted here.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted.saturating_add(self.duplicates).saturating_add(self.all_refused())
    }

    /// The number of events refused for any reason.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let count = self.refused.entry(refusal).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts a refusal by the other relay, which may give any number of reasons of any length.
    pub(super) fn refuse_by_relay(&mut self, reason: &str) {
        let begins = reason.split_once(':').map_or("", |(word, _)| word);
        let word = PREFIXES.into_iter().map(Prefix::as_str).find(|word| *word == begins);
        self.refuse(Refusal::ByRelay(word.unwrap_or("other").to_owned()));
        if self.reasons.len() < MAX_REASONS {
            let shown: String = reason.chars().take(MAX_REASON_CHARS).collect();
            if !self.reasons.contains(&shown) {
                self.reasons.push(shown);
            }
        }
    }

    pub(super) fn count_accepted(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
    }

    pub(super) fn count_duplicate(&mut self) {
        self.duplicates = self.duplicates.saturating_add(1);
    }
}

/// A store, and the rules for inserting into it.
pub(super) struct BulkInsert<'a> {
    pub(super) store: &'a Store<Sqlite>,
    /// The operators' bans, as kept in the store (NIP-86).
    bans: Lists,
    /// The host names by which the relay is known.
    access: &'a Access,
}

impl<'a> BulkInsert<'a> {
    /// Bulk insertion into the store of a relay with these access rules.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn new(store: &'a Store<Sqlite>, access: &'a Access) -> Result<Self, SqlError> {
        let mut rules = Rules::default();
        store.complete_rules(&mut rules)?;
        // Lists of what is allowed apply to clients only, bans also to imports.
        let bans = Lists { allowed_kinds: BTreeSet::new(), ..rules.lists };
        Ok(Self { store, bans, access })
    }

    /// Inserts an event with all rules of the store, and counts the result. Limits for clients do not apply, because
    /// whoever controls the database decides what is in it; but events banned by the operators are refused. Nothing is
    /// handed over to an agent. The retention period ([`retention`](Store::retention)) starts now. A request to vanish
    /// is carried out if it is addressed to this relay (NIP-62).
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn insert(
        &self,
        now: Timestamp,
        event: &VerifiedEvent,
        counts: &mut ImportCounts,
    ) -> Result<(), SqlError> {
        if !self.store.retention().keeps(event.kind) {
            counts.refuse(Refusal::Ephemeral);
            return Ok(());
        }
        if event.json().len() > MAX_EVENT_BYTES {
            counts.refuse(Refusal::TooLong);
            return Ok(());
        }
        // A banned author may still request to vanish, which only removes events (NIP-62).
        if event.kind != VANISH && self.bans.admit(event).is_err() {
            counts.refuse(Refusal::Banned);
            return Ok(());
        }
        let insertion = match event.kind == VANISH && self.access.is_to_vanish_here(None, event) {
            true => self.store.vanish(now, event)?,
            false => self.store.insert(now, event)?,
        };
        match insertion {
            Insertion::Inserted => counts.count_accepted(),
            Insertion::Duplicate => counts.count_duplicate(),
            Insertion::Superseded => counts.refuse(Refusal::Superseded),
            Insertion::Deleted => counts.refuse(Refusal::Deleted),
            Insertion::Vanished => counts.refuse(Refusal::Vanished),
            Insertion::Expired => counts.refuse(Refusal::Expired),
            Insertion::Crowded => counts.refuse(Refusal::Crowded),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ImportCounts, MAX_REASON_CHARS, MAX_REASONS, Refusal};

    #[test]
    fn keeps_little_of_what_a_relay_says_of_each_event() {
        let mut counts = ImportCounts::default();
        for number in 0..100 {
            counts.refuse_by_relay(&format!("blocked: not {number} {}", "\u{e9}".repeat(1_000)));
            counts.refuse_by_relay(&format!("{number}: whatever"));
        }
        assert_eq!(counts.refused.len(), 2);
        assert_eq!(counts.refused[&Refusal::ByRelay("blocked".to_owned())], 100);
        assert_eq!(counts.refused[&Refusal::ByRelay("other".to_owned())], 100);
        assert_eq!(counts.reasons.len(), MAX_REASONS);
        assert!(counts.reasons.iter().all(|reason| reason.chars().count() <= MAX_REASON_CHARS));
        let mut counts = ImportCounts::default();
        (0..9).for_each(|_| counts.refuse_by_relay("blocked: no"));
        assert_eq!(counts.reasons, ["blocked: no"]);
    }
}
