//! The integrity check: whether rows, indexes and tags agree with the stored events.

use openagents_host::sql::{FromRow, Row, Sql, SqlError, values};
use openagents_host::{Event, EventId, Kind, PublicKey};

use crate::retention::RetentionRules;
use crate::store::Store;
use crate::store::read::select::NOT_VANISHING;
use crate::store::statement::{hex_string, json_list};
use crate::store::write::precheck::{expires_at, identifier};
use openagents_host::nostr::tag::TagKey;

/// An inconsistency in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// The row with this key does not contain the JSON of an event.
    Unreadable(u64),
    /// The columns of the row with this key do not match its event.
    Columns(u64),
    /// An index does not lead to the event with this row key.
    Index {
        /// The name of the index.
        index: &'static str,
        /// The row key of the event.
        row_key: u64,
    },
    /// The length of an index differs from the number of events that belong into it.
    IndexLength {
        /// The name of the index.
        index: &'static str,
        /// How many events belong into it.
        expected: u64,
        /// How many entries it has.
        found: u64,
    },
    /// A tag of the event with this row key is not indexed.
    TagMissing(u64),
    /// This many indexed tags belong to no event, or to one without that tag.
    TagsTooMany(u64),
    /// The event with this row key was deleted, or its author has vanished.
    Forbidden(u64),
    /// There are several versions of the replaceable or addressable event with this row key.
    Versions(u64),
}

/// How far an integrity check has come.
#[derive(Clone, Debug, Default)]
pub struct IntegrityProgress {
    after: u64,
    events: u64,
    tags: u64,
    is_done: bool,
}

impl IntegrityProgress {
    /// Whether everything was checked.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// How many events were checked so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}

struct StoredRow {
    seq: u64,
    id: EventId,
    pubkey: PublicKey,
    created_at: u64,
    kind: Kind,
    identifier: Option<String>,
    expires_at: Option<u64>,
    json: String,
}

impl FromRow for StoredRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        Ok(Self {
            seq: row.column(0)?,
            id: row.column(1)?,
            pubkey: row.column(2)?,
            created_at: row.column(3)?,
            kind: row.column(4)?,
            identifier: row.column(5)?,
            expires_at: row.column(6)?,
            json: row.column(7)?,
        })
    }
}

impl StoredRow {
    fn is(&self, event: &Event) -> bool {
        self.id == event.id
            && self.pubkey == event.pubkey
            && self.created_at == event.created_at
            && self.kind == event.kind
            && self.identifier.as_deref() == identifier(event)
            && self.ends_with(event)
    }

    /// Whether the row expires when the event does, or earlier if retention rules may limit its kind.
    fn ends_with(&self, event: &Event) -> bool {
        let own = expires_at(event);
        let is_earlier = |end: u64| own.is_none_or(|own| end < own);
        self.expires_at == own
            || RetentionRules::may_be_for(event.kind) && self.expires_at.is_some_and(is_earlier)
    }
}

/// Every index of events: its name, the condition that joins an event `e` to its entry `i`, and which events it
/// covers.
const INDEXES: [(&str, &str, &str); 5] = [
    ("event_by_id", "i.id = e.id", "true"),
    ("event_by_author", "i.pubkey = e.pubkey AND i.kind = e.kind", "true"),
    ("event_by_kind", "i.kind = e.kind", "true"),
    (
        "event_by_version",
        "i.identifier IS NOT NULL AND i.pubkey = e.pubkey AND i.kind = e.kind AND i.identifier = e.identifier",
        "identifier IS NOT NULL",
    ),
    ("event_by_expiry", "i.expires_at IS NOT NULL AND i.expires_at = e.expires_at", "expires_at IS NOT NULL"),
];

