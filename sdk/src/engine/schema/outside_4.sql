-- Events for the agent's own relay are sent in the order of their numbers. Only those that it did not take at once are
-- searched by when they are due. Entries for external relays are numbered from 2^48 on, but for those of earlier releases.
DROP INDEX outbox_own;
CREATE INDEX outbox_postponed ON outbox (due, entry) WHERE relay IS NULL AND attempt > 0;
