//! The tables `audit_record` and `refused_requests`: what the gateway's audit still has to store.

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::backoff;
use crate::audit::{AuditRecord, RefusedRequests};

/// A minute: what one record says about refused requests.
const MINUTE: Duration = Duration::from_secs(60);

/// How many records are stored at once.
const MAX_IN_FLIGHT: usize = 8;

/// After so many failures in a row, the others wait, too.
const FAILURES_PER_ROUND: u32 = 8;

/// The most bytes of records that are kept. More than an hour without R2 at ten requests a second.
const MAX_KEPT_BYTES: u64 = 64 << 20;

/// Why a request was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnprocessedRequest {
    Malformed,
    RateLimited,
}

/// The records that wait to be stored, and the requests that the next one sums up.
pub(super) struct AuditQueue<S> {
    sql: S,
    /// The records that are being stored.
    in_flight: BTreeSet<u64>,
    /// The bytes of all records.
    kept_bytes: u64,
    /// When a record, or the summary of a minute, is next due.
    due: Option<Timestamp>,
    /// How many attempts have failed since one succeeded.
    failures: u32,
    /// When the store is tried again, after so many failures that it seems to take nothing.
    paused_until: Timestamp,
}

impl<S: Sql> AuditQueue<S> {
    pub(super) fn open(sql: S) -> Result<Self, SqlError> {
        let mut queue = Self {
            sql,
            in_flight: BTreeSet::new(),
            kept_bytes: 0,
            due: None,
            failures: 0,
            paused_until: Timestamp::EPOCH,
        };
        queue.read()?;
        Ok(queue)
    }

