//! The `scheduled_run` table: runs of `#[schedule(once)]` functions at times that handlers chose.

use std::collections::BTreeMap;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::backoff;
use super::query::ScheduleSummary;
use super::run::runs::Running;
use super::spec::ScheduleSpec;
use super::vocabulary::{RunId, ScheduleChange};
use crate::declaration::ScheduleRule;

/// How many runs may be scheduled.
const MAX_SCHEDULED: usize = 10_000;

/// How often a run is attempted.
const MAX_ATTEMPTS: u32 = 5;

/// The scheduled runs. What decides when they start is in memory too, so that the database is read for those that start.
pub(super) struct ScheduledRuns<S> {
    sql: S,
    /// The names of the functions, in the order of the declarations; `None` for schedules that repeat.
    functions: Vec<Option<&'static str>>,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Clone, Copy)]
struct Waiting {
    /// The index of the schedule.
    schedule: usize,
    due: Timestamp,
}

impl<S: Sql> ScheduledRuns<S> {
    /// Reads the stored runs, and deletes those of functions that are no longer declared.
    pub(super) fn open(sql: S, spec: &[ScheduleSpec]) -> Result<Self, SqlError> {
        let functions = spec.iter().map(|schedule| match schedule.declaration.rule {
            ScheduleRule::Once => Some(schedule.declaration.name),
            ScheduleRule::Every(_) | ScheduleRule::Cron(_) => None,
        });
        let mut runs = Self { functions: functions.collect(), waiting: BTreeMap::new(), sql };
        runs.read()?;
        Ok(runs)
    }

    fn read(&mut self) -> Result<(), SqlError> {
        self.waiting.clear();
        let rows = self
            .sql
            .rows::<(u64, String, Timestamp)>("SELECT number, schedule, due FROM scheduled_run", &[])?;
        for (number, name, due) in rows {
            match self.index(&name) {
                Some(schedule) => drop(self.waiting.insert(number, Waiting { schedule, due })),
                None => self.delete(number)?,
            }
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|function| *function == Some(name))
    }

    /// The run that has been due longest and is not in progress: its number, and the index of its schedule.
    pub(super) fn next(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<(u64, usize)> {
        let due = self.idle(running).filter(|(_, waiting)| waiting.due <= now);
        due.min_by_key(|(_, waiting)| waiting.due).map(|(number, waiting)| (number, waiting.schedule))
    }

    /// When the next run is due, after `now`.
    pub(super) fn next_due(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<Timestamp> {
        self.idle(running).map(|(_, waiting)| waiting.due).filter(|due| *due > now).min()
    }

    /// The index of a run's schedule.
    pub(super) fn schedule_of(&self, number: u64) -> Option<usize> {
        self.waiting.get(&number).map(|waiting| waiting.schedule)
    }

    /// Applies what a run wants: a new one replaces that of the same function and key.
    pub(super) fn change(&mut self, change: &ScheduleChange) -> Result<(), SqlError> {
        let ScheduleChange { function, key, run } = change;
        let replaced = self.sql.first::<(u64,)>(
            "DELETE FROM scheduled_run WHERE schedule = ? AND key = ? RETURNING number",
            values![function, key],
        )?;
        if let Some((number,)) = replaced {
            self.waiting.remove(&number);
        }
        let (Some((due, payload)), Some(schedule)) = (run, self.index(function)) else { return Ok(()) };
        if self.waiting.len() >= MAX_SCHEDULED {
            let reason = format!("{MAX_SCHEDULED} runs are scheduled already");
            return Err(SqlError::Statement(reason));
        }
        let inserted = self.sql.first::<(u64,)>(
            "INSERT INTO scheduled_run (schedule, key, due, payload) VALUES (?, ?, ?, ?) RETURNING number",
            values![function, key, *due, payload],
        )?;
        if let Some((number,)) = inserted {
            self.waiting.insert(number, Waiting { schedule, due: *due });
        }
        Ok(())
    }

    /// The runs of one function, or of all, those that are due first at the beginning.
    pub(super) fn list(
        &self,
        function: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ScheduleSummary>, SqlError> {
        let rows = self.sql.rows::<(String, String, Timestamp, u32)>(
            "SELECT schedule, key, due, attempt FROM scheduled_run WHERE ? IN ('', schedule) ORDER BY due LIMIT ?",
            values![function.unwrap_or_default(), limit],
        )?;
        let runs = rows.into_iter().map(|(name, key, due, attempt)| ScheduleSummary {
            name,
            rule: "once".to_owned(),
            key: Some(key),
            due: Some(due),
            ran_at: None,
            attempt,
        });
        Ok(runs.collect())
    }

    /// The number of the run with this function and key.
    pub(super) fn find(&self, function: &str, key: &str) -> Result<Option<u64>, SqlError> {
        let found = self.sql.first::<(u64,)>(
            "SELECT number FROM scheduled_run WHERE schedule = ? AND key = ?",
            values![function, key],
        )?;
        Ok(found.map(|(number,)| number))
    }

    /// Makes a run due at this time.
    pub(super) fn make_due(&mut self, number: u64, due: Timestamp) -> Result<(), SqlError> {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.due = due;
        }
        self.sql.execute("UPDATE scheduled_run SET due = ? WHERE number = ?", values![due, number])
    }

    /// Counts an attempt, and returns the payload. `None` if there were too many attempts, all of them interrupted.
    pub(super) fn begin(&self, number: u64) -> Result<Option<String>, SqlError> {
        let begun = self.sql.first::<(String,)>(
            "UPDATE scheduled_run SET attempt = attempt + 1 WHERE number = ? AND attempt < ? RETURNING payload",
            values![number, MAX_ATTEMPTS],
        )?;
        Ok(begun.map(|(payload,)| payload))
    }

    /// The run has succeeded.
    pub(super) fn done(&mut self, number: u64) -> Result<(), SqlError> {
        self.waiting.remove(&number);
        self.delete(number)
    }

    /// The run has failed: it is attempted again after a growing pause, or given up. Returns whether it is attempted again.
    /// Interrupted attempts count.
    pub(super) fn failed(&mut self, number: u64, now: Timestamp) -> Result<bool, SqlError> {
        let attempts = self
            .sql
            .first::<(u32,)>("SELECT attempt FROM scheduled_run WHERE number = ?", values![number])?;
        let attempts = attempts.map_or(MAX_ATTEMPTS, |(attempts,)| attempts);
        if attempts >= MAX_ATTEMPTS {
            self.done(number)?;
            return Ok(false);
        }
        let due = now + backoff(attempts);
        self.make_due(number, due)?;
        Ok(true)
    }

    /// Deletes the runs whose keys are in this range.
    pub(super) fn forget_keys(&mut self, from: &str, to: &str) -> Result<(), SqlError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.sql.execute("DELETE FROM scheduled_run WHERE key >= ? AND key < ?", values![from, to])?;
        self.read()
    }

    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        self.read()
    }

    fn delete(&self, number: u64) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM scheduled_run WHERE number = ?", values![number])
    }

    fn idle<'a>(
        &'a self,
        running: &'a BTreeMap<RunId, Running>,
    ) -> impl Iterator<Item = (u64, Waiting)> + 'a {
        let all = self.waiting.iter().map(|(number, waiting)| (*number, *waiting));
        all.filter(|(number, _)| !running.contains_key(&RunId::Scheduled(*number)))
    }
}
