//! The `unreached` table: pauses for external relays that could not be reached, or that refuse events for now.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

/// The number of consecutive failures after which events for a relay are dropped.
pub(in crate::engine) const MAX_FAILURES: u32 = 10;

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(10 * 60);

/// How long failures are remembered when nothing more is sent to a relay.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

pub(in crate::engine) struct RelayBackoffs<S> {
    sql: S,
}

/// Whether events may be sent to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum RelayBackoff {
    /// Events may be sent.
    Open,
    /// Events wait until this time.
    Pausing(Timestamp),
    /// Events are dropped.
    GivenUp,
}

impl<S: Sql> RelayBackoffs<S> {
    pub(in crate::engine) fn new(sql: S) -> Self {
        Self { sql }
    }

    pub(in crate::engine) fn backoff(&self, relay: &str, now: Timestamp) -> Result<RelayBackoff, SqlError> {
        let row = self.sql.first::<(u32, Timestamp)>(
            "SELECT failures, until FROM unreached WHERE relay = ?",
            values![relay],
        )?;
        Ok(match row {
            Some((failures, until)) if until > now => backoff_until(failures, until),
            // A single attempt shows whether it is reachable again.
            _ => RelayBackoff::Open,
        })
    }

    pub(in crate::engine) fn reached(&self, relay: &str) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM unreached WHERE relay = ?", values![relay])
    }

    /// Records a failure to reach a relay. Deliveries that were in flight together fail together and count as one
    /// failure.
    pub(in crate::engine) fn failed(&self, relay: &str, now: Timestamp) -> Result<RelayBackoff, SqlError> {
        let row = self.sql.first::<(u32, Timestamp)>(
            "SELECT failures, until FROM unreached WHERE relay = ?",
            values![relay],
        )?;
        let before = match row {
            Some((failures, until)) if until > now => return Ok(backoff_until(failures, until)),
            Some((failures, _)) => failures,
            None => 0,
        };
        let failures = before.saturating_add(1);
        let until = now + pause(failures);
        self.record(relay, failures, until, now)?;
        Ok(backoff_until(failures, until))
    }

    /// Records that a relay has refused an event for now, for the `attempt`th time. Returns until when all its events
    /// wait. It is reachable, so it is not given up.
    pub(in crate::engine) fn refused(
        &self,
        relay: &str,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Timestamp, SqlError> {
        let row = self.sql.first::<(u32, Timestamp)>(
            "SELECT failures, until FROM unreached WHERE relay = ?",
            values![relay],
        )?;
        let failures = match row {
            // Events that were in flight together are refused together.
            Some((failures, until)) if until > now && failures >= attempt => return Ok(until),
            Some((failures, until)) if until <= now => failures.saturating_add(1).max(attempt),
            _ => attempt,
        };
        let failures = failures.min(MAX_FAILURES.saturating_sub(1));
        let until = now + pause(failures);
        self.record(relay, failures, until, now)?;
        Ok(until)
    }

    fn record(&self, relay: &str, failures: u32, until: Timestamp, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM unreached WHERE until < ?", values![now - FORGET_AFTER])?;
        self.sql.execute(
            "INSERT INTO unreached (relay, failures, until) VALUES (?, ?, ?)
             ON CONFLICT (relay) DO UPDATE SET failures = excluded.failures, until = excluded.until",
            values![relay, failures, until],
        )
    }
}

fn backoff_until(failures: u32, until: Timestamp) -> RelayBackoff {
    if failures >= MAX_FAILURES { RelayBackoff::GivenUp } else { RelayBackoff::Pausing(until) }
}

/// 2 s, 4 s, 8 s … up to the longest pause. In all, a relay has a quarter of an hour to become reachable.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(10)).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use openagents_host::native::Sqlite;

    use super::*;

    fn backoffs() -> RelayBackoffs<Sqlite> {
        let sql = Sqlite::in_memory().unwrap();
        let tables =
            include_str!("../schema/outside_1.sql").split("CREATE INDEX outbox_relay").next().unwrap();
        sql.batch(tables).unwrap();
        RelayBackoffs::new(sql)
    }

    const RELAY: &str = "wss://relay.example";
    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    #[test]
    fn failures_at_the_same_time_count_once() {
        let backoffs = backoffs();
        let pausing = RelayBackoff::Pausing(NOW + Duration::from_secs(2));
        for _ in 0..20 {
            assert_eq!(backoffs.failed(RELAY, NOW).unwrap(), pausing);
        }
        assert_eq!(backoffs.backoff(RELAY, NOW).unwrap(), pausing);
        assert_eq!(backoffs.backoff("wss://another.example", NOW).unwrap(), RelayBackoff::Open);
        assert_eq!(backoffs.backoff(RELAY, NOW + Duration::from_secs(2)).unwrap(), RelayBackoff::Open);
    }

    #[test]
    fn a_relay_is_given_up_after_a_quarter_of_an_hour_and_one_try_shows_that_it_is_back() {
        let backoffs = backoffs();
        let mut now = NOW;
        loop {
            match backoffs.failed(RELAY, now).unwrap() {
                RelayBackoff::Pausing(until) => now = until,
                RelayBackoff::GivenUp => break,
                RelayBackoff::Open => panic!("it failed"),
            }
        }
        let elapsed = NOW.until(now);
        assert!(elapsed > Duration::from_secs(900) && elapsed < Duration::from_secs(1_200), "{elapsed:?}");
        assert_eq!(backoffs.backoff(RELAY, now).unwrap(), RelayBackoff::GivenUp);
        let later = now + MAX_PAUSE;
        assert_eq!(backoffs.backoff(RELAY, later).unwrap(), RelayBackoff::Open);
        // Still unreachable: events are dropped at once.
        assert_eq!(backoffs.failed(RELAY, later).unwrap(), RelayBackoff::GivenUp);
        backoffs.reached(RELAY).unwrap();
        assert!(matches!(backoffs.failed(RELAY, later).unwrap(), RelayBackoff::Pausing(_)));
    }

    #[test]
    fn a_relay_that_refuses_for_now_is_not_given_up() {
        let backoffs = backoffs();
        let mut now = NOW;
        let mut pauses = Vec::new();
        for attempt in 1..=12 {
            let until = backoffs.refused(RELAY, attempt, now).unwrap();
            assert_eq!(backoffs.refused(RELAY, 1, now).unwrap(), until, "refused together");
            assert_eq!(backoffs.backoff(RELAY, now).unwrap(), RelayBackoff::Pausing(until));
            pauses.push(now.until(until).as_secs());
            now = until;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512]);
        // The pauses of an event grow even if the relay accepts others meanwhile.
        backoffs.reached(RELAY).unwrap();
        assert_eq!(backoffs.refused(RELAY, 5, now).unwrap(), now + Duration::from_secs(32));
    }

    #[test]
    fn relays_that_nothing_goes_to_are_forgotten() {
        let backoffs = backoffs();
        backoffs.failed(RELAY, NOW).unwrap();
        backoffs.failed("wss://another.example", NOW + FORGET_AFTER * 2).unwrap();
        let left = backoffs.sql.rows::<(String,)>("SELECT relay FROM unreached", &[]).unwrap();
        assert_eq!(left, [("wss://another.example".to_owned(),)]);
    }
}
