//! Insertion of many verified events into a store, and a count of what became of them.

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

/// How many reasons of a relay are kept to be shown, and how many characters of each.
const MAX_REASONS: usize = 5;
const MAX_REASON_CHARS: usize = 200;

/// What reasons of relays begin with (NIP-01 and others).
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

/// Why an event is not in the store, although it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It is no event, or its id or signature does not hold.
    Invalid,
    /// A newer version of it is stored.
    Superseded,
    /// Its author, or whom it is a gift wrap for, asked for its deletion (NIP-09, NIP-59).
    Deleted,
    /// Its author, or whom it is a gift wrap for, asked to vanish (NIP-62).
    Vanished,
    /// It is expired (NIP-40).
    Expired,
    /// Too many other events claim its second.
    Crowded,
    /// Its kind is one that is not kept.
    Ephemeral,
    /// It has more than 1.5 MB of JSON.
    TooLong,
    /// An operator has banned it, its author or its kind (NIP-86).
    Banned,
    /// The relay that it was sent to does not want it, for a reason that begins with this word of NIP-01's, or none of
    /// them (`other`).
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
            Self::Crowded => "of crowded seconds",
            Self::Ephemeral => "ephemeral",
            Self::TooLong => "too long",
            Self::Banned => "banned by the operators",
            Self::ByRelay(word) => word,
        })
    }
}

/// What became of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportCounts {
    /// How many were not there before, and are now.
    pub accepted: u64,
    /// How many were there before.
    pub duplicates: u64,
    /// How many were not taken, and why.
    pub refused: BTreeMap<Refusal, u64>,
    /// The first few reasons that a relay gave for not taking an event, each once, and cut off where they are long.
    pub reasons: Vec<String>,
}

impl ImportCounts {
    /// How many events it accounts for.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted.saturating_add(self.duplicates).saturating_add(self.all_refused())
    }

    /// How many were not taken, for whatever reason.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let count = self.refused.entry(refusal).or_default();
        *count = count.saturating_add(1);
    }

    /// Enters what a relay did not take. It can give any number of reasons of any length.
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

    pub(super) fn accept(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
    }

    pub(super) fn pass_over(&mut self) {
        self.duplicates = self.duplicates.saturating_add(1);
    }
}

/// A store, and what decides about events on their way into it.
pub(super) struct BulkInsert<'a> {
    pub(super) store: &'a Store<Sqlite>,
    /// What the operators of the store's relay have banned, as the store has kept it (NIP-86).
    bans: Lists,
    /// Under which hosts the relay is known.
    access: &'a Access,
}

impl<'a> BulkInsert<'a> {
    /// The way into the store of a relay with this access.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn new(store: &'a Store<Sqlite>, access: &'a Access) -> Result<Self, SqlError> {
        let mut rules = Rules::default();
        store.complete_rules(&mut rules)?;
        // What is merely not named as allowed is for strangers only.
        let bans = Lists { allowed_kinds: BTreeSet::new(), ..rules.lists };
        Ok(Self { store, bans, access })
    }

    /// Stores an event with all rules of the store, and enters it in the account. The limits for strangers do not
    /// apply: whoever has the database in his hands decides what is in it; but what operators have banned does not come
    /// back. Nothing is handed over to an agent. How long the store [keeps](Store::retention) events of a kind counts
    /// from now. A request to vanish is fulfilled if it is meant for this relay (NIP-62).
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
        // Who wants to vanish may have a right to that, and nothing of theirs comes back (NIP-62).
        if event.kind != VANISH && self.bans.admit(event).is_err() {
            counts.refuse(Refusal::Banned);
            return Ok(());
        }
        let insertion = match event.kind == VANISH && self.access.is_to_vanish_here(None, event) {
            true => self.store.vanish(now, event)?,
            false => self.store.insert(now, event)?,
        };
        match insertion {
            Insertion::Inserted => counts.accept(),
            Insertion::Duplicate => counts.pass_over(),
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