    /// Reads again what is also in memory. Records that were begun before may be stored again: they are recognised.
    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        self.in_flight.clear();
        self.read()
    }

    fn read(&mut self) -> Result<(), SqlError> {
        let kept = "SELECT coalesce(sum(length(CAST(json AS BLOB))), 0) FROM audit_record";
        self.kept_bytes = self.sql.first::<(u64,)>(kept, &[])?.map_or(0, |(bytes,)| bytes);
        self.find_due()
    }

    fn find_due(&mut self) -> Result<(), SqlError> {
        let minute = self
            .sql
            .first::<(Timestamp,)>("SELECT minute FROM refused_requests ORDER BY minute LIMIT 1", &[])?;
        let mut record = None;
        // Those in flight come first, as they were due first.
        let limit = self.in_flight.len().saturating_add(1);
        for (number, due) in self.sql.rows::<(u64, Timestamp)>(
            "SELECT number, due FROM audit_record ORDER BY due LIMIT ?",
            values![limit],
        )? {
            if !self.in_flight.contains(&number) {
                record = Some(due);
                break;
            }
        }
        self.due = [minute.map(|(minute,)| minute + MINUTE), record].into_iter().flatten().min();
        Ok(())
    }

    /// When there is something to do.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let due = self.due.filter(|_| self.in_flight.len() < MAX_IN_FLIGHT)?;
        Some(due.max(self.paused_until))
    }

    /// Whether no record is being stored.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Counts a request that was not processed.
    pub(super) fn count(&mut self, now: Timestamp, refusal: UnprocessedRequest) -> Result<(), SqlError> {
        let minute = minute_of(now);
        let (malformed, rate_limited) = match refusal {
            UnprocessedRequest::Malformed => (1_u64, 0_u64),
            UnprocessedRequest::RateLimited => (0, 1),
        };
        self.sql.execute(
            "INSERT INTO refused_requests (minute, malformed, rate_limited) VALUES (?, ?, ?) ON CONFLICT (minute) \
             DO UPDATE SET malformed = malformed + excluded.malformed, rate_limited = rate_limited + excluded.rate_limited",
            values![minute, malformed, rate_limited],
        )?;
        let end = minute + MINUTE;
        self.due = Some(self.due.map_or(end, |due| due.min(end)));
        Ok(())
    }

    /// Keeps a record until it is stored. Returns whether there is room for it.
    pub(super) fn keep(&mut self, now: Timestamp, record: &AuditRecord) -> Result<bool, SqlError> {
        let bytes = u64::try_from(record.json.len()).unwrap_or(u64::MAX);
        let kept_bytes = self.kept_bytes.saturating_add(bytes);
        if kept_bytes > MAX_KEPT_BYTES {
            return Ok(false);
        }
        let due = now + backoff(1);
        self.sql.execute(
            "INSERT INTO audit_record (at, id, json, attempt, due) VALUES (?, ?, ?, 1, ?)",
            values![record.at, record.id.as_str(), record.json.as_str(), due],
        )?;
        self.kept_bytes = kept_bytes;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        Ok(true)
    }

    /// Sums up the minutes that are over. Returns the records that are due, by their numbers, which are to be stored now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Result<Vec<(u64, AuditRecord)>, SqlError> {
        let mut taken = Vec::new();
        if self.next_due().is_none_or(|due| due > now) {
            return Ok(taken);
        }
        self.sum_up(now)?;
        let limit = MAX_IN_FLIGHT.saturating_add(self.in_flight.len());
        let due = self.sql.rows::<(u64, Timestamp, String, String)>(
            "SELECT number, at, id, json FROM audit_record WHERE due <= ? ORDER BY due LIMIT ?",
            values![now, limit],
        )?;
        for (number, at, id, json) in due {
            if self.in_flight.len() < MAX_IN_FLIGHT && self.in_flight.insert(number) {
                taken.push((number, AuditRecord { at, id, json }));
            }
        }
        self.find_due()?;
        Ok(taken)
    }

    fn sum_up(&mut self, now: Timestamp) -> Result<(), SqlError> {
        let current = minute_of(now);
        let over = self.sql.rows::<(Timestamp, u64, u64)>(
            "DELETE FROM refused_requests WHERE minute < ? RETURNING minute, malformed, rate_limited",
            values![current],
        )?;
        for (from, malformed, rate_limited) in over {
            let summary = RefusedRequests { from, until: from + MINUTE, malformed, rate_limited };
            // What says nothing of a single request may be lost if nothing can be stored for a long time.
            self.keep(now - backoff(1), &summary.record())?;
        }
        Ok(())
    }

    /// A record was stored, or could not be.
    pub(super) fn stored(&mut self, now: Timestamp, number: u64, is_stored: bool) -> Result<(), SqlError> {
        self.in_flight.remove(&number);
        if is_stored {
            (self.failures, self.paused_until) = (0, Timestamp::EPOCH);
            let bytes = self.sql.first::<(u64,)>(
                "DELETE FROM audit_record WHERE number = ? RETURNING length(CAST(json AS BLOB))",
                values![number],
            )?;
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes.map_or(0, |(bytes,)| bytes));
        } else {
            self.failures = self.failures.saturating_add(1);
            let rounds = self.failures.checked_div(FAILURES_PER_ROUND).unwrap_or_default();
            if rounds > 0 {
                self.paused_until = now + backoff(rounds);
            }
            let attempt = self.sql.first::<(u32,)>(
                "UPDATE audit_record SET attempt = attempt + 1 WHERE number = ? RETURNING attempt",
                values![number],
            )?;
            let due = now + backoff(attempt.map_or(1, |(attempt,)| attempt));
            self.sql.execute("UPDATE audit_record SET due = ? WHERE number = ?", values![due, number])?;
        }
        self.find_due()
    }
}

