-- Blobs whose owners may not upload otherwise: the deployment expected them, such as a customer's file for a job.
CREATE TABLE expected_blob (
    hash BLOB NOT NULL,
    owner BLOB NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (hash, owner)
) STRICT, WITHOUT ROWID;

-- How many bytes they have together.
CREATE TABLE expected_total (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO expected_total (one, bytes) VALUES (1, 0);

-- An upload that is expected is kept until a time of its own, in seconds since the Unix epoch.
ALTER TABLE reservation RENAME TO reservation_1;
DROP INDEX reservation_by_time;

CREATE TABLE reservation (
    hash BLOB NOT NULL,
    owner BLOB NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    due INTEGER NOT NULL,
    keep_until INTEGER,
    PRIMARY KEY (hash, owner)
) STRICT, WITHOUT ROWID;

INSERT INTO reservation (hash, owner, size, media_type, due)
SELECT hash, owner, size, media_type, due FROM reservation_1;
DROP TABLE reservation_1;

CREATE INDEX reservation_by_time ON reservation (due);
