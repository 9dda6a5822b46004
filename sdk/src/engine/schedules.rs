//! The `schedule` table: when each `#[schedule]` function is due next.

use std::collections::BTreeMap;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::RunId;
use super::query::ScheduleSummary;
use super::run::runs::Running;
use super::spec::ScheduleSpec;
use crate::declaration::{ScheduleDeclaration, ScheduleRule, next_time};

pub(super) struct Schedules<S> {
    sql: S,
    /// In the order of the declarations, each with its due time.
    all: Vec<(ScheduleSpec, Timestamp)>,
}

impl<S: Sql> Schedules<S> {
    /// Reads the stored schedules, adds new ones and deletes those that are no longer declared. A run missed while
    /// the agent was down is due now, once.
    pub(super) fn open(sql: S, spec: &[ScheduleSpec], now: Timestamp) -> Result<Self, SqlError> {
        let kept = sql.rows::<(String, String, Timestamp)>("SELECT name, rhythm, due FROM schedule", &[])?;
        let mut all = Vec::new();
        for schedule in spec {
            if schedule.declaration.rule == ScheduleRule::Once {
                all.push((*schedule, Timestamp::EPOCH));
                continue;
            }
            let (name, rule) = (schedule.declaration.name, text(&schedule.declaration.rule));
            let known = kept.iter().find(|(known, as_then, _)| known == name && *as_then == rule);
            let due = match known {
                Some((_, _, due)) => *due,
                None => {
                    let due = next_time(&schedule.declaration.rule, now);
                    sql.execute(
                        "INSERT INTO schedule (name, rhythm, due) VALUES (?, ?, ?)
                         ON CONFLICT (name) DO UPDATE SET rhythm = excluded.rhythm, due = excluded.due",
                        values![name, &rule, due],
                    )?;
                    due
                }
            };
            all.push((*schedule, due));
        }
        for (name, _, _) in kept {
            let repeats = |schedule: &&ScheduleSpec| schedule.declaration.rule != ScheduleRule::Once;
            if !spec.iter().filter(repeats).any(|schedule| schedule.declaration.name == name) {
                sql.execute("DELETE FROM schedule WHERE name = ?", values![&name])?;
            }
        }
        Ok(Self { sql, all })
    }

    /// The schedule that has been due longest and is not running.
    pub(super) fn next(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<usize> {
        self.idle(running).filter(|(_, due)| *due <= now).min_by_key(|(_, due)| *due).map(|(index, _)| index)
    }

    /// When the next schedule is due, after `now`.
    pub(super) fn next_due(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<Timestamp> {
        self.idle(running).map(|(_, due)| due).filter(|due| *due > now).min()
    }

    /// Records the end of a schedule's run. The next run is after `now`, even if several were missed.
    pub(super) fn ran(&mut self, index: usize, now: Timestamp) -> Result<(), SqlError> {
        let Some((schedule, due)) = self.all.get_mut(index) else { return Ok(()) };
        let mut next = match schedule.declaration.rule {
            // Counted from the time it was due, so that it does not drift.
            ScheduleRule::Every(_) => next_time(&schedule.declaration.rule, *due),
            ScheduleRule::Cron(_) | ScheduleRule::Once => next_time(&schedule.declaration.rule, now),
        };
        if next <= now {
            next = next_time(&schedule.declaration.rule, now);
        }
        *due = next;
        self.sql.execute(
            "UPDATE schedule SET due = ?, ran_at = ? WHERE name = ?",
            values![next, now, schedule.declaration.name],
        )
    }

    /// All schedules. Those that run `once` are not due: their runs are in `scheduled_run`.
    pub(super) fn list(&self) -> Result<Vec<ScheduleSummary>, SqlError> {
        let kept = self.sql.rows::<(String, Option<Timestamp>)>("SELECT name, ran_at FROM schedule", &[])?;
        let ran_at = |name: &str| kept.iter().find(|(kept, _)| kept == name).and_then(|(_, ran_at)| *ran_at);
        let schedules = self.all.iter().map(|(schedule, due)| {
            let ScheduleDeclaration { name, rule, .. } = schedule.declaration;
            ScheduleSummary {
                name: name.to_owned(),
                rule: text(&rule),
                key: None,
                due: (rule != ScheduleRule::Once).then_some(*due),
                ran_at: ran_at(name),
                attempt: 0,
            }
        });
        Ok(schedules.collect())
    }

    /// Makes a schedule due now. An interval is counted from then.
    pub(super) fn make_due(&mut self, index: usize, now: Timestamp) -> Result<(), SqlError> {
        let Some((schedule, due)) = self.all.get_mut(index) else { return Ok(()) };
        *due = now;
        let name = schedule.declaration.name;
        self.sql.execute("UPDATE schedule SET due = ? WHERE name = ?", values![now, name])
    }

    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        for (schedule, due) in &mut self.all {
            let name = schedule.declaration.name;
            let kept =
                self.sql.first::<(Timestamp,)>("SELECT due FROM schedule WHERE name = ?", values![name])?;
            if let Some((kept,)) = kept {
                *due = kept;
            }
        }
        Ok(())
    }

    fn idle<'a>(
        &'a self,
        running: &'a BTreeMap<RunId, Running>,
    ) -> impl Iterator<Item = (usize, Timestamp)> + 'a {
        let repeating = self.all.iter().enumerate().filter(|(_, (schedule, _))| {
            // The others are in `scheduled_run`.
            schedule.declaration.rule != ScheduleRule::Once
        });
        let all = repeating.map(|(index, (_, due))| (index, *due));
        all.filter(|(index, _)| !running.contains_key(&RunId::Schedule(*index)))
    }
}

/// The rule as text, to detect a changed rule in a new release.
fn text(rule: &ScheduleRule) -> String {
    match rule {
        ScheduleRule::Every(duration) => format!("every {} ms", duration.as_millis()),
        ScheduleRule::Cron(expression) => format!("cron {expression}"),
        ScheduleRule::Once => "once".to_owned(),
    }
}
