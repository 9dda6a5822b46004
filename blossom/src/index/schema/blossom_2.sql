-- Keys that an operator has banned (NIP-86): they may not upload, and own nothing.
CREATE TABLE banned_owner (
    pubkey BLOB PRIMARY KEY,
    banned INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_report_by_hash ON blob_report (hash);
