-- Some wallets tell whether an invoice is paid at a URL of its own (LUD-21).
ALTER TABLE invoice RENAME TO invoice_2;
DROP INDEX invoice_due;
DROP INDEX invoice_customer;

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
    paid_at INTEGER,
    verify_url TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO invoice (job, customer, bolt11, payment_hash, msat, expires_at, state, due, calls, paid_at)
SELECT job, customer, bolt11, payment_hash, msat, expires_at, state, due, calls, paid_at FROM invoice_2;
DROP TABLE invoice_2;

CREATE INDEX invoice_due ON invoice (due) WHERE due IS NOT NULL;
CREATE INDEX invoice_customer ON invoice (customer) WHERE customer IS NOT NULL;
