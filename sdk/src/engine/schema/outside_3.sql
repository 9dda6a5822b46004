-- Entries of the outbox for outside relays have the host of their relay and their customer, since limits go by these.
CREATE TABLE outbox_2 AS SELECT * FROM outbox;
DROP TABLE outbox;

CREATE TABLE outbox (
    entry INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL,
    -- Which relay it goes to: the agent's own when there is none.
    relay TEXT,
    -- Empty for the agent's own relay.
    host TEXT NOT NULL,
    -- Whom the event is for; empty where it is for nobody, or for the agent's own relay.
    customer TEXT NOT NULL
) STRICT;

INSERT INTO outbox (entry, event, attempt, due, relay, host, customer)
SELECT entry, event, attempt, due, relay, coalesce(relay, ''), '' FROM outbox_2;
DROP TABLE outbox_2;

CREATE INDEX outbox_own ON outbox (due, entry) WHERE relay IS NULL;
CREATE INDEX outbox_outside ON outbox (due, entry) WHERE relay IS NOT NULL;
CREATE INDEX outbox_relay ON outbox (relay, entry) WHERE relay IS NOT NULL;
