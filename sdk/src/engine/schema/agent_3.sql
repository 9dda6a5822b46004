-- What the agent announced about itself last: one row for each address (NIP-01) that ever held an announcement.
CREATE TABLE announcement (
    kind INTEGER NOT NULL,
    -- Empty for kinds without one.
    d TEXT NOT NULL,
    -- Of what was announced; nothing once it was deleted.
    digest BLOB,
    -- The last event's `created_at`, in milliseconds: the next one must be later.
    published_at INTEGER NOT NULL,
    PRIMARY KEY (kind, d)
) STRICT, WITHOUT ROWID;
