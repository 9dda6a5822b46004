-- Records of the gateway's audit that could not be stored yet. Times are in milliseconds.
CREATE TABLE audit_record (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    -- The id of the request, in hex.
    id TEXT NOT NULL,
    json TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_record_due ON audit_record (due);

-- Requests to the gateway that were not processed, of minutes that are not over.
CREATE TABLE refused_requests (
    -- Its beginning.
    minute INTEGER PRIMARY KEY,
    malformed INTEGER NOT NULL,
    rate_limited INTEGER NOT NULL
) STRICT;
