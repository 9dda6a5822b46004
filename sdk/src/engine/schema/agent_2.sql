-- Every state a job can be in, what it waits for, and what was said about it at last.
-- Tables are copied and not altered: neither host lets SQLite do what altering strict tables takes.
CREATE TABLE job_1 AS SELECT * FROM job;
DROP TABLE job;

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    customer BLOB NOT NULL,
    -- The request's event as JSON; still encrypted, if it came so.
    request TEXT NOT NULL,
    -- received, awaiting_input, awaiting_payment, queued, running, done, failed, rejected or cancelled.
    state TEXT NOT NULL,
    -- How many leases were given.
    attempt INTEGER NOT NULL,
    -- While running: when the lease runs out. Before: not before. In milliseconds.
    due INTEGER,
    -- Until when an input or a payment is waited for.
    deadline INTEGER,
    -- What it costs, in msat, once that is known.
    price INTEGER,
    -- The outside relay that the request came from; nothing for the agent's own.
    source TEXT,
    -- The event that ended it, as JSON: its result, or why there is none.
    answer TEXT,
    received_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER
) STRICT;

INSERT INTO job (seq, id, kind, customer, request, state, attempt, due, received_at, finished_at)
SELECT seq, id, kind, customer, request, state, attempt, due, received_at, finished_at FROM job_1;
DROP TABLE job_1;

CREATE INDEX job_queued ON job (seq) WHERE state = 'queued';
CREATE INDEX job_queued_due ON job (due) WHERE state = 'queued';
CREATE INDEX job_running_due ON job (due) WHERE state = 'running';
CREATE INDEX job_waiting_due ON job (due) WHERE state IN ('received', 'awaiting_input', 'awaiting_payment');
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

-- Outputs of other jobs that a job waits for (NIP-90, job chaining).
CREATE TABLE job_input (
    job BLOB NOT NULL,
    -- The other job's request or result.
    event BLOB NOT NULL,
    -- What it produced, once it is there.
    content TEXT,
    PRIMARY KEY (job, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_input_missing ON job_input (event) WHERE content IS NULL;

-- The one invoice of a job that must be paid for.
CREATE TABLE invoice (
    job BLOB PRIMARY KEY,
    bolt11 TEXT NOT NULL,
    payment_hash TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    paid_at INTEGER
) STRICT, WITHOUT ROWID;

-- Cancellations of requests that have not come yet.
CREATE TABLE cancellation (
    request BLOB NOT NULL,
    author BLOB NOT NULL,
    noted_at INTEGER NOT NULL,
    PRIMARY KEY (request, author)
) STRICT, WITHOUT ROWID;

CREATE INDEX cancellation_noted ON cancellation (noted_at);

CREATE TABLE outbox_1 AS SELECT * FROM outbox;
DROP TABLE outbox;

CREATE TABLE outbox (
    entry INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL,
    -- Which relay it goes to: the agent's own when there is none.
    relay TEXT
) STRICT;

INSERT INTO outbox (entry, event, attempt, due) SELECT entry, event, attempt, due FROM outbox_1;
DROP TABLE outbox_1;

CREATE INDEX outbox_own ON outbox (due, entry) WHERE relay IS NULL;
CREATE INDEX outbox_outside ON outbox (due, entry) WHERE relay IS NOT NULL;

CREATE TABLE state_1 AS SELECT * FROM state;
DROP TABLE state;

CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    json TEXT NOT NULL,
    version INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    -- Which state_version of the agent stored it.
    form INTEGER NOT NULL
) STRICT;

INSERT INTO state (one, json, version, stored_at, form) SELECT one, json, version, stored_at, 1 FROM state_1;
DROP TABLE state_1;

-- What the agent keeps under names of its own.
CREATE TABLE memory (
    key TEXT PRIMARY KEY,
    json TEXT NOT NULL,
    written_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Conversations with customers.
CREATE TABLE turn (
    customer BLOB NOT NULL,
    number INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    said_at INTEGER NOT NULL,
    PRIMARY KEY (customer, number)
) STRICT, WITHOUT ROWID;

-- What came of the jobs of each kind.
CREATE TABLE metric (
    kind INTEGER NOT NULL,
    -- done, failed, rejected or cancelled.
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    -- From request to answer, summed, in milliseconds.
    elapsed INTEGER NOT NULL,
    msat INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

-- When the agent was created, which is when its `on_create` was done.
CREATE TABLE life (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    created_at INTEGER NOT NULL
) STRICT;

-- One row for each schedule.
CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    -- What its times follow from; another rhythm starts anew.
    rhythm TEXT NOT NULL,
    due INTEGER NOT NULL,
    ran_at INTEGER
) STRICT, WITHOUT ROWID;

-- Schedules and hooks that run, by their names: a lease is over with its outcome, when it is due, or with the process.
CREATE TABLE own_run (
    run TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
