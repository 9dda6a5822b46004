//! The `client_bucket` table: how many requests each client of the gateway may send, as exact token buckets.

use std::num::NonZeroU32;
use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};
use serde::{Deserialize, Serialize};

/// What a request uses: as many units as a minute has milliseconds, so that a limit per minute is also what is given back
/// per millisecond, without a remainder.
const UNITS_PER_REQUEST: u64 = 60_000;

/// How often the rows of clients that have their whole share again are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A request to the gateway that is to be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountedRequest {
    /// The client's network.
    pub(crate) client: String,
    /// How many requests it may send per minute; `None` for no limit.
    pub(crate) per_minute: Option<NonZeroU32>,
    /// Whether the request is of the gateway's form.
    pub(crate) is_well_formed: bool,
}

/// Whether a client may send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClientAdmission {
    /// It was counted.
    Admitted,
    /// It was not counted; one is accepted after this time, if no other comes before.
    Refused { retry_after: Duration },
}

/// The clients' buckets. They are stored, so that a client gains nothing from an object's eviction.
pub(super) struct ClientRates<S> {
    sql: S,
    /// When rows were last deleted.
    swept_at: Timestamp,
}

impl<S: Sql> ClientRates<S> {
    pub(super) const fn new(sql: S) -> Self {
        Self { sql, swept_at: Timestamp::EPOCH }
    }

    /// Counts a request of a client that may send this many per minute; all of them at once if it was idle for a minute.
    pub(super) fn admit(
        &mut self,
        now: Timestamp,
        client: &str,
        per_minute: NonZeroU32,
    ) -> Result<ClientAdmission, SqlError> {
        let per_minute = u64::from(per_minute.get());
        self.sweep(now, per_minute)?;
        let row = self.sql.first::<(u64, Timestamp)>(
            "SELECT used, at FROM client_bucket WHERE client = ?",
            values![client],
        )?;
        let (used, at) =
            row.map_or((0, now), |(used, at)| (still_used(used, at, now, per_minute), at.max(now)));
        let capacity = per_minute.saturating_mul(UNITS_PER_REQUEST);
        let used = used.min(capacity).saturating_add(UNITS_PER_REQUEST);
        if used > capacity {
            let wait = used.saturating_sub(capacity).div_ceil(per_minute);
            return Ok(ClientAdmission::Refused { retry_after: Duration::from_millis(wait) });
        }
        self.sql.execute(
            "INSERT INTO client_bucket (client, used, at) VALUES (?, ?, ?) \
             ON CONFLICT (client) DO UPDATE SET used = excluded.used, at = excluded.at",
            values![client, used, at],
        )?;
        Ok(ClientAdmission::Admitted)
    }

    /// Deletes the rows that say nothing: once a minute, since a client's next request may come at any time.
    fn sweep(&mut self, now: Timestamp, per_minute: u64) -> Result<(), SqlError> {
        if self.swept_at.until(now) < SWEEP_INTERVAL {
            return Ok(());
        }
        self.sql.execute("DELETE FROM client_bucket WHERE used <= (? - at) * ?", values![now, per_minute])?;
        self.swept_at = now;
        Ok(())
    }
}

/// What is left of `used` after the time since `at`. A clock that was set back gives nothing.
fn still_used(used: u64, at: Timestamp, now: Timestamp, per_minute: u64) -> u64 {
    let elapsed = u64::try_from(at.until(now).as_millis()).unwrap_or(u64::MAX);
    used.saturating_sub(elapsed.saturating_mul(per_minute))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use openagents_host::Timestamp;
    use openagents_host::native::Sqlite;
    use openagents_host::sql::{Sql as _, migrate};

    use super::{ClientAdmission, ClientRates, SWEEP_INTERVAL};
    use crate::engine::GATEWAY_SCHEMA;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn rates() -> (Sqlite, ClientRates<Sqlite>) {
        let sql = Sqlite::in_memory().unwrap();
        migrate(&sql, "gateway", &GATEWAY_SCHEMA).unwrap();
        (sql.clone(), ClientRates::new(sql))
    }

    fn admit(rates: &mut ClientRates<Sqlite>, client: &str, millis: u64, per_minute: u32) -> ClientAdmission {
        let now = START + Duration::from_millis(millis);
        rates.admit(now, client, NonZeroU32::new(per_minute).unwrap()).unwrap()
    }

    fn refused(millis: u64) -> ClientAdmission {
        ClientAdmission::Refused { retry_after: Duration::from_millis(millis) }
    }

    #[test]
    fn a_client_has_a_minutes_share_at_once_and_then_as_much_as_time_gives_back() {
        let (_, mut rates) = rates();
        // 7 a minute: one each 8,571.43 ms, without an error that adds up.
        for _ in 0..7 {
            assert_eq!(admit(&mut rates, "a", 0, 7), ClientAdmission::Admitted);
        }
        assert_eq!(admit(&mut rates, "a", 0, 7), refused(8_572));
        assert_eq!(admit(&mut rates, "b", 0, 7), ClientAdmission::Admitted, "another client");
        assert_eq!(admit(&mut rates, "a", 8_571, 7), refused(1));
        let mut admitted = 0;
        for millis in 8_572..=600_000 {
            admitted += u32::from(admit(&mut rates, "a", millis, 7) == ClientAdmission::Admitted);
        }
        assert_eq!(admitted, 70, "ten minutes");
    }

    #[test]
    fn refused_requests_cost_nothing_and_a_clock_that_is_set_back_gives_nothing() {
        let (_, mut rates) = rates();
        assert_eq!(admit(&mut rates, "a", 1_000, 1), ClientAdmission::Admitted);
        for _ in 0..100 {
            assert_eq!(admit(&mut rates, "a", 1_000, 1), refused(60_000));
        }
        assert_eq!(admit(&mut rates, "a", 0, 1), refused(60_000));
        assert_eq!(admit(&mut rates, "a", 61_000, 1), ClientAdmission::Admitted);
    }

    #[test]
    fn a_lower_limit_applies_at_once() {
        let (_, mut rates) = rates();
        for _ in 0..600 {
            assert_eq!(admit(&mut rates, "a", 0, 600), ClientAdmission::Admitted);
        }
        assert_eq!(admit(&mut rates, "a", 0, 10), refused(6_000));
    }

    #[test]
    fn clients_without_requests_are_forgotten() {
        let (sql, mut rates) = rates();
        for client in 0..100 {
            admit(&mut rates, &client.to_string(), 0, 1);
        }
        let minutes = |number: u32| u64::try_from((SWEEP_INTERVAL * number).as_millis()).unwrap();
        admit(&mut rates, "late", minutes(1) - 1, 1);
        admit(&mut rates, "later", minutes(1), 1);
        let left = sql.rows::<(String,)>("SELECT client FROM client_bucket ORDER BY client", &[]).unwrap();
        assert_eq!(left, [("late".to_owned(),), ("later".to_owned(),)]);
    }
}
