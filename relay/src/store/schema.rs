//! The store's tables.

use openagents_host::sql::{self, SchemaError, Sql};

/// Creates or migrates the relay's tables.
pub(super) fn migrate<S: Sql>(sql: &S) -> Result<(), SchemaError> {
    sql::migrate(sql, "relay", &[EVENTS, MANAGEMENT, USED_TOKENS, HANDOVER_BATCHES])
}

/// An index entry costs as much as a table row, so there is one index for each way to find events, and indexes that
/// only some events need are partial. An event without tags takes four rows, and each indexed tag one more.
///
/// * `seq` is the event's row key ([`RowKey`](super::row_key::RowKey)). Every index ends with it, so all are in answer
///   order and none repeats the time.
/// * `identifier` is NULL for kinds that are not replaceable, empty for replaceable ones, the `d` value for
///   addressable ones.
/// * `tag` repeats the kind, so that a query by tag and kind reads only events that it returns.
/// * `deleted` and `deleted_address` are refused from then on (NIP-09): an id of this author, or versions up to a
///   second.
/// * `vanished` are authors whose events up to a second are refused, except the `request` itself (NIP-62). `vanishing`
///   are those with events still to be removed; `key` is the `p` tag of gift wraps for them.
/// * `handover.json` is the event if it is not stored (ephemeral kinds), else NULL.
const EVENTS: &str = "
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    pubkey BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    identifier TEXT,
    expires_at INTEGER,
    json TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_by_id ON event (id);
CREATE INDEX event_by_author ON event (pubkey, kind);
CREATE INDEX event_by_kind ON event (kind);
CREATE UNIQUE INDEX event_by_version ON event (pubkey, kind, identifier) WHERE identifier IS NOT NULL;
CREATE INDEX event_by_expiry ON event (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE tag (
    key BLOB NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE deleted (
    id BLOB NOT NULL,
    pubkey BLOB NOT NULL,
    PRIMARY KEY (id, pubkey)
) STRICT, WITHOUT ROWID;

CREATE TABLE deleted_address (
    pubkey BLOB NOT NULL,
    kind INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (pubkey, kind, identifier)
) STRICT, WITHOUT ROWID;

CREATE TABLE vanished (
    pubkey BLOB PRIMARY KEY,
    until INTEGER NOT NULL,
    request BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE vanishing (
    pubkey BLOB PRIMARY KEY,
    until INTEGER NOT NULL,
    request BLOB NOT NULL,
    key BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE handover (
    id BLOB PRIMARY KEY,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    json TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    connection TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Changes made by operators while the relay runs (NIP-86).
///
/// * `listed.subject` is what NIP-86 identifies the entry by: a key or an id in hex, a number, or an address.
/// * `purge` has the banned authors whose events are still to be removed.
const MANAGEMENT: &str = "
CREATE TABLE listed (
    list TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (list, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE wording (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE purge (
    pubkey BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// The signed events (NIP-98) with which operators have recently managed the relay, and until when each must be
/// remembered so that it cannot be used again.
const USED_TOKENS: &str = "
CREATE TABLE used_token (
    id BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Events that were stored together and are being handed over: their ids one after another, 32 bytes each.
const HANDOVER_BATCHES: &str = "
CREATE TABLE handover_batch (
    number INTEGER PRIMARY KEY,
    ids BLOB NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;
";
