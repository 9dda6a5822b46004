-- The blobs that `url` inputs of unfinished jobs name. Their customers may upload them.
CREATE TABLE job_blob (
    job BLOB NOT NULL,
    hash BLOB NOT NULL,
    customer BLOB NOT NULL,
    url TEXT NOT NULL,
    -- wanted: not looked for yet. missing: neither here nor at its URL. found.
    state TEXT NOT NULL,
    PRIMARY KEY (job, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_blob_hash ON job_blob (hash, customer);
