//! Events in SQL: each once, as the JSON it is sent as, findable by every field of a filter.

mod batch;
mod bounded;
mod check;
mod count;
mod deletion;
mod erase;
mod expiry;
mod export;
mod few;
mod handover;
mod management;
mod ordinary;
mod place;
mod plan;
mod query;
mod schema;
mod search;
mod select;
mod sessions;
mod standing;
mod statement;
mod statistics;
mod vanish;
mod viewer;

#[cfg(test)]
pub(crate) mod tests;

use openagents_host::sql::{SchemaError, Sql, SqlError, values};
use openagents_host::{EventId, Timestamp, VerifiedEvent};

pub use self::check::{Disagreement, Progress};
pub use self::count::{Count, Coverage};
pub use self::expiry::expiry;
pub use self::standing::{Standing, VANISH};
pub use self::statistics::Statistics;
pub use self::viewer::Viewer;

use self::erase::Doomed;
use self::place::Place;
use self::standing::{DELETION, Version, identifier};
use self::statement::{hex_string, json_list};
use crate::retention::RetentionRules;
use crate::tag::TagKey;

/// What became of an event that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored.
    Inserted,
    /// It was stored before.
    Duplicate,
    /// A newer version of the same replaceable or addressable event is stored.
    Superseded,
    /// Its author, or whom it is a gift wrap for, asked for its deletion (NIP-09, NIP-59).
    Deleted,
    /// Its author, or whom it is a gift wrap for, asked to vanish after it was made (NIP-62).
    Vanished,
    /// It is expired (NIP-40).
    Expired,
    /// So many events claim its second that none of the places tried for it is free.
    Crowded,
}

/// The relay's database.
#[derive(Clone, Debug)]
pub struct Store<S> {
    sql: S,
    retention: RetentionRules,
}

impl<S: Sql> Store<S> {
    /// Opens the store; makes its tables or brings them up to date.
    ///
    /// # Errors
    /// When the tables are of a later release, are others than this one's, or cannot be made.
    pub fn open(sql: S) -> Result<Self, SchemaError> {
        schema::migrate(&sql)?;
        search::migrate(&sql)?;
        Ok(Self { sql, retention: RetentionRules::none() })
    }

    /// The store in a database that is open elsewhere, where [`open`](Self::open) was called: to read it.
    pub const fn beside(sql: S) -> Self {
        Self { sql, retention: RetentionRules::none() }
    }

    /// Keeps what is stored from now on for as long as these rules say. What is there already stays as long as it was to.
    #[must_use]
    pub fn with_retention(self, retention: RetentionRules) -> Self {
        Self { retention, ..self }
    }

    /// How long it keeps what.
    pub const fn retention(&self) -> &RetentionRules {
        &self.retention
    }

    /// The database.
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Whether an event is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn contains(&self, id: &EventId) -> Result<bool, SqlError> {
        let found: Option<(u64,)> = self.sql.first("SELECT seq FROM event WHERE id = ?", values![id])?;
        Ok(found.is_some())
    }

    /// Stores an event, in one transaction. Of the versions of a replaceable or addressable event only the latest
    /// stays; of two of the same second the one with the lower id (NIP-01). A deletion request does its work (NIP-09).
    /// A request to vanish is kept like any other event: [`vanish`](Self::vanish) is for one that is meant for this relay.
    ///
    /// Ephemeral events are stored like regular ones: not to call this with one is up to the caller.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn insert(&self, now: Timestamp, event: &VerifiedEvent) -> Result<Insertion, SqlError> {
        let standing = self.standing(now, event)?;
        self.insert_as(event, &standing)
    }

    /// Stores an event whose [`standing`](Self::standing) is known.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn insert_as(&self, event: &VerifiedEvent, standing: &Standing) -> Result<Insertion, SqlError> {
        if let Some(refusal) = standing.refusal() {
            return Ok(refusal);
        }
        let place = match standing.is_place_taken {
            true => Place::free(&self.sql, event)?,
            false => Some(Place::of(event)),
        };
        let Some(place) = place else { return Ok(Insertion::Crowded) };
        if standing.replaced.is_none() && event.kind != DELETION {
            self.write(event, place, standing)?;
            return Ok(Insertion::Inserted);
        }
        self.sql.transaction(|| {
            if let Some(Version { seq, json, .. }) = &standing.replaced {
                self.erase(&[Doomed { seq: *seq, json: json.clone() }])?;
            }
            self.write(event, place, standing)?;
            if event.kind == DELETION {
                self.delete(event)?;
            }
            Ok(Insertion::Inserted)
        })
    }

    /// Writes an event and its tags. A transaction within another one costs more than both statements, so there is none: if
    /// the rest cannot be written, the event is taken back.
    fn write(&self, event: &VerifiedEvent, place: Place, standing: &Standing) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO event (seq, id, pubkey, created_at, kind, identifier, expires_at, json)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                place.seq(),
                &event.id,
                &event.pubkey,
                event.created_at,
                event.kind,
                identifier(event),
                standing.ends_at,
                &**event.json()
            ],
        )?;
        let keys = TagKey::of(event);
        let keys = json_list(keys.iter().map(|key| hex_string(key.as_bytes())));
        self.write_beside(event, place, standing, &keys).inspect_err(|_| {
            let _ = self.sql.execute("DELETE FROM event WHERE seq = ?", values![place.seq()]);
            let _ = self.sql.execute(
                "DELETE FROM tag WHERE seq = ? AND key IN (SELECT unhex(value) FROM json_each(?))",
                values![place.seq(), &keys],
            );
        })
    }

    /// Writes what leads to an event. If it fails, some of that may be there.
    fn write_beside(
        &self,
        event: &VerifiedEvent,
        place: Place,
        standing: &Standing,
        keys: &str,
    ) -> Result<(), SqlError> {
        if keys != "[]" {
            // `FAIL`, since for what `ABORT` may undo SQLite copies every page before it is changed.
            self.sql.execute(
                "INSERT OR FAIL INTO tag (key, seq, kind) SELECT unhex(value), ?, ? FROM json_each(?)",
                values![place.seq(), event.kind, keys],
            )?;
        }
        if standing.is_late || standing.is_place_taken {
            self.index_late(place)?;
        }
        Ok(())
    }
}
