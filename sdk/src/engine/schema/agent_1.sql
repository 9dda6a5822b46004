-- Every request that this agent took, in the order of arrival.
CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    customer BLOB NOT NULL,
    -- The request's event as JSON.
    request TEXT NOT NULL,
    -- queued, running, done or failed.
    state TEXT NOT NULL,
    -- How many leases were given.
    attempt INTEGER NOT NULL,
    -- While queued: not before. While running: when the lease runs out. In milliseconds.
    due INTEGER,
    received_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE INDEX job_queued ON job (seq) WHERE state = 'queued';
CREATE INDEX job_queued_due ON job (due) WHERE state = 'queued';
CREATE INDEX job_running_due ON job (due) WHERE state = 'running';

-- Signed events that no relay has confirmed yet, in the order they must arrive in.
CREATE TABLE outbox (
    entry INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_due ON outbox (due);

-- The agent's struct as JSON, as the last exclusive job left it.
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    json TEXT NOT NULL,
    version INTEGER NOT NULL,
    stored_at INTEGER NOT NULL
) STRICT;
