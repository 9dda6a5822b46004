-- Events by which operators authorized a change (NIP-98): each is accepted once.
CREATE TABLE used_operator_token (
    event BLOB PRIMARY KEY,
    -- When nothing accepts it any more, in milliseconds.
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
