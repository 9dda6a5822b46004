//! Events in SQL: each once, as the JSON it is sent as, findable by every field of a filter.

mod handover;
mod schema;
mod select;
mod sessions;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::event::{MAX_CREATED_AT, Retention};
use openagents_host::sql::{FromRow, SchemaError, Sql, SqlError, Value, values};
use openagents_host::{Event, EventId, VerifiedEvent};

use crate::filter::Filter;
use crate::limits::Limits;
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
}

/// The relay's database.
#[derive(Clone, Debug)]
pub struct Store<S> {
    sql: S,
}

impl<S: Sql> Store<S> {
    /// Opens the store; makes its tables or brings them up to date.
    ///
    /// # Errors
    /// When the tables are of a later release or cannot be made.
    pub fn open(sql: S) -> Result<Self, SchemaError> {
        schema::migrate(&sql)?;
        Ok(Self { sql })
    }

    /// The store in a database that is open elsewhere, where [`open`](Self::open) was called: to read it.
    pub const fn beside(sql: S) -> Self {
        Self { sql }
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
    /// stays; of two of the same second the one with the lower id (NIP-01).
    ///
    /// Ephemeral events are stored like regular ones: not to call this with one is up to the caller.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn insert(&self, event: &VerifiedEvent) -> Result<Insertion, SqlError> {
        self.sql.transaction(|| {
            let identifier = identifier(event);
            if let Some(identifier) = identifier
                && let Some(stored) = self.version(event, identifier)?
            {
                if stored.id == event.id {
                    return Ok(Insertion::Duplicate);
                }
                if (stored.created_at, Reverse(stored.id)) > (event.created_at, Reverse(event.id)) {
                    return Ok(Insertion::Superseded);
                }
                self.remove(&stored)?;
            }
            let inserted: Option<(u64,)> = self.sql.first(
                "INSERT INTO event (id, pubkey, created_at, kind, identifier, expires_at, json)
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING seq",
                values![
                    &event.id,
                    &event.pubkey,
                    event.created_at,
                    event.kind,
                    identifier,
                    expiration(event),
                    &**event.json()
                ],
            )?;
            let Some((seq,)) = inserted else {
                return Ok(Insertion::Duplicate);
            };
            if let Some(keys) = tag_keys(event) {
                self.sql.execute(
                    "INSERT INTO tag (key, created_at, seq, kind) SELECT unhex(value), ?, ?, ? FROM json_each(?)",
                    values![event.created_at, seq, event.kind, &keys],
                )?;
            }
            Ok(Insertion::Inserted)
        })
    }

    fn version(&self, event: &Event, identifier: &str) -> Result<Option<Stored>, SqlError> {
        self.sql.first(
            "SELECT seq, created_at, id, json FROM event
             WHERE pubkey = ? AND kind = ? AND identifier = ? AND identifier IS NOT NULL",
            values![&event.pubkey, event.kind, identifier],
        )
    }

    fn remove(&self, stored: &Stored) -> Result<(), SqlError> {
        if let Some(keys) = Event::from_json(&stored.json).ok().and_then(|event| tag_keys(&event)) {
            self.sql.execute(
                "DELETE FROM tag
                 WHERE key IN (SELECT unhex(value) FROM json_each(?)) AND created_at = ? AND seq = ?",
                values![&keys, stored.created_at, stored.seq],
            )?;
        }
        self.sql.execute("DELETE FROM event WHERE seq = ?", values![stored.seq])
    }

    /// Hands the JSON of the stored events that match any of the filters to `each`: newest first, of those of
    /// the same second the lowest id first, each once. Every filter brings no more than its own limit,
    /// and together they bring no more bytes than an answer may have.
    ///
    /// # Errors
    /// When the database fails.
    pub fn query(
        &self,
        filters: &[Filter],
        limits: &Limits,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<(), SqlError> {
        let mut hits = Vec::new();
        for filter in filters {
            let limit = limits.stored_events(filter);
            if limit > 0 && !filter.matches_nothing() {
                let select = select::Select::new(filter, limit);
                hits.extend(self.sql.rows::<Hit>(select.statement(), &select.values())?);
            }
        }
        if filters.len() > 1 {
            hits.sort_unstable_by_key(|hit| (Reverse(hit.created_at), hit.id));
            hits.dedup_by_key(|hit| hit.id);
        }
        let mut left = limits.max_answer_length;
        let fitting = hits.iter().map_while(|hit| {
            left = left.checked_sub(hit.length)?;
            Some(hit.seq)
        });
        let seqs = json_list(fitting.map(|seq| seq.to_string()));
        // The join goes through the list in its order: CROSS JOIN forbids to turn it round.
        self.sql.query(
            "SELECT e.json FROM json_each(?) AS hit CROSS JOIN event AS e ON e.seq = hit.value",
            values![&seqs],
            &mut |row| {
                each(row.column::<&str>(0)?.into());
                Ok(ControlFlow::Continue(()))
            },
        )
    }
}

/// An event that was found, before its text is read.
struct Hit {
    seq: u64,
    created_at: u64,
    id: EventId,
    length: usize,
}

impl FromRow for Hit {
    fn from_row(row: &openagents_host::sql::Row<'_>) -> Result<Self, SqlError> {
        Ok(Self {
            seq: row.column(0)?,
            created_at: row.column(1)?,
            id: row.column(2)?,
            length: usize::try_from(row.column::<u64>(3)?).unwrap_or(usize::MAX),
        })
    }
}

/// The stored version of a replaceable or addressable event.
struct Stored {
    seq: u64,
    created_at: u64,
    id: EventId,
    json: String,
}

impl FromRow for Stored {
    fn from_row(row: &openagents_host::sql::Row<'_>) -> Result<Self, SqlError> {
        Ok(Self { seq: row.column(0)?, created_at: row.column(1)?, id: row.column(2)?, json: row.column(3)? })
    }
}

/// What distinguishes the events that replace each other, beside pubkey and kind; `None` if nothing replaces it.
fn identifier(event: &Event) -> Option<&str> {
    match event.kind.retention() {
        Retention::Replaceable => Some(""),
        Retention::Addressable => Some(event.identifier()),
        Retention::Regular | Retention::Ephemeral => None,
    }
}

/// When the event expires (NIP-40).
fn expiration(event: &Event) -> Option<u64> {
    let seconds: u64 = event.tag_values("expiration").next()?.parse().ok()?;
    (seconds <= MAX_CREATED_AT).then_some(seconds)
}

/// The keys of the event's indexed tags as a JSON list of hex, if it has any.
fn tag_keys(event: &Event) -> Option<String> {
    let keys = TagKey::of(event);
    (!keys.is_empty()).then(|| json_list(keys.iter().map(|key| hex_string(key.as_bytes()))))
}

fn hex_string(bytes: &[u8]) -> String {
    format!("\"{}\"", base16ct::lower::encode_string(bytes))
}

/// A list of JSON values. It is one bound value, of which a statement may have only a hundred.
fn json_list(values: impl Iterator<Item = String>) -> String {
    let mut list = String::from("[");
    for value in values {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&value);
    }
    list.push(']');
    list
}

/// A value that a statement owns until it has run.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Integer(u64),
    Text(String),
    Blob(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Integer(integer) => (*integer).into(),
            Self::Text(text) => text.into(),
            Self::Blob(bytes) => bytes.as_slice().into(),
        }
    }
}
