//! What the store must know before it inserts an event: duplicate, deleted, vanished, replaced, expired.

use std::cmp::Reverse;

use openagents_host::nostr::{KindClass, MAX_CREATED_AT};
use openagents_host::sql::{FromRow, Row, Sql, SqlError, values};
use openagents_host::{Event, EventId, Kind, PublicKey, Timestamp};

use crate::store::row_key::RowKey;
use crate::store::statement::{hex_string, json_list};
use crate::store::{Insertion, Store};

/// Deletion requests (NIP-09).
pub(in crate::store) const DELETION: Kind = Kind(5);
/// Requests to vanish (NIP-62).
pub const VANISH: Kind = Kind(62);
/// Gift wraps (NIP-59).
pub(in crate::store) const GIFT_WRAP: Kind = Kind(1059);

/// What has to be known to insert or to refuse an event, read by one statement. It is valid until something is written.
#[derive(Debug)]
pub struct Precheck {
    refusal: Option<Insertion>,
    /// The row key of the event is another one's.
    pub(in crate::store) is_row_key_taken: bool,
    /// The index of words is past the event's row key.
    pub(in crate::store) is_late: bool,
    /// What the event replaces.
    pub(in crate::store) replaced: Option<StoredVersion>,
    /// The second from which on it is expired.
    pub(in crate::store) ends_at: Option<u64>,
}

impl Precheck {
    /// Why the event is not going to be stored, if so.
    #[must_use]
    pub const fn refusal(&self) -> Option<Insertion> {
        self.refusal
    }

    /// The precheck of an event that is unknown to the store and expires at this second.
    const fn fresh(ends_at: Option<u64>) -> Self {
        Self { refusal: None, is_row_key_taken: false, is_late: false, replaced: None, ends_at }
    }

    /// Whether the event, once it is stored, invalidates the prechecks of events other than itself and what it
    /// replaces: it asks for their deletion, or takes the place of one that has none yet.
    #[must_use]
    pub const fn changes_others(&self, event: &Event) -> bool {
        self.is_row_key_taken || matches!(event.kind, DELETION | VANISH)
    }

    fn refused(refusal: Insertion) -> Self {
        Self { refusal: Some(refusal), ..Self::fresh(None) }
    }
}

/// A stored event that another one replaces: the older version of a replaceable or addressable one.
#[derive(Debug)]
pub(in crate::store) struct StoredVersion {
    pub(in crate::store) seq: u64,
    pub(in crate::store) json: String,
    created_at: u64,
    id: EventId,
    expires_at: Option<u64>,
}

/// What somebody whom a gift wrap is for has asked for.
#[derive(Default)]
struct ByAddressee {
    /// To vanish, after the wrap was made (NIP-62).
    has_vanished: bool,
    /// Its deletion (NIP-09).
    is_deleted: bool,
}

/// One row that answers everything. The columns of a version follow for events that have versions.
struct PrecheckRow {
    /// If it is stored, the second from which on it is expired: one after all others where it is none.
    stored_until: Option<u64>,
    is_deleted: bool,
    has_vanished: bool,
    is_row_key_taken: bool,
    is_late: bool,
    deleted_until: Option<u64>,
    version: Option<StoredVersion>,
}

impl FromRow for PrecheckRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        let version = match row.column::<Option<u64>>(6)? {
            None => None,
            Some(seq) => Some(StoredVersion {
                seq,
                created_at: row.column(7)?,
                id: row.column(8)?,
                json: row.column(9)?,
                expires_at: row.column(10)?,
            }),
        };
        Ok(Self {
            stored_until: row.column(0)?,
            is_deleted: row.column(1)?,
            has_vanished: row.column(2)?,
            is_row_key_taken: row.column(3)?,
            is_late: row.column(4)?,
            deleted_until: row.column(5)?,
            version,
        })
    }
}

// Values by their numbers: on a Durable Object each of them becomes an object, however often it is used.
macro_rules! precheck_columns {
    () => {
        "SELECT (SELECT coalesce(expires_at, 9007199254740991) FROM event WHERE id = ?1),
                EXISTS (SELECT 1 FROM deleted WHERE id = ?1 AND pubkey = ?2),
                EXISTS (SELECT 1 FROM vanished WHERE pubkey = ?2 AND until >= ?3 AND request <> ?1),
                EXISTS (SELECT 1 FROM event WHERE seq = ?4),
                (SELECT seq FROM search_progress) >= ?4"
    };
}

const REGULAR_QUERY: &str = precheck_columns!();

const VERSION_QUERY: &str = concat!(
    precheck_columns!(),
    ", (SELECT until FROM deleted_address WHERE pubkey = ?2 AND kind = ?5 AND identifier = ?6),
       version.seq, version.created_at, version.id, version.json, version.expires_at
     FROM (SELECT 1) LEFT JOIN event AS version INDEXED BY event_by_version
       ON version.pubkey = ?2 AND version.kind = ?5 AND version.identifier = ?6 AND version.identifier IS NOT NULL"
);

