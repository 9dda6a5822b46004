-- An invoice outlives its job: a payment that comes late is credited, and one that is held is taken or returned.
ALTER TABLE invoice RENAME TO invoice_1;

CREATE TABLE invoice (
    job BLOB PRIMARY KEY,
    -- Nothing once the customer is forgotten.
    customer BLOB,
    bolt11 TEXT NOT NULL,
    payment_hash TEXT NOT NULL,
    -- The amount, in msat.
    msat INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- open, held, taking, returning, closing, late, paid, returned or unpaid.
    state TEXT NOT NULL,
    -- When the wallet is called next, for an invoice that its job does not wait for any more.
    due INTEGER,
    -- How often it was called since.
    calls INTEGER NOT NULL,
    paid_at INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO invoice (job, customer, bolt11, payment_hash, msat, expires_at, state, calls, paid_at)
SELECT invoice_1.job, job.customer, bolt11, payment_hash, coalesce(job.price, 0), expires_at,
    CASE WHEN paid_at IS NOT NULL THEN 'paid' WHEN job.finished_at IS NULL THEN 'open' ELSE 'unpaid' END, 0, paid_at
FROM invoice_1 JOIN job ON job.id = invoice_1.job;
DROP TABLE invoice_1;

CREATE INDEX invoice_due ON invoice (due) WHERE due IS NOT NULL;
CREATE INDEX invoice_customer ON invoice (customer) WHERE customer IS NOT NULL;

-- A result that its customer gets once the payment is taken.
CREATE TABLE withheld_result (
    job BLOB PRIMARY KEY,
    -- The signed event, as JSON.
    result TEXT NOT NULL
) STRICT;

-- The ledger: every payment, and what became of it. Rows are never changed, except that a customer who asks for it is
-- forgotten.
CREATE TABLE payment (
    entry INTEGER PRIMARY KEY,
    noted_at INTEGER NOT NULL,
    -- received: the wallet has it. returned: the wallet gave it back. credited: it is kept for the customer's next jobs.
    -- spent: a job was paid with such credit.
    movement TEXT NOT NULL,
    msat INTEGER NOT NULL,
    job BLOB NOT NULL,
    kind INTEGER NOT NULL,
    customer BLOB,
    -- Of what was received or returned.
    payment_hash TEXT,
    provider TEXT
) STRICT;

-- A payment is counted once.
CREATE UNIQUE INDEX payment_received ON payment (payment_hash) WHERE movement = 'received';
CREATE INDEX payment_job ON payment (job);
CREATE INDEX payment_customer ON payment (customer) WHERE customer IS NOT NULL;

-- What customers have paid and not been served for.
CREATE TABLE credit (
    customer BLOB PRIMARY KEY,
    msat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many jobs of a kind a customer has had for free on a day (UTC).
CREATE TABLE free_job (
    day INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    customer BLOB NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (day, kind, customer)
) STRICT, WITHOUT ROWID;

CREATE INDEX free_job_customer ON free_job (customer);
