//! The state that decides whether an event can be inserted: duplicate, deleted, vanished, replaced, expired.

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

/// What must be known to insert or refuse an event, read by one statement. It is valid until the next write.
#[derive(Debug)]
pub struct Precheck {
    refusal: Option<Insertion>,
    /// The JSON of the stored event with its id, if that is why it is refused.
    stored_json: Option<String>,
    /// Whether another event has its row key.
    pub(in crate::store) is_row_key_taken: bool,
    /// Whether the search index has passed its row key.
    pub(in crate::store) is_late: bool,
    /// The version that it replaces.
    pub(in crate::store) replaced: Option<StoredVersion>,
    /// When it expires, in Unix seconds.
    pub(in crate::store) ends_at: Option<u64>,
}

impl Precheck {
    /// Why the event cannot be stored, if so.
    #[must_use]
    pub const fn refusal(&self) -> Option<Insertion> {
        self.refusal
    }

    /// Whether exactly this event is stored, signature included. Since what is stored was verified, so is the event
    /// then.
    #[must_use]
    pub fn is_stored(&self, event: &Event) -> bool {
        self.stored_json.as_deref().is_some_and(|json| event.is_serialized_as(json))
    }

    /// The precheck of an event that is unknown to the store, with its expiry in Unix seconds.
    const fn fresh(ends_at: Option<u64>) -> Self {
        Self {
            refusal: None,
            stored_json: None,
            is_row_key_taken: false,
            is_late: false,
            replaced: None,
            ends_at,
        }
    }

    /// Whether storing the event invalidates prechecks of events other than itself and the version it replaces: if it
    /// deletes others, or is the first version of a replaceable or addressable event.
    #[must_use]
    pub const fn changes_others(&self, event: &Event) -> bool {
        self.is_row_key_taken || matches!(event.kind, DELETION | VANISH)
    }

    fn refused(refusal: Insertion) -> Self {
        Self { refusal: Some(refusal), ..Self::fresh(None) }
    }
}

/// A stored event that is replaced: the older version of a replaceable or addressable event.
#[derive(Debug)]
pub(in crate::store) struct StoredVersion {
    pub(in crate::store) seq: u64,
    pub(in crate::store) json: String,
    created_at: u64,
    id: EventId,
    expires_at: Option<u64>,
}

/// What the addressee of a gift wrap has requested.
#[derive(Default)]
struct ByAddressee {
    /// To vanish, after the wrap was created (NIP-62).
    has_vanished: bool,
    /// The deletion of the wrap (NIP-09).
    is_deleted: bool,
}

/// The result row of the precheck. For replaceable and addressable events, columns with the stored version follow.
struct PrecheckRow {
    /// If an event with this id is stored: when it expires, or the maximum if it does not.
    stored_until: Option<u64>,
    stored_json: Option<String>,
    is_deleted: bool,
    has_vanished: bool,
    is_row_key_taken: bool,
    is_late: bool,
    deleted_until: Option<u64>,
    version: Option<StoredVersion>,
}

impl FromRow for PrecheckRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        let version = match row.column::<Option<u64>>(7)? {
            None => None,
            Some(seq) => Some(StoredVersion {
                seq,
                created_at: row.column(8)?,
                id: row.column(9)?,
                json: row.column(10)?,
                expires_at: row.column(11)?,
            }),
        };
        Ok(Self {
            stored_until: row.column(0)?,
            stored_json: row.column(1)?,
            is_deleted: row.column(2)?,
            has_vanished: row.column(3)?,
            is_row_key_taken: row.column(4)?,
            is_late: row.column(5)?,
            deleted_until: row.column(6)?,
            version,
        })
    }
}

// Parameters are numbered, because in a Durable Object each bound value becomes a JavaScript object, however often it
// is used.
macro_rules! precheck_columns {
    () => {
        "SELECT (SELECT coalesce(expires_at, 9007199254740991) FROM event WHERE id = ?1),
                (SELECT json FROM event WHERE id = ?1),
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
    /// Reads what decides about an event, in one statement, or two for a gift wrap. It need not be verified, but then
    /// its sender must not be told of a refusal before it is, unless it [is stored](Precheck::is_stored).
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
            let stored_json = answer.stored_json;
            return Ok(Precheck { stored_json, ..Precheck::refused(Insertion::Duplicate) });
        }
        // Neither deletion requests nor requests to vanish can be deleted (NIP-09, NIP-62).
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
            (None, Some(_)) => self.expired_copy(event)?,
            (version, _) => version,
        };
        let seq = RowKey::of(event).seq();
        let is_row_key_taken = answer.is_row_key_taken && replaced.as_ref().is_none_or(|old| old.seq != seq);
        Ok(Precheck {
            refusal: None,
            stored_json: None,
            is_row_key_taken,
            is_late: answer.is_late,
            replaced,
            ends_at: self.ends_at(now, event),
        })
    }

    /// The precheck of an event that [`are_fresh`](Self::are_fresh) reported as fresh.
    pub fn precheck_fresh(&self, now: Timestamp, event: &Event) -> Precheck {
        Precheck::fresh(self.ends_at(now, event))
    }

    /// The stored copy of this event if its retention period has ended but it is not yet removed.
    fn expired_copy(&self, event: &Event) -> Result<Option<StoredVersion>, SqlError> {
        let row: Option<(u64, String, Option<u64>)> =
            self.sql.first("SELECT seq, json, expires_at FROM event WHERE id = ?", values![&event.id])?;
        let (created_at, id) = (event.created_at, event.id);
        Ok(row.map(|(seq, json, expires_at)| StoredVersion { seq, json, created_at, id, expires_at }))
    }

    fn answer(&self, event: &Event) -> Result<PrecheckRow, SqlError> {
        let seq = RowKey::of(event).seq();
        // The signature may not be verified yet.
        let at = event.created_at.min(MAX_CREATED_AT);
        let (id, author, kind) = (&event.id, &event.pubkey, event.kind);
        let answer = match identifier(event) {
            None => self.sql.first(REGULAR_QUERY, values![id, author, at, seq])?,
            Some(name) => self.sql.first(VERSION_QUERY, values![id, author, at, seq, kind, name])?,
        };
        answer.ok_or_else(|| SqlError::Statement("a statement that always has a row had none".to_owned()))
    }

    /// What the addressees of a gift wrap have requested (NIP-59).
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

/// What identifies the versions of an event together with pubkey and kind; `None` if the event cannot be replaced.
pub(in crate::store) fn identifier(event: &Event) -> Option<&str> {
    match event.kind.class() {
        KindClass::Replaceable => Some(""),
        KindClass::Addressable => Some(event.identifier()),
        KindClass::Regular | KindClass::Ephemeral => None,
    }
}

/// When the event expires, in Unix seconds (NIP-40).
pub(in crate::store) fn expires_at(event: &Event) -> Option<u64> {
    let seconds: u64 = event.tag_values("expiration").next()?.parse().ok()?;
    (seconds <= MAX_CREATED_AT).then_some(seconds)
}
