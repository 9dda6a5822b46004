-- What a job takes as inputs is kept as the signed results that they are, and verified whenever it is read. Outputs that
-- an earlier release kept as text are looked up again.
DROP INDEX job_input_missing;
ALTER TABLE job_input RENAME TO job_input_1;

CREATE TABLE job_input (
    job BLOB NOT NULL,
    -- The other job's request or result.
    event BLOB NOT NULL,
    -- The result, as JSON, once it is there.
    result TEXT,
    PRIMARY KEY (job, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_input_missing ON job_input (event) WHERE result IS NULL;
INSERT INTO job_input (job, event) SELECT job, event FROM job_input_1;
DROP TABLE job_input_1;
