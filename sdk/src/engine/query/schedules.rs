//! An agent's schedules for its operators: the list, and a run by hand.

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};
use openagents_relay::management::Token;

use super::reply::{ManualRun, ScheduleSummary};
use crate::declaration::ScheduleRule;
use crate::engine::{JobEngine, RunId};

/// How many keys of scheduled runs an error lists.
const MAX_LISTED_KEYS: usize = 20;

impl<S: Sql> JobEngine<S> {
    /// The schedules and the scheduled runs, those that are due first at the beginning.
    pub(super) fn schedule_list(&self, limit: usize) -> Result<Vec<ScheduleSummary>, SqlError> {
        let mut all = self.schedules.list()?;
        for run in self.scheduled_runs.list(None, limit)? {
            all.retain(|schedule| schedule.due.is_some() || schedule.name != run.name);
            all.push(run);
        }
        all.sort_by_key(|schedule| (schedule.due.is_none(), schedule.due));
        all.truncate(limit);
        Ok(all)
    }

    /// Makes a schedule due now, or a scheduled run: the one with this key. A token authorizes one run only.
    pub(super) fn run_by_hand(
        &mut self,
        now: Timestamp,
        token: Option<&Token>,
        name: &str,
        key: &str,
    ) -> Result<ManualRun, SqlError> {
        let Some(index) = self.spec.schedules.iter().position(|spec| spec.declaration.name == name) else {
            let names = self.spec.schedules.iter().map(|spec| spec.declaration.name.to_owned());
            return Ok(ManualRun::UnknownSchedule { names: names.collect() });
        };
        let repeats =
            self.spec.schedules.get(index).is_some_and(|spec| spec.declaration.rule != ScheduleRule::Once);
        let run = if repeats {
            RunId::Schedule(index)
        } else {
            match self.scheduled_runs.find(name, key)? {
                Some(number) => RunId::Scheduled(number),
                None => {
                    let waiting = self.scheduled_runs.list(Some(name), MAX_LISTED_KEYS)?;
                    let keys = waiting.into_iter().filter_map(|run| run.key);
                    return Ok(ManualRun::UnknownKey { keys: keys.collect() });
                }
            }
        };
        if self.running.contains_key(&run) {
            return Ok(ManualRun::Running);
        }
        if let Some(token) = token
            && !self.use_token(now, token)?
        {
            return Ok(ManualRun::UsedToken);
        }
        match run {
            RunId::Scheduled(number) => self.scheduled_runs.make_due(number, now)?,
            _ => self.schedules.make_due(index, now)?,
        }
        Ok(ManualRun::Due)
    }

    /// Uses a token up. Returns whether it was unused.
    pub(in crate::engine) fn use_token(&self, now: Timestamp, token: &Token) -> Result<bool, SqlError> {
        self.sql.execute("DELETE FROM used_operator_token WHERE until < ?", values![now])?;
        let used = self.sql.first::<(Timestamp,)>(
            "INSERT INTO used_operator_token (event, until) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING until",
            values![&token.id, token.remembered_until()],
        )?;
        Ok(used.is_some())
    }
}
