-- The sums of the ledger, since it only grows.
CREATE TABLE payment_total (
    movement TEXT PRIMARY KEY,
    payments INTEGER NOT NULL,
    msat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO payment_total (movement, payments, msat)
SELECT movement, count(*), sum(msat) FROM payment GROUP BY movement;
