//! The `schedule` table: when each `#[schedule]` is due next.

use std::collections::BTreeMap;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::RunId;
use super::run::runs::Running;
use super::spec::ScheduleSpec;
use crate::declaration::{ScheduleRule, next_time};

pub(super) struct Schedules<S> {
    sql: S,
    /// In the order of the declarations, each with when it is due.
    all: Vec<(ScheduleSpec, Timestamp)>,
}

impl<S: Sql> Schedules<S> {
    /// Finds the schedules that the agent had, adds the new ones, and drops those it no longer has. One whose time came
    /// while the agent was away is due now, once.
    pub(super) fn open(sql: S, spec: &[ScheduleSpec], now: Timestamp) -> Result<Self, SqlError> {
        let kept = sql.rows::<(String, String, Timestamp)>("SELECT name, rhythm, due FROM schedule", &[])?;
        let mut all = Vec::new();
        for schedule in spec {
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
            if !spec.iter().any(|schedule| schedule.declaration.name == name) {
                sql.execute("DELETE FROM schedule WHERE name = ?", values![&name])?;
            }
        }
        Ok(Self { sql, all })
    }

    /// The schedule that has been due longest and does not run.
    pub(super) fn next(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<usize> {
        self.idle(running).filter(|(_, due)| *due <= now).min_by_key(|(_, due)| *due).map(|(index, _)| index)
    }

    /// When the next one will be due, after `now`.
    pub(super) fn next_due(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<Timestamp> {
        self.idle(running).map(|(_, due)| due).filter(|due| *due > now).min()
    }

    /// A run of a schedule has ended: its next time is after now, however many it missed.
    pub(super) fn ran(&mut self, index: usize, now: Timestamp) -> Result<(), SqlError> {
        let Some((schedule, due)) = self.all.get_mut(index) else { return Ok(()) };
        let mut next = match schedule.declaration.rule {
            // From when it was due, so that its times do not drift.
            ScheduleRule::Every(_) => next_time(&schedule.declaration.rule, *due),
            ScheduleRule::Cron(_) => next_time(&schedule.declaration.rule, now),
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
        let all = self.all.iter().enumerate().map(|(index, (_, due))| (index, *due));
        all.filter(|(index, _)| !running.contains_key(&RunId::Schedule(*index)))
    }
}

/// A rule as it is compared with the one of an earlier release.
fn text(rule: &ScheduleRule) -> String {
    match rule {
        ScheduleRule::Every(duration) => format!("every {} ms", duration.as_millis()),
        ScheduleRule::Cron(expression) => format!("cron {expression}"),
    }
}
