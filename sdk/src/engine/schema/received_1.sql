-- Events for `#[event]` functions, and direct messages. Each is handled once, so its row outlives it.
CREATE TABLE received_event (
    -- Never used again, since a run in progress is known by it.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The event's id; of a direct message, not that of its gift wrap (NIP-59).
    id BLOB NOT NULL UNIQUE,
    -- The author's public key.
    author BLOB NOT NULL,
    -- The kind of the event as it arrived.
    kind INTEGER NOT NULL,
    -- The event as it arrived (direct messages encrypted), as JSON; null once it is handled.
    json TEXT,
    -- When it is handled next, in milliseconds.
    due INTEGER NOT NULL,
    -- How many runs have begun.
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Until when it could arrive again, in milliseconds.
    kept_until INTEGER NOT NULL
) STRICT;

CREATE INDEX received_event_waiting ON received_event (due) WHERE json IS NOT NULL;
CREATE INDEX received_event_author ON received_event (author);
CREATE INDEX received_event_kept ON received_event (kept_until) WHERE json IS NULL;