impl<S: Sql> Store<S> {
    /// Checks the next `at_most` events: that each can be read, and agrees with its columns, its tags, every index and
    /// the deletions. When all events are checked, also looks for entries that belong to no event.
    ///
    /// Does not verify ids and signatures again. Writes during a check can look like inconsistencies.
    ///
    /// # Errors
    /// When the database fails.
    pub fn check(
        &self,
        progress: &mut IntegrityProgress,
        at_most: u32,
    ) -> Result<Vec<Inconsistency>, SqlError> {
        let page: Vec<StoredRow> = self.sql.rows(
            "SELECT seq, id, pubkey, created_at, kind, identifier, expires_at, json
             FROM event NOT INDEXED WHERE seq > ? ORDER BY seq LIMIT ?",
            values![progress.after, at_most],
        )?;
        let Some(last) = page.last().map(|last| last.seq) else {
            progress.is_done = true;
            return self.check_totals(progress);
        };
        let mut inconsistencies = Vec::new();
        let mut tags = Vec::new();
        for found in &page {
            match Event::from_json(&found.json) {
                Err(_) => inconsistencies.push(Inconsistency::Unreadable(found.seq)),
                Ok(event) if !found.is(&event) => inconsistencies.push(Inconsistency::Columns(found.seq)),
                Ok(event) => tags.extend(
                    TagKey::of(&event)
                        .iter()
                        .map(|key| format!("[{},{},{}]", hex_string(key.as_bytes()), found.seq, event.kind)),
                ),
            }
        }
        let missing: Vec<(u64,)> = self.sql.rows(
            "SELECT DISTINCT value ->> 1 FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM tag
             WHERE key = unhex(value ->> 0) AND seq = value ->> 1 AND kind = value ->> 2)",
            values![&json_list(tags.iter())],
        )?;
        inconsistencies.extend(missing.into_iter().map(|(seq,)| Inconsistency::TagMissing(seq)));
        self.check_indexes(progress.after, last, &mut inconsistencies)?;
        self.check_forbidden(progress.after, last, &mut inconsistencies)?;
        progress.after = last;
        progress.events = progress.events.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        progress.tags = progress.tags.saturating_add(u64::try_from(tags.len()).unwrap_or(u64::MAX));
        Ok(inconsistencies)
    }

    fn check_indexes(&self, after: u64, last: u64, into: &mut Vec<Inconsistency>) -> Result<(), SqlError> {
        for (index, leads, has) in INDEXES {
            let statement = format!(
                "SELECT e.seq FROM event AS e NOT INDEXED WHERE e.seq > ? AND e.seq <= ? AND e.{has}
                 AND NOT EXISTS (SELECT 1 FROM event AS i INDEXED BY {index} WHERE {leads} AND i.seq = e.seq)"
            );
            let statement = statement.replace("e.true", "true");
            let lost: Vec<(u64,)> = self.sql.rows(&statement, values![after, last])?;
            into.extend(lost.into_iter().map(|(row_key,)| Inconsistency::Index { index, row_key }));
        }
        Ok(())
    }

    fn check_forbidden(&self, after: u64, last: u64, into: &mut Vec<Inconsistency>) -> Result<(), SqlError> {
        let statement = format!(
            "SELECT e.seq FROM event AS e NOT INDEXED WHERE e.seq > ? AND e.seq <= ? AND (
                 e.kind NOT IN (5, 62) AND EXISTS (SELECT 1 FROM deleted WHERE id = e.id AND pubkey = e.pubkey)
                 OR EXISTS (SELECT 1 FROM deleted_address AS d WHERE d.pubkey = e.pubkey AND d.kind = e.kind
                            AND d.identifier = e.identifier AND d.until >= e.created_at)
                 OR EXISTS (SELECT 1 FROM vanished AS v
                            WHERE v.pubkey = e.pubkey AND v.until >= e.created_at AND v.request <> e.id)
             ) {NOT_VANISHING}"
        );
        let forbidden: Vec<(u64,)> = self.sql.rows(&statement, values![after, last])?;
        into.extend(forbidden.into_iter().map(|(seq,)| Inconsistency::Forbidden(seq)));
        Ok(())
    }

    fn check_totals(&self, progress: &IntegrityProgress) -> Result<Vec<Inconsistency>, SqlError> {
        let count = |statement: &str| -> Result<u64, SqlError> {
            Ok(self.sql.first::<(u64,)>(statement, &[])?.map_or(0, |(count,)| count))
        };
        let mut inconsistencies = Vec::new();
        for (index, _, has) in INDEXES {
            let expected = count(&format!("SELECT count(*) FROM event NOT INDEXED WHERE {has}"))?;
            let found = count(&format!("SELECT count(*) FROM event INDEXED BY {index} WHERE {has}"))?;
            if expected != found {
                inconsistencies.push(Inconsistency::IndexLength { index, expected, found });
            }
        }
        // Every tag of every event was found, so any difference is a surplus.
        let tags = count("SELECT count(*) FROM tag")?;
        if tags > progress.tags {
            inconsistencies.push(Inconsistency::TagsTooMany(tags.saturating_sub(progress.tags)));
        }
        let versions: Vec<(u64,)> = self.sql.rows(
            "SELECT min(seq) FROM event NOT INDEXED WHERE identifier IS NOT NULL
             GROUP BY pubkey, kind, identifier HAVING count(*) > 1 LIMIT 100",
            &[],
        )?;
        inconsistencies.extend(versions.into_iter().map(|(seq,)| Inconsistency::Versions(seq)));
        Ok(inconsistencies)
    }
}
