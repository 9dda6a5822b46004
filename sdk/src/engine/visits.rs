//! Visits to outside relays, where a standing connection would keep the agent's host awake: the engine says when to look
//! and from when on, and remembers how far it has looked.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp, VerifiedEvent};

use super::answers::MAX_EVENT;
use super::{Admission, Effect, JobEngine};

/// How often a relay is visited that requests come from.
pub(crate) const VISIT_EVERY: Duration = Duration::from_secs(60);

/// How much seldomer a relay is visited that no requests come from.
const IDLE_FACTOR: u32 = 5;

/// Of how long no request came, this part passes until the next visit.
const QUIET_SHARE: u32 = 8;

/// How much seldomer a relay is visited that is not reached.
const FAILING_FACTOR: u32 = 60;

/// How far a visit looks back behind the last one: events carry the time of their customer's clock, and relays pass them
/// on late. What was seen before is on record.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// When a visit that was begun is begun again, because its process is gone.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What a visit brought.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// When it began: everything that the relay had by then was seen.
    pub(crate) until: Timestamp,
    /// The requests and deletions that were there.
    pub(crate) events: Vec<VerifiedEvent>,
}

pub(super) struct Visits<S> {
    sql: S,
    every: Duration,
    is_empty: bool,
}

impl<S: Sql> Visits<S> {
    /// Relays that are new are due at once, and looked through from `since` on.
    pub(super) fn open(
        sql: S,
        relays: &[String],
        every: Option<Duration>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Self, SqlError> {
        let every = every.unwrap_or(VISIT_EVERY);
        for (known,) in sql.rows::<(String,)>("SELECT relay FROM visit", &[])? {
            if !relays.contains(&known) {
                sql.execute("DELETE FROM visit WHERE relay = ?", values![&known])?;
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
        let due = self.sql.rows::<(String, u64)>(
            "SELECT relay, since FROM visit WHERE due <= ? ORDER BY due",
            values![now],
        )?;
        for (relay, since) in due {
            self.put_off(&relay, now + PATIENCE)?;
            effects.push(Effect::Visit { relay, since: Timestamp::from_seconds(since) });
        }
        Ok(())
    }

    /// A relay that requests come from is visited often.
    fn request_came(&self, relay: &str, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE visit SET request_at = ? WHERE relay = ?", values![now, relay])
    }

    fn succeeded(&self, relay: &str, until: Timestamp, now: Timestamp) -> Result<(), SqlError> {
        let looked_through = (until - OVERLAP).as_seconds();
        let row = self.sql.first::<(Timestamp,)>(
            "UPDATE visit SET since = max(since, ?), failures = 0 WHERE relay = ? RETURNING request_at",
            values![looked_through, relay],
        )?;
        let Some((request_at,)) = row else { return Ok(()) };
        let longest = self.every.saturating_mul(IDLE_FACTOR);
        let quiet = request_at.until(now).checked_div(QUIET_SHARE).unwrap_or_default();
        let pause = quiet.clamp(self.every, longest.max(self.every));
        self.put_off(relay, now + pause)
    }

    /// Returns when the relay is visited again.
    fn failed(&self, relay: &str, now: Timestamp) -> Result<Option<Duration>, SqlError> {
        let row = self.sql.first::<(u32,)>(
            "UPDATE visit SET failures = failures + 1 WHERE relay = ? RETURNING failures",
            values![relay],
        )?;
        let Some((failures,)) = row else { return Ok(None) };
        let doublings = 1_u32 << failures.saturating_sub(1).min(10);
        let pause = self.every.saturating_mul(doublings.min(FAILING_FACTOR));
        self.put_off(relay, now + pause)?;
        Ok(Some(pause))
    }

    fn put_off(&self, relay: &str, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE visit SET due = ? WHERE relay = ?", values![due, relay])
    }
}

impl<S: Sql> JobEngine<S> {
    /// Takes what a visit brought: all of it is on record, and the next visit begins where this one ended, or neither.
    pub(super) fn visited(
        &mut self,
        now: Timestamp,
        relay: &str,
        visit: &Result<Visit, String>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let visit = match visit {
            Ok(visit) => visit,
            Err(reason) => {
                if let Some(pause) = self.visits.failed(relay, now)? {
                    effects.push(Effect::Warn(format!(
                        "the relay {relay} could not be visited; it is visited again in {pause:?}: {reason}"
                    )));
                }
                return Ok(());
            }
        };
        let mut events: Vec<&VerifiedEvent> =
            visit.events.iter().filter(|event| event.json().len() <= MAX_EVENT).collect();
        events.sort_by_key(|event| (event.created_at, event.id));
        for event in events {
            if matches!(
                self.admit(now, event, Some(relay), effects)?,
                Admission::Queued | Admission::Rejected
            ) {
                self.visits.request_came(relay, now)?;
            }
        }
        self.visits.succeeded(relay, visit.until, now)
    }
}

#[cfg(test)]
mod tests;
