//! Which run is next, and whether it may start now.

use openagents_host::{Sql, Timestamp};

use crate::engine::spec::ReceivedEventHandler;
use crate::engine::{Hook, JobEngine, RunId};

/// How many HTTP requests are answered at once. They have places of their own, beside those of jobs.
const MAX_REQUESTS_AT_ONCE: usize = 16;

/// A run that could start now.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Start {
    pub(super) run: StartOf,
    pub(super) exclusive: bool,
}

/// The kinds of work that strangers cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum WorkKind {
    Job,
    Route,
    Event,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum StartOf {
    NextJob,
    Schedule(usize),
    Scheduled { number: u64, schedule: usize },
    Event { number: u64, handler: ReceivedEventHandler },
    Route { ticket: u64, route: usize },
    Hook(Hook),
}

impl<S: Sql> JobEngine<S> {
    /// The next run that is due, if any. `on_create` and `on_wake` come before everything else. `next_kind` is the
    /// kind of the next queued job.
    pub(in crate::engine) fn next_start(&self, now: Timestamp, next_kind: Option<u16>) -> Option<Start> {
        let Some(work) = self.next_work(now, next_kind) else {
            let note_asleep = self.sleep_due().is_some_and(|due| due <= now);
            return note_asleep.then(|| self.start_of_hook(Hook::Sleep)).flatten();
        };
        let Some(first) = self.lifecycle.turn_before_work(&self.spec.hooks) else { return Some(work) };
        let turns = [first, Hook::Sleep];
        if turns.into_iter().any(|hook| self.running.contains_key(&RunId::Hook(hook)))
            || !self.lifecycle.may_try(now)
        {
            return None;
        }
        self.start_of_hook(first)
    }

    fn next_work(&self, now: Timestamp, next_kind: Option<u16>) -> Option<Start> {
        if !self.failures.is_empty()
            && !self.running.contains_key(&RunId::Hook(Hook::Error))
            && let Some(start) = self.start_of_hook(Hook::Error)
        {
            return Some(start);
        }
        if let Some(index) = self.schedules.next(now, &self.running) {
            let exclusive = self.spec.schedules.get(index).is_some_and(|spec| spec.exclusive);
            return Some(Start { run: StartOf::Schedule(index), exclusive });
        }
        if let Some((number, schedule)) = self.scheduled_runs.next(now, &self.running) {
            let exclusive = self.spec.schedules.get(schedule).is_some_and(|spec| spec.exclusive);
            return Some(Start { run: StartOf::Scheduled { number, schedule }, exclusive });
        }
        self.next_in_turn(now, next_kind)
    }

    /// What comes next of the work that strangers cause. Its kinds take turns, so that much of one does not hold up the
    /// others. One that runs alone has the places of all others; otherwise, a turn without a free place is passed on.
    fn next_in_turn(&self, now: Timestamp, next_kind: Option<u16>) -> Option<Start> {
        let (job, route, event) = (self.next_job(next_kind), self.next_route(), self.next_event(now));
        let in_turn = match self.last_turn {
            None | Some(WorkKind::Job) => [route, event, job],
            Some(WorkKind::Route) => [event, job, route],
            Some(WorkKind::Event) => [job, route, event],
        };
        let mut waiting = in_turn.into_iter().flatten();
        let first = waiting.next()?;
        if first.exclusive || self.may_start(&first) {
            return Some(first);
        }
        Some(waiting.find(|start| start.exclusive || self.may_start(start)).unwrap_or(first))
    }

    fn next_job(&self, next_kind: Option<u16>) -> Option<Start> {
        let exclusive = self.spec.handler(next_kind?).is_some_and(|(_, spec)| spec.exclusive);
        Some(Start { run: StartOf::NextJob, exclusive })
    }

    pub(super) fn next_route(&self) -> Option<Start> {
        let (ticket, route) = self.routes.next(&self.running)?;
        let exclusive = self.spec.routes.get(route).is_some_and(|spec| spec.exclusive);
        Some(Start { run: StartOf::Route { ticket, route }, exclusive })
    }

    fn next_event(&self, now: Timestamp) -> Option<Start> {
        let (number, handler) = self.received_events.next(now, &self.running)?;
        let exclusive = self.spec.received_event(handler).is_some_and(|(exclusive, _)| exclusive);
        Some(Start { run: StartOf::Event { number, handler }, exclusive })
    }

    fn start_of_hook(&self, hook: Hook) -> Option<Start> {
        let exclusive = self.spec.hooks.exclusive(hook)?;
        Some(Start { run: StartOf::Hook(hook), exclusive })
    }

    /// Whether the run may start now. Jobs start in order of arrival: an exclusive one delays those behind it, since
    /// otherwise they could overtake it for ever.
    pub(in crate::engine) fn may_start(&self, start: &Start) -> bool {
        if start.exclusive {
            self.running.is_empty()
        } else {
            let is_request = |run: &RunId| matches!(run, RunId::Route(_));
            let requests = self.running.keys().filter(|run| is_request(run)).count();
            let has_place = match start.run {
                StartOf::Route { .. } => requests < MAX_REQUESTS_AT_ONCE,
                _ => {
                    let most =
                        usize::try_from(self.spec.declaration.concurrency).unwrap_or(usize::MAX).max(1);
                    self.running.len().saturating_sub(requests) < most
                }
            };
            has_place && !self.running.values().any(|running| running.exclusive)
        }
    }
}