impl<S: Sql> Store<S> {
    /// How the store stands to an event, in one statement, or two for a gift wrap. A relay asks before it verifies the
    /// signature, which costs more than this.
    ///
    /// # Errors
    /// When the database fails.
    pub fn precheck(&self, now: Timestamp, event: &Event) -> Result<Precheck, SqlError> {
        if expires_at(event).is_some_and(|second| second <= now.as_seconds()) {
            return Ok(Precheck::refused(Insertion::Expired));
        }
        let answer = self.answer(event)?;
        if answer.has_vanished {
            return Ok(Precheck::refused(Insertion::Vanished));
        }
        let by_addressee =
            if event.kind == GIFT_WRAP { self.by_addressee(event)? } else { ByAddressee::default() };
        if by_addressee.has_vanished {
            return Ok(Precheck::refused(Insertion::Vanished));
        }
        if answer.stored_until.is_some_and(|until| until > now.as_seconds()) {
            return Ok(Precheck::refused(Insertion::Duplicate));
        }
        // Neither a deletion nor a request to vanish can be deleted (NIP-09, NIP-62).
        let is_deletable = !matches!(event.kind, DELETION | VANISH);
        if is_deletable && (answer.is_deleted || by_addressee.is_deleted)
            || answer.deleted_until.is_some_and(|until| event.created_at <= until)
        {
            return Ok(Precheck::refused(Insertion::Deleted));
        }
        let rank = |created_at: u64, id: EventId| (created_at, Reverse(id));
        if let Some(stored) = &answer.version
            && stored.expires_at.is_none_or(|second| second > now.as_seconds())
            && rank(stored.created_at, stored.id) > rank(event.created_at, event.id)
        {
            return Ok(Precheck::refused(Insertion::Superseded));
        }
        let replaced = match (answer.version, answer.stored_until) {
            (None, Some(_)) => self.lapsed(event)?,
            (version, _) => version,
        };
        let seq = RowKey::of(event).seq();
        let is_row_key_taken = answer.is_row_key_taken && replaced.as_ref().is_none_or(|old| old.seq != seq);
        Ok(Precheck {
            refusal: None,
            is_row_key_taken,
            is_late: answer.is_late,
            replaced,
            ends_at: self.ends_at(now, event),
        })
    }

    /// The precheck of an event that [`are_fresh`](Self::are_fresh) said to be fresh.
    pub fn precheck_fresh(&self, now: Timestamp, event: &Event) -> Precheck {
        Precheck::fresh(self.ends_at(now, event))
    }

    /// The event itself, of which the time is over for which its kind is kept, and which is not removed yet.
    fn lapsed(&self, event: &Event) -> Result<Option<StoredVersion>, SqlError> {
        let row: Option<(u64, String, Option<u64>)> =
            self.sql.first("SELECT seq, json, expires_at FROM event WHERE id = ?", values![&event.id])?;
        let (created_at, id) = (event.created_at, event.id);
        Ok(row.map(|(seq, json, expires_at)| StoredVersion { seq, json, created_at, id, expires_at }))
    }

    fn answer(&self, event: &Event) -> Result<PrecheckRow, SqlError> {
        let seq = RowKey::of(event).seq();
        // It may not be verified yet.
        let at = event.created_at.min(MAX_CREATED_AT);
        let (id, author, kind) = (&event.id, &event.pubkey, event.kind);
        let answer = match identifier(event) {
            None => self.sql.first(REGULAR_QUERY, values![id, author, at, seq])?,
            Some(name) => self.sql.first(VERSION_QUERY, values![id, author, at, seq, kind, name])?,
        };
        answer.ok_or_else(|| SqlError::Statement("a statement that always has a row had none".to_owned()))
    }

    /// What those whom a gift wrap is for want of it (NIP-59).
    fn by_addressee(&self, wrap: &Event) -> Result<ByAddressee, SqlError> {
        let addressees = wrap.tag_values("p").filter_map(|value| PublicKey::from_hex(value).ok());
        let addressees = json_list(addressees.map(|pubkey| hex_string(pubkey.as_bytes())));
        let found: Option<(bool, bool)> = self.sql.first(
            "SELECT EXISTS (SELECT 1 FROM json_each(?1) CROSS JOIN vanished ON pubkey = unhex(value) AND until >= ?2),
                    EXISTS (SELECT 1 FROM json_each(?1) CROSS JOIN deleted ON deleted.id = ?3 AND pubkey = unhex(value))",
            values![&addressees, wrap.created_at.min(MAX_CREATED_AT), &wrap.id],
        )?;
        Ok(found.map_or_else(ByAddressee::default, |(has_vanished, is_deleted)| ByAddressee {
            has_vanished,
            is_deleted,
        }))
    }
}

/// What distinguishes the events that replace each other, beside pubkey and kind; `None` if nothing replaces it.
pub(in crate::store) fn identifier(event: &Event) -> Option<&str> {
    match event.kind.class() {
        KindClass::Replaceable => Some(""),
        KindClass::Addressable => Some(event.identifier()),
        KindClass::Regular | KindClass::Ephemeral => None,
    }
}

/// The second from which on the event is expired (NIP-40).
pub(in crate::store) fn expires_at(event: &Event) -> Option<u64> {
    let seconds: u64 = event.tag_values("expiration").next()?.parse().ok()?;
    (seconds <= MAX_CREATED_AT).then_some(seconds)
}
