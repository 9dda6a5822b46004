//! The `listed` table: rules set by operators (NIP-86), reports (NIP-56), and used authorization tokens.

use std::collections::BTreeSet;

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, EventId, Kind, PublicKey, Timestamp};

use crate::management::{InformationText, List, ListEntry, Rules, Token};
use crate::store::Store;

/// A report (NIP-56).
const REPORT: Kind = Kind(1_984);

/// How many reports are read.
const MAX_REPORTS: u64 = 500;

/// How many events of one report are listed, and how many of all reports.
const MAX_SUBJECTS_PER_REPORT: usize = 50;
const MAX_REPORTED: usize = 2_000;

/// How many characters of a report's text are repeated: as much as an operator will read, and little enough to fit
/// into the answer two thousand times.
const MAX_REASON_CHARS: usize = 1_000;

impl<S: Sql> Store<S> {
    /// Adds the operators' changes to the rules of the configuration.
    ///
    /// # Errors
    /// When the database fails.
    pub fn complete_rules(&self, rules: &mut Rules) -> Result<(), SqlError> {
        for list in List::ALL {
            let subjects = "SELECT subject FROM listed WHERE list = ?";
            for (subject,) in self.sql.rows::<(String,)>(subjects, values![list.name()])? {
                rules.add(list, &subject);
            }
        }
        for wording in InformationText::ALL {
            let text = "SELECT text FROM wording WHERE name = ?";
            if let Some((text,)) = self.sql.first::<(String,)>(text, values![wording.name()])? {
                rules.set(wording, text);
            }
        }
        Ok(())
    }

    /// The entries of a list, ordered by subject.
    ///
    /// # Errors
    /// When the database fails.
    pub fn listed(&self, list: List) -> Result<Vec<ListEntry>, SqlError> {
        let entries: Vec<(String, Option<String>)> = self.sql.rows(
            "SELECT subject, reason FROM listed WHERE list = ? ORDER BY subject",
            values![list.name()],
        )?;
        Ok(entries.into_iter().map(|(subject, reason)| ListEntry { subject, reason }).collect())
    }

    /// How many entries a list has.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_listed(&self, list: List) -> Result<u64, SqlError> {
        let count = "SELECT count(*) FROM listed WHERE list = ?";
        Ok(self.sql.first::<(u64,)>(count, values![list.name()])?.map_or(0, |(count,)| count))
    }

    /// Adds an entry to a list. An entry that is already listed keeps its position and gets this reason.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self, list: List, subject: &str, reason: Option<&str>) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO listed (list, subject, reason) VALUES (?, ?, ?)
             ON CONFLICT (list, subject) DO UPDATE SET reason = excluded.reason",
            values![list.name(), subject, reason],
        )
    }

    /// Removes an entry from a list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unlist(&self, list: List, subject: &str) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM listed WHERE list = ? AND subject = ?", values![list.name(), subject])
    }

    /// Whether an entry is on a list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_listed(&self, list: List, subject: &str) -> Result<bool, SqlError> {
        let found = "SELECT 1 FROM listed WHERE list = ? AND subject = ?";
        Ok(self.sql.first::<(u64,)>(found, values![list.name(), subject])?.is_some())
    }

    /// Stores a text (the relay's name, description or icon).
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_text(&self, wording: InformationText, text: &str) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO wording (name, text) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET text = excluded.text",
            values![wording.name(), text],
        )
    }

    /// The stored events that were reported and not approved, with what the latest report says. Only the newest
    /// reports are read, and only the first events of each.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reported(&self) -> Result<Vec<ListEntry>, SqlError> {
        let reports = self.batch::<(u64, String)>(
            "SELECT seq, json FROM event WHERE kind = ? ORDER BY seq DESC LIMIT ?",
            values![REPORT, MAX_REPORTS],
        )?;
        let mut reported: Vec<ListEntry> = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, report) in reports.rows {
            let Ok(report) = Event::from_json(&report) else { continue };
            for tag in report.tags_named("e").take(MAX_SUBJECTS_PER_REPORT) {
                let Some(id) = tag.get(1).and_then(|id| EventId::from_hex(id).ok()) else { continue };
                if seen.len() >= MAX_REPORTED {
                    return Ok(reported);
                }
                let subject = id.to_string();
                if !seen.insert(id)
                    || !self.contains(&id)?
                    || self.is_listed(List::AllowedEvents, &subject)?
                {
                    continue;
                }
                let texts = [tag.get(2).map(String::as_str), Some(report.content.as_str())];
                let texts: Vec<&str> = texts.into_iter().flatten().filter(|text| !text.is_empty()).collect();
                let reason =
                    (!texts.is_empty()).then(|| texts.join(": ").chars().take(MAX_REASON_CHARS).collect());
                reported.push(ListEntry { subject, reason });
            }
        }
        Ok(reported)
    }

    /// Records that a token was used, and returns whether this was the first time. Forgets tokens that have expired.
    ///
    /// # Errors
    /// When the database fails.
    pub fn use_token(&self, now: Timestamp, token: &Token) -> Result<bool, SqlError> {
        self.sql.execute("DELETE FROM used_token WHERE until < ?", values![now.as_seconds()])?;
        let used = "SELECT 1 FROM used_token WHERE id = ?";
        if self.sql.first::<(u64,)>(used, values![&token.id])?.is_some() {
            return Ok(false);
        }
        let until = token.remembered_until().as_seconds();
        self.sql.execute("INSERT INTO used_token (id, until) VALUES (?, ?)", values![&token.id, until])?;
        Ok(true)
    }

    /// Schedules the events of an author for removal.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_purge(&self, author: &PublicKey) -> Result<(), SqlError> {
        self.sql.execute("INSERT INTO purge (pubkey) VALUES (?) ON CONFLICT DO NOTHING", values![author])
    }

    /// Cancels the removal of an author's events.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end_purge(&self, author: &PublicKey) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM purge WHERE pubkey = ?", values![author])
    }

    /// Removes some of the events that are scheduled for removal, at most `at_most` and a few megabytes of them.
    /// Returns whether there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn purge(&self, at_most: u64) -> Result<bool, SqlError> {
        let next: Option<(PublicKey,)> = self.sql.first("SELECT pubkey FROM purge LIMIT 1", &[])?;
        let Some((author,)) = next else { return Ok(false) };
        self.sql.transaction(|| {
            let statement = "SELECT seq, json FROM event WHERE pubkey = ? LIMIT ?";
            if self.erase_some(statement, values![&author, at_most])?.events == 0 {
                self.end_purge(&author)?;
            }
            Ok::<_, SqlError>(())
        })?;
        self.has_to_purge()
    }

    /// Whether events are scheduled for removal.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_to_purge(&self) -> Result<bool, SqlError> {
        Ok(self.sql.first::<(u64,)>("SELECT 1 FROM purge LIMIT 1", &[])?.is_some())
    }
}