fn minute_of(time: Timestamp) -> Timestamp {
    let minute = u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(time.as_millis().checked_rem(minute).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openagents_host::Timestamp;
    use openagents_host::native::Sqlite;
    use openagents_host::sql::migrate;
    use serde_json::Value;

    use super::{AuditQueue, MAX_IN_FLIGHT, MAX_KEPT_BYTES, MINUTE, UnprocessedRequest};
    use crate::audit::AuditRecord;
    use crate::engine::GATEWAY_SCHEMA;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_040);

    fn queue() -> (Sqlite, AuditQueue<Sqlite>) {
        let sql = Sqlite::in_memory().unwrap();
        migrate(&sql, "gateway", &GATEWAY_SCHEMA).unwrap();
        (sql.clone(), AuditQueue::open(sql).unwrap())
    }

    fn record(id: &str) -> AuditRecord {
        AuditRecord { at: START, id: id.to_owned(), json: format!("\"{id}\"") }
    }

    fn taken(queue: &mut AuditQueue<Sqlite>, now: Timestamp) -> Vec<(u64, AuditRecord)> {
        queue.take_due(now).unwrap()
    }

    #[test]
    fn a_record_is_tried_again_with_growing_pauses_until_it_is_stored() {
        let (sql, mut queue) = queue();
        assert!(queue.keep(START, &record("a")).unwrap());
        let mut now = START;
        for pause in [1, 2, 4, 8] {
            assert_eq!(queue.next_due(), Some(now + Duration::from_secs(pause)));
            now = now + Duration::from_secs(pause);
            let attempt = taken(&mut queue, now);
            assert_eq!(attempt, [(1, record("a"))]);
            assert!(taken(&mut queue, now).is_empty() && !queue.is_idle() && queue.next_due().is_none());
            queue.stored(now, 1, false).unwrap();
        }
        // A process that ends meanwhile begins again.
        let mut queue = AuditQueue::open(sql).unwrap();
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(16)));
        taken(&mut queue, now + Duration::from_secs(16));
        queue.stored(now, 1, true).unwrap();
        assert_eq!((queue.next_due(), queue.kept_bytes), (None, 0));
    }

    #[test]
    fn a_store_that_takes_nothing_is_tried_less_and_less() {
        let (_, mut queue) = queue();
        for number in 0..1_000 {
            assert!(queue.keep(START, &record(&number.to_string())).unwrap());
        }
        let mut attempts = 0;
        for second in 0..600 {
            let now = START + Duration::from_secs(second);
            while queue.next_due().is_some_and(|due| due <= now) {
                for (number, _) in taken(&mut queue, now) {
                    attempts += 1;
                    queue.stored(now, number, false).unwrap();
                }
            }
        }
        assert!((80..=160).contains(&attempts), "{attempts}");
        let now = queue.next_due().unwrap();
        let (number, _) = taken(&mut queue, now)[0];
        queue.stored(now, number, true).unwrap();
        assert!(queue.next_due().is_some_and(|due| due <= now), "the others follow at once");
    }

    #[test]
    fn only_so_many_are_stored_at_once_and_so_many_kept() {
        let (_, mut queue) = queue();
        for number in 0..=MAX_IN_FLIGHT {
            assert!(queue.keep(START, &record(&number.to_string())).unwrap());
        }
        let later = START + MINUTE;
        assert_eq!(taken(&mut queue, later).len(), MAX_IN_FLIGHT);
        assert_eq!(queue.next_due(), None);
        queue.stored(later, 1, true).unwrap();
        assert_eq!(taken(&mut queue, later).len(), 1);
        queue.kept_bytes = MAX_KEPT_BYTES - 2;
        assert!(!queue.keep(START, &record("a")).unwrap());
    }

    #[test]
    fn refused_requests_are_one_record_a_minute() {
        let (_, mut queue) = queue();
        for (seconds, refusal) in [
            (0, UnprocessedRequest::Malformed),
            (30, UnprocessedRequest::RateLimited),
            (59, UnprocessedRequest::RateLimited),
            (60, UnprocessedRequest::Malformed),
        ] {
            queue.count(START + Duration::from_secs(seconds), refusal).unwrap();
        }
        assert_eq!(queue.next_due(), Some(START + MINUTE));
        let first = taken(&mut queue, START + MINUTE);
        assert_eq!(first.len(), 1);
        let json: Value = serde_json::from_str(&first[0].1.json).unwrap();
        assert_eq!(
            (first[0].1.at, &json["malformed"], &json["rate_limited"]),
            (START + MINUTE, &1.into(), &2.into())
        );
        assert_eq!(queue.next_due(), Some(START + MINUTE * 2));
        assert_eq!(taken(&mut queue, START + MINUTE * 2).len(), 1);
    }
}
