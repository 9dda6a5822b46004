-- Outside relays that are visited for requests, where a standing connection is too dear.
CREATE TABLE visit (
    relay TEXT PRIMARY KEY,
    -- What was made since then is asked for at the next visit, in seconds.
    since INTEGER NOT NULL,
    due INTEGER NOT NULL,
    -- How many visits in a row were in vain.
    failures INTEGER NOT NULL,
    -- When a request last came from there.
    request_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Outside relays that answers were not delivered to, since they were last reached.
CREATE TABLE unreached (
    relay TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    -- They are let alone until then.
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX unreached_until ON unreached (until);

-- Outside relays on which a request was seen again, after the one that is on record with its job.
CREATE TABLE job_source (
    job BLOB NOT NULL,
    relay TEXT NOT NULL,
    PRIMARY KEY (job, relay)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_relay ON outbox (relay, entry) WHERE relay IS NOT NULL;
