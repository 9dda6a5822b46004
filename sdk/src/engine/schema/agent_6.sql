-- Runs of `#[schedule(once)]` functions that handlers have asked for.
CREATE TABLE scheduled_run (
    -- Never used again, since a run in progress is known by it.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The name of the function.
    schedule TEXT NOT NULL,
    -- What tells several runs of one function apart.
    key TEXT NOT NULL,
    -- In milliseconds.
    due INTEGER NOT NULL,
    -- JSON.
    payload TEXT NOT NULL,
    -- How many runs have begun.
    attempt INTEGER NOT NULL DEFAULT 0,
    UNIQUE (schedule, key)
) STRICT;
