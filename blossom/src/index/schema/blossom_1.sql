-- Blobs that somebody owns. Times are in seconds since the Unix epoch.
CREATE TABLE blob (
    hash BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    uploaded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who owns which blob, since when and until when.
CREATE TABLE blob_owner (
    hash BLOB NOT NULL,
    owner BLOB NOT NULL,
    uploaded INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (hash, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_owner_by_upload ON blob_owner (owner, uploaded DESC, hash);
CREATE INDEX blob_owner_by_end ON blob_owner (expires) WHERE expires IS NOT NULL;

-- How much each owner has.
CREATE TABLE owner (
    pubkey BLOB PRIMARY KEY,
    blobs INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Uploads that have begun, where bytes are visible before they are committed. `due`, in milliseconds, is when the host is
-- asked whether the bytes arrived.
CREATE TABLE reservation (
    hash BLOB NOT NULL,
    owner BLOB NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    due INTEGER NOT NULL,
    PRIMARY KEY (hash, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_by_time ON reservation (due);

-- Blobs without an owner whose bytes are still to be removed. `due`, in milliseconds, is when that is tried again.
CREATE TABLE removal (
    hash BLOB PRIMARY KEY,
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX removal_by_time ON removal (due);

-- Blobs that the operator does not accept.
CREATE TABLE blocked_blob (
    hash BLOB PRIMARY KEY,
    reason TEXT NOT NULL,
    blocked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Reports of blobs (BUD-09).
CREATE TABLE blob_report (
    number INTEGER PRIMARY KEY,
    event BLOB NOT NULL,
    hash BLOB NOT NULL,
    reporter BLOB NOT NULL,
    what TEXT NOT NULL,
    text TEXT NOT NULL,
    reported INTEGER NOT NULL,
    UNIQUE (event, hash)
) STRICT;
