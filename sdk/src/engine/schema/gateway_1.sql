-- How much of its share each client of the gateway has used: a token bucket.
CREATE TABLE client_bucket (
    client TEXT PRIMARY KEY,
    -- What was used up at the time `at`: a request is 60,000, and what a client may send per minute is given back per millisecond.
    used INTEGER NOT NULL,
    -- In milliseconds.
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
