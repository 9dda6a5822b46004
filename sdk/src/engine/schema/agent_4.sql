-- What is kept, and for how long: requests and answers within a number of bytes, conversations for a time.
CREATE TABLE metric_1 AS SELECT * FROM metric;
DROP TABLE metric;

-- What came of the jobs of each kind.
CREATE TABLE metric (
    kind INTEGER NOT NULL,
    -- done, failed, rejected or cancelled.
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    -- From request to answer, summed, in milliseconds.
    elapsed INTEGER NOT NULL,
    msat INTEGER NOT NULL,
    -- How many bytes the requests and answers of those with a request have in the `job` table.
    bytes INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

-- Nobody needs the requests of rejected and cancelled jobs again.
UPDATE job SET request = '' WHERE state IN ('rejected', 'cancelled');

INSERT INTO metric (kind, state, jobs, elapsed, msat, bytes)
SELECT kind, state, jobs, elapsed, msat, coalesce(size.bytes, 0)
FROM metric_1 LEFT JOIN (
    SELECT kind, state, sum(octet_length(request) + coalesce(octet_length(answer), 0)) AS bytes
    FROM job WHERE finished_at IS NOT NULL AND request <> '' GROUP BY kind, state
) AS size USING (kind, state);
DROP TABLE metric_1;

DROP INDEX job_finished;
-- Finished jobs with their requests, and those of which only the row is left.
CREATE INDEX job_kept ON job (finished_at) WHERE finished_at IS NOT NULL AND request <> '';
CREATE INDEX job_stripped ON job (finished_at) WHERE finished_at IS NOT NULL AND request = '';
CREATE INDEX job_customer ON job (customer);

-- When something was last said in each conversation.
CREATE TABLE conversation (
    customer BLOB PRIMARY KEY,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX conversation_last ON conversation (last_at);
INSERT INTO conversation (customer, last_at) SELECT customer, max(said_at) FROM turn GROUP BY customer;

-- Customers who have vanished (NIP-62): what they requested until then is not taken again.
CREATE TABLE vanished (
    customer BLOB PRIMARY KEY,
    -- The request's `created_at`, in seconds.
    until INTEGER NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX vanished_noted ON vanished (noted_at);

CREATE INDEX cancellation_author ON cancellation (author, noted_at);
