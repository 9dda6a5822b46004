//! The `visit` table: external relays that are polled for requests, where an open connection would keep the agent's
//! host awake. The engine decides when to poll and from which time on, and stores how far it has read.

use std::time::Duration;

use openagents_host::net::RelayError;
use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp, VerifiedEvent};

use super::vocabulary::{MAX_EVENT_BYTES, RelayPoll};
use super::{Effect, JobEngine, RequestAdmission};

/// How often a relay is polled while requests come from it.
pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// How much less often a relay is polled while no requests come from it.
const IDLE_FACTOR: u32 = 5;

/// How much more often a relay is polled while it has more events than one poll reads.
const CATCH_UP_FACTOR: u32 = 6;

/// Without requests, the poll interval grows: it is this fraction (1/8) of the time since the last one.
const QUIET_SHARE: u32 = 8;

/// How much less often an unreachable relay is polled, at most.
const FAILING_FACTOR: u32 = 60;

/// How far a poll reaches back before the last one: events carry the time of the customer's clock, and relays pass
/// them on late. Duplicates are recognised.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// When a poll without an answer is repeated, since its process may be gone.
const POLL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) struct RelayPolls<S> {
    sql: S,
    every: Duration,
    is_empty: bool,
}

impl<S: Sql> RelayPolls<S> {
    /// Opens the table. New relays are due at once, and are read from `since` on.
    pub(super) fn open(
        sql: S,
        relays: &[String],
        every: Option<Duration>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Self, SqlError> {
        let every = every.unwrap_or(DEFAULT_POLL_INTERVAL);
        for (known,) in sql.rows::<(String,)>("SELECT relay FROM visit", &[])? {
            if !relays.contains(&known) {
                for table in ["visit", "unfinished_poll"] {
                    sql.execute(&format!("DELETE FROM {table} WHERE relay = ?"), values![&known])?;
                }
            }
        }
        for relay in relays {
            sql.execute(
                "INSERT INTO visit (relay, since, due, failures, request_at) VALUES (?, ?, ?, 0, ?)
                 ON CONFLICT DO NOTHING",
                values![relay, since.as_seconds(), now, now],
            )?;
        }
        Ok(Self { sql, every, is_empty: relays.is_empty() })
    }

    pub(super) fn next_due(&self) -> Result<Option<Timestamp>, SqlError> {
        if self.is_empty {
            return Ok(None);
        }
        let next = self.sql.first::<(Option<Timestamp>,)>("SELECT min(due) FROM visit", &[])?;
        Ok(next.and_then(|(due,)| due))
    }

    pub(super) fn take_due(&self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), SqlError> {
        if self.is_empty {
            return Ok(());
        }
        let due = self.sql.rows::<(String, u64, Option<u64>)>(
            "SELECT relay, since, until FROM visit LEFT JOIN unfinished_poll USING (relay)
             WHERE due <= ? ORDER BY due",
            values![now],
        )?;
        for (relay, since, until) in due {
            self.defer(&relay, now + POLL_TIMEOUT)?;
            effects.push(Effect::Poll { relay, since: Timestamp::from_seconds(since), until });
        }
        Ok(())
    }

    /// Records a request from a relay, so that it is polled more often.
    fn request_came(&self, relay: &str, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE visit SET request_at = ? WHERE relay = ?", values![now, relay])
    }

    /// Notes that a poll has read only the newest events. Those up to the second `rest` are read soon, and what has
    /// come since the poll began after that: so nothing is left out, however much there is.
    fn succeeded_in_part(
        &self,
        relay: &str,
        began_at: Timestamp,
        rest: u64,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO unfinished_poll (relay, began_at, until) VALUES (?, ?, ?)
             ON CONFLICT (relay) DO UPDATE SET until = excluded.until",
            values![relay, began_at, rest],
        )?;
        self.sql.execute("UPDATE visit SET failures = 0 WHERE relay = ?", values![relay])?;
        self.defer(relay, now + self.every.checked_div(CATCH_UP_FACTOR).unwrap_or_default())
    }

    fn succeeded(&self, relay: &str, until: Timestamp, now: Timestamp) -> Result<(), SqlError> {
        let began_at = self.sql.first::<(Timestamp,)>(
            "DELETE FROM unfinished_poll WHERE relay = ? RETURNING began_at",
            values![relay],
        )?;
        let until = began_at.map_or(until, |(began_at,)| began_at);
        let looked_through = (until - OVERLAP).as_seconds();
        let row = self.sql.first::<(Timestamp,)>(
            "UPDATE visit SET since = max(since, ?), failures = 0 WHERE relay = ? RETURNING request_at",
            values![looked_through, relay],
        )?;
        let Some((request_at,)) = row else { return Ok(()) };
        let longest = self.every.saturating_mul(IDLE_FACTOR);
        let quiet = request_at.until(now).checked_div(QUIET_SHARE).unwrap_or_default();
        let pause = quiet.clamp(self.every, longest.max(self.every));
        self.defer(relay, now + pause)
    }

    /// Records a failed poll. Returns the pause until the next one: growing, and the longest if the relay has refused
    /// this agent.
    fn failed(&self, relay: &str, error: &RelayError, now: Timestamp) -> Result<Option<Duration>, SqlError> {
        let row = self.sql.first::<(u32,)>(
            "UPDATE visit SET failures = failures + 1 WHERE relay = ? RETURNING failures",
            values![relay],
        )?;
        let Some((failures,)) = row else { return Ok(None) };
        let doublings = 1_u32 << failures.saturating_sub(1).min(10);
        let factor = if error.is_final_refusal() { FAILING_FACTOR } else { doublings.min(FAILING_FACTOR) };
        let pause = self.every.saturating_mul(factor);
        self.defer(relay, now + pause)?;
        Ok(Some(pause))
    }

    fn defer(&self, relay: &str, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE visit SET due = ? WHERE relay = ?", values![due, relay])
    }
}

impl<S: Sql> JobEngine<S> {
    /// Handles the result of a poll: its events and the start of the next poll are stored in one transaction.
    pub(super) fn polled(
        &mut self,
        now: Timestamp,
        relay: &str,
        poll: &Result<RelayPoll, RelayError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => {
                if let Some(pause) = self.polls.failed(relay, error, now)? {
                    effects.push(Effect::Warn(format!(
                        "the relay {relay} could not be polled; trying again in {pause:?}: {error}"
                    )));
                }
                return Ok(());
            }
        };
        let mut events: Vec<&VerifiedEvent> =
            poll.events.iter().filter(|event| event.json().len() <= MAX_EVENT_BYTES).collect();
        events.sort_by_key(|event| (event.created_at, event.id));
        for event in events {
            if matches!(
                self.admit(now, event, Some(relay), effects)?,
                RequestAdmission::Queued | RequestAdmission::Rejected
            ) {
                self.polls.request_came(relay, now)?;
            }
        }
        match poll.rest {
            Some(rest) => self.polls.succeeded_in_part(relay, poll.until, rest, now),
            None => self.polls.succeeded(relay, poll.until, now),
        }
    }
}

#[cfg(test)]
mod tests;
