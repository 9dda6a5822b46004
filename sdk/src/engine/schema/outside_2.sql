-- External relays of which a poll has read only the newest events: the next poll goes on from there.
CREATE TABLE unfinished_poll (
    relay TEXT PRIMARY KEY,
    -- When the first of these polls began, in milliseconds. Later events come afterwards.
    began_at INTEGER NOT NULL,
    -- The `created_at` up to which events are still to be read, in seconds.
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
