//! Starting, leasing and finishing runs.

use std::time::Duration;

use openagents_host::{EventId, Sql, SqlError, Timestamp};

use crate::declaration::JobDeclaration;
use crate::engine::intake::requests::UnreadableRequest;
use crate::engine::job_state::JobState;
use crate::engine::jobs::JobRow;
use crate::engine::run::next::{StartOf, WorkKind};
use crate::engine::spec::ReceivedEventHandler;
use crate::engine::{
    Changes, Effect, HOOK_TIMEOUT, Hook, JobEngine, JobFailure, Lease, RunId, RunOutcome, Task, backoff,
};

/// How much longer a lease is than its handler's timeout, so that the timeout ends the run first.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// How long a run of this job goes on before its customer is told that it is being processed.
fn processing_after(job: &JobRow, declaration: &JobDeclaration) -> Duration {
    if job.price.is_some_and(|price| !price.is_free()) {
        Duration::ZERO
    } else {
        declaration.processing_after
    }
}

/// A run in progress in this process.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Running {
    pub(in crate::engine) attempt: u32,
    pub(in crate::engine) exclusive: bool,
    /// When the customer of a job is told that it is being processed, unless that was done.
    pub(in crate::engine) processing_at: Option<Timestamp>,
}

impl Running {
    fn of(lease: Lease, exclusive: bool) -> Self {
        Self { attempt: lease.attempt, exclusive, processing_at: None }
    }
}

impl<S: Sql> JobEngine<S> {
    /// Starts the next run, if it may start now.
    pub(in crate::engine) fn start_next(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, SqlError> {
        let next = self.jobs.next(now)?;
        let Some(start) = self.next_start(now, next.as_ref().map(|job| job.kind.0)) else { return Ok(false) };
        if !self.may_start(&start) {
            return Ok(false);
        }
        match start.run {
            StartOf::NextJob => match next {
                Some(job) => {
                    self.last_turn = Some(WorkKind::Job);
                    self.start_job(now, job, effects)?;
                }
                None => return Ok(false),
            },
            StartOf::Route { ticket, route } => {
                self.start_route(now, ticket, route, start.exclusive, effects)?;
            }
            StartOf::Event { number, handler } => {
                self.last_turn = Some(WorkKind::Event);
                let Some(event) = self.received_events.begin(number)? else {
                    self.received_events.done(number)?;
                    effects
                        .push(Effect::Warn("an event was interrupted too often, or is damaged".to_owned()));
                    return Ok(true);
                };
                let task = match handler {
                    ReceivedEventHandler::Event(handler) => Some(Task::Event { handler, event }),
                    ReceivedEventHandler::DirectMessage => {
                        self.direct_message(&event).map(Task::DirectMessage)
                    }
                };
                let Some(task) = task else {
                    self.received_events.done(number)?;
                    return Ok(true);
                };
                let timeout = self.spec.received_event(handler).map_or(HOOK_TIMEOUT, |(_, timeout)| timeout);
                let (run, until) = (RunId::Event(number), now + timeout + LEASE_MARGIN);
                self.start_own(run, start.exclusive, until, task, effects)?;
            }
            StartOf::Schedule(index) => {
                let timeout =
                    self.spec.schedules.get(index).map_or(HOOK_TIMEOUT, |spec| spec.declaration.timeout);
                let until = now + timeout + LEASE_MARGIN;
                self.start_own(
                    RunId::Schedule(index),
                    start.exclusive,
                    until,
                    Task::Schedule(index),
                    effects,
                )?;
            }
            StartOf::Scheduled { number, schedule } => {
                let Some(payload) = self.scheduled_runs.begin(number)? else {
                    self.scheduled_runs.done(number)?;
                    effects.push(Effect::Warn("a scheduled run was interrupted too often".to_owned()));
                    return Ok(true);
                };
                let timeout =
                    self.spec.schedules.get(schedule).map_or(HOOK_TIMEOUT, |spec| spec.declaration.timeout);
                let (run, until) = (RunId::Scheduled(number), now + timeout + LEASE_MARGIN);
                self.start_own(run, start.exclusive, until, Task::Scheduled { schedule, payload }, effects)?;
            }
            StartOf::Hook(hook) => {
                let failure = if hook == Hook::Error { self.failures.tell() } else { None };
                if hook == Hook::Sleep {
                    self.lifecycle.note_asleep();
                }
                let (run, until) = (RunId::Hook(hook), now + HOOK_TIMEOUT + LEASE_MARGIN);
                self.start_own(run, start.exclusive, until, Task::Hook(hook, failure), effects)?;
            }
        }
        Ok(true)
    }

    /// Starts to answer the next HTTP request, if that may start now. Hooks that come first have run: other runs are in
    /// progress.
    pub(in crate::engine) fn start_next_route(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<bool, SqlError> {
        let has_begun = self.lifecycle.turn_before_work(&self.spec.hooks).is_none();
        let Some(start) = self.next_route().filter(|start| has_begun && self.may_start(start)) else {
            return Ok(false);
        };
        if let StartOf::Route { ticket, route } = start.run {
            self.start_route(now, ticket, route, start.exclusive, effects)?;
        }
        Ok(true)
    }

    fn start_route(
        &mut self,
        now: Timestamp,
        ticket: u64,
        route: usize,
        exclusive: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some(request) = self.routes.request_of(ticket) else { return Ok(()) };
        self.last_turn = Some(WorkKind::Route);
        let timeout = self.spec.routes.get(route).map_or(HOOK_TIMEOUT, |spec| spec.declaration.timeout);
        let until = now + timeout + LEASE_MARGIN;
        self.start_own(RunId::Route(ticket), exclusive, until, Task::Route { route, request }, effects)
    }

    /// Starts a schedule, route or hook.
    fn start_own(
        &mut self,
        run: RunId,
        exclusive: bool,
        until: Timestamp,
        task: Task,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let lease = Lease { run, attempt: self.lifecycle.next_run() };
        self.running.insert(run, Running::of(lease, exclusive));
        self.jobs.lease_own(lease, until)?;
        effects.push(Effect::Run { lease, task, state: self.state.snapshot() });
        Ok(())
    }

    fn start_job(
        &mut self,
        now: Timestamp,
        mut job: JobRow,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let readable = match self.requests.on_record(&job.id) {
            Ok(readable) => readable,
            Err(UnreadableRequest::Sql(error)) => return Err(error),
            Err(UnreadableRequest::Damaged(reason)) => {
                effects.push(self.give_up_damaged(now, &job, &reason)?);
                return Ok(());
            }
        };
        let Some((handler, spec)) = self.spec.handler(job.kind.0) else {
            let text = "this agent no longer handles jobs of this kind";
            return self.end_with_error(now, &job, &readable, JobState::Failed, text);
        };
        // Interrupted attempts count, so a job that crashes the process cannot do so for ever.
        if job.attempt >= spec.declaration.attempts {
            let text = "the agent was interrupted while it worked on this job";
            self.note_failure(&job, text);
            return self.end_with_error(now, &job, &readable, JobState::Failed, text);
        }
        let Some(outputs) = self.outputs_for(now, &job, &readable)? else { return Ok(()) };
        let attempt = job.attempt.saturating_add(1);
        self.jobs.lease(&job.id, attempt, now + spec.declaration.timeout + LEASE_MARGIN, now)?;
        job.state = JobState::Running;
        let (exclusive, after) = (spec.exclusive, processing_after(&job, &spec.declaration));
        if attempt == 1 && after.is_zero() {
            self.send_processing(now, &job, &readable)?;
        }
        let lease = Lease { run: RunId::Job(job.id), attempt };
        let processing_at = (!after.is_zero()).then(|| now + after);
        self.running.insert(lease.run, Running { processing_at, ..Running::of(lease, exclusive) });
        let task = Task::Job { handler, request: Box::new(readable.request.clone()), outputs };
        effects.push(Effect::Run { lease, task, state: self.state.snapshot() });
        Ok(())
    }

    /// Tells the customers of jobs that have been running for long enough that they are being processed.
    pub(in crate::engine) fn publish_processing(&mut self, now: Timestamp) -> Result<(), SqlError> {
        let is_due = |running: &Running| running.processing_at.is_some_and(|at| at <= now);
        let due: Vec<RunId> =
            self.running.iter().filter(|(_, running)| is_due(running)).map(|(run, _)| *run).collect();
        due.into_iter().try_for_each(|run| self.tell_processing(now, run))
    }

    /// Tells the customer of a running job that it is being processed, unless that was done.
    pub(in crate::engine) fn tell_processing(&mut self, now: Timestamp, run: RunId) -> Result<(), SqlError> {
        let is_told = self.running.get_mut(&run).is_none_or(|running| running.processing_at.take().is_none());
        let RunId::Job(id) = run else { return Ok(()) };
        if is_told {
            return Ok(());
        }
        let Some(job) = self.jobs.find(&id)? else { return Ok(()) };
        match self.requests.on_record(&id) {
            Ok(readable) => self.send_processing(now, &job, &readable),
            Err(UnreadableRequest::Sql(error)) => Err(error),
            Err(UnreadableRequest::Damaged(_)) => Ok(()),
        }
    }

    /// When the customer of a running job is to be told that it is being processed.
    pub(in crate::engine) fn processing_due(&self) -> Option<Timestamp> {
        self.running.values().filter_map(|running| running.processing_at).min()
    }

    /// Ends leases past their deadline: their runs were lost or hang.
    pub(in crate::engine) fn expire(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let expired = self.jobs.expired(now)?;
        for lease in expired {
            match lease.run {
                RunId::Job(job) => self.jobs.requeue(&job, now)?,
                RunId::Schedule(_) | RunId::Hook(_) => self.jobs.end_own(lease).map(drop)?,
                RunId::Scheduled(number) => {
                    self.jobs.end_own(lease)?;
                    self.scheduled_runs.failed(number, now)?;
                }
                RunId::Event(number) => {
                    self.jobs.end_own(lease)?;
                    self.received_events.failed(number, None, now)?;
                }
                RunId::Route(ticket) => {
                    self.jobs.end_own(lease)?;
                    effects.push(Effect::Respond { ticket, response: None });
                }
            }
            self.running_ended(lease);
        }
        Ok(())
    }

    /// Restores the list of running leases after a rollback.
    ///
    /// # Errors
    /// When the database fails. A run that cannot be read must not be treated as non-exclusive, so the caller tries
    /// again.
    pub(in crate::engine) fn keep_running(&mut self, leases: &[Lease]) -> Result<(), SqlError> {
        let is_leased =
            |run: &RunId, running: &Running| leases.contains(&Lease { run: *run, attempt: running.attempt });
        let lost: Vec<RunId> = self
            .running
            .iter()
            .filter(|(run, running)| !is_leased(run, running))
            .map(|(run, _)| *run)
            .collect();
        for run in lost {
            self.running.remove(&run);
            self.reports.end(&run);
            match run {
                RunId::Hook(Hook::Sleep) => self.lifecycle.note_awake(),
                RunId::Hook(Hook::Error) => self.failures.not_told(),
                RunId::Hook(Hook::Create | Hook::Wake)
                | RunId::Schedule(_)
                | RunId::Scheduled(_)
                | RunId::Event(_)
                | RunId::Route(_)
                | RunId::Job(_) => {}
            }
        }
        self.unrecorded.retain(|lease| leases.contains(lease));
        for lease in leases {
            if !self.unrecorded.contains(lease) {
                self.running.insert(lease.run, self.restored(*lease)?);
            }
        }
        Ok(())
    }

    /// The run of a lease, after a rollback.
    fn restored(&self, lease: Lease) -> Result<Running, SqlError> {
        let exclusive = match &lease.run {
            RunId::Job(id) => {
                let Some(job) = self.jobs.find(id)? else { return Ok(Running::of(lease, true)) };
                let Some((_, spec)) = self.spec.handler(job.kind.0) else {
                    return Ok(Running::of(lease, true));
                };
                // If it was told before, it is the same event again.
                let is_told_later = !processing_after(&job, &spec.declaration).is_zero();
                let processing_at = is_told_later.then_some(Timestamp::EPOCH);
                return Ok(Running { processing_at, ..Running::of(lease, spec.exclusive) });
            }
            RunId::Schedule(index) => self.spec.schedules.get(*index).is_none_or(|spec| spec.exclusive),
            RunId::Scheduled(number) => {
                let schedule = self.scheduled_runs.schedule_of(*number);
                schedule.and_then(|index| self.spec.schedules.get(index)).is_none_or(|spec| spec.exclusive)
            }
            RunId::Event(number) => {
                let handler = self.received_events.handler_of(*number);
                let spec = handler.and_then(|handler| self.spec.received_event(handler));
                spec.is_none_or(|(exclusive, _)| exclusive)
            }
            RunId::Route(ticket) => {
                let route = self.routes.route_of(*ticket);
                route.and_then(|index| self.spec.routes.get(index)).is_none_or(|spec| spec.exclusive)
            }
            RunId::Hook(hook) => self.spec.hooks.exclusive(*hook).unwrap_or_default(),
        };
        Ok(Running::of(lease, exclusive))
    }

    /// Removes the run of this lease from the list of running ones.
    pub(in crate::engine) fn running_ended(&mut self, lease: Lease) {
        if self.running.get(&lease.run).is_some_and(|running| running.attempt == lease.attempt) {
            self.running.remove(&lease.run);
            self.reports.end(&lease.run);
            if let RunId::Route(ticket) = lease.run {
                self.routes.ended(ticket);
            }
        }
    }

    /// Ends a run and stores its outcome and changes in one transaction. If the database rejects the changes because
    /// they are too large, the run has failed: it must not stay without an outcome.
    pub(in crate::engine) fn finished(
        &mut self,
        now: Timestamp,
        lease: Lease,
        outcome: &RunOutcome,
        changes: &Changes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let finished =
            self.commit(effects, |engine, effects| engine.finish(now, lease, outcome, changes, effects));
        let (Err(error), RunOutcome::Done(_)) = (&finished, outcome) else { return finished };
        let failed = RunOutcome::Failed {
            message: "the agent could not store its changes".to_owned(),
            retryable: true,
            pause: None,
        };
        self.commit(effects, |engine, effects| {
            effects.push(Effect::Warn(format!("the changes of {:?} cannot be stored: {error}", lease.run)));
            engine.finish(now, lease, &failed, &Changes::default(), effects)
        })
    }

    fn finish(
        &mut self,
        now: Timestamp,
        lease: Lease,
        outcome: &RunOutcome,
        changes: &Changes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        if !matches!(lease.run, RunId::Job(_)) && !self.jobs.end_own(lease)? {
            return Ok(());
        }
        match lease.run {
            RunId::Job(job) => {
                self.lifecycle.note_work();
                self.finish_job(now, &job, lease.attempt, outcome, changes)
            }
            RunId::Schedule(index) => {
                self.lifecycle.note_work();
                self.schedules.ran(index, now)?;
                self.finish_own("schedule", now, outcome, changes, effects)
            }
            RunId::Scheduled(number) => {
                self.lifecycle.note_work();
                let may_go_on = match outcome {
                    // Before its changes: it may schedule itself again.
                    RunOutcome::Done(_) => self.scheduled_runs.done(number).map(|()| true)?,
                    RunOutcome::Failed { .. } => self.scheduled_runs.failed(number, now)?,
                };
                let name = if may_go_on { "scheduled run" } else { "scheduled run, for the last time," };
                self.finish_own(name, now, outcome, changes, effects)
            }
            RunId::Event(number) => {
                self.lifecycle.note_work();
                let may_go_on = match outcome {
                    RunOutcome::Done(_) | RunOutcome::Failed { retryable: false, .. } => {
                        self.received_events.done(number).map(|()| false)?
                    }
                    RunOutcome::Failed { pause, .. } => self.received_events.failed(number, *pause, now)?,
                };
                self.send_reply(now, number, outcome, changes, effects)?;
                let name = if may_go_on { "event" } else { "event, for the last time," };
                self.finish_own(name, now, outcome, changes, effects)
            }
            RunId::Route(ticket) => {
                self.lifecycle.note_work();
                self.finish_route(now, ticket, outcome, changes, effects)
            }
            RunId::Hook(Hook::Create) => {
                match outcome {
                    RunOutcome::Done(_) => self.lifecycle.created(now)?,
                    RunOutcome::Failed { .. } => self.lifecycle.not_created(now),
                }
                self.finish_own(Hook::Create.as_str(), now, outcome, changes, effects)
            }
            RunId::Hook(Hook::Wake) => {
                self.lifecycle.note_awake();
                self.finish_own(Hook::Wake.as_str(), now, outcome, changes, effects)
            }
            RunId::Hook(hook @ (Hook::Sleep | Hook::Error)) => {
                self.finish_own(hook.as_str(), now, outcome, changes, effects)
            }
        }
        .inspect(|()| self.lifecycle.note_run_end(now))
    }

    fn finish_own(
        &mut self,
        name: &str,
        now: Timestamp,
        outcome: &RunOutcome,
        changes: &Changes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        match outcome {
            RunOutcome::Done(_) => self.store_changes(now, changes),
            RunOutcome::Failed { message, .. } => {
                effects.push(Effect::Warn(format!("{name} failed: {message}")));
                Ok(())
            }
        }
    }

    fn finish_job(
        &mut self,
        now: Timestamp,
        id: &EventId,
        attempt: u32,
        outcome: &RunOutcome,
        changes: &Changes,
    ) -> Result<(), SqlError> {
        let Some(job) = self.jobs.leased(id, attempt)? else { return Ok(()) };
        let readable = match self.requests.on_record(id) {
            Ok(readable) => readable,
            Err(UnreadableRequest::Sql(error)) => return Err(error),
            Err(UnreadableRequest::Damaged(reason)) => {
                return self.give_up_damaged(now, &job, &reason).map(drop);
            }
        };
        let attempts = self.spec.handler(job.kind.0).map_or(1, |(_, spec)| spec.declaration.attempts);
        match outcome {
            RunOutcome::Failed { retryable: true, pause, .. } if attempt < attempts => {
                self.jobs.requeue(id, now + pause.unwrap_or_else(|| backoff(attempt)))
            }
            RunOutcome::Failed { message, .. } => {
                self.note_failure(&job, message);
                self.end_with_error(now, &job, &readable, JobState::Failed, message)
            }
            RunOutcome::Done(output) => {
                let Ok(result) = self.result(now, &readable, output) else {
                    let text = "the output is too large for an event";
                    self.note_failure(&job, text);
                    return self.end_with_error(now, &job, &readable, JobState::Failed, text);
                };
                self.store_changes(now, changes)?;
                if self.withhold_result(now, &job, &result)? {
                    return Ok(());
                }
                self.end(now, &job, &readable, JobState::Done, &result)
            }
        }
    }

    fn note_failure(&mut self, job: &JobRow, message: &str) {
        if self.spec.hooks.on_error.is_none() {
            return;
        }
        self.failures.note(JobFailure {
            request: job.id,
            kind: job.kind,
            customer: job.customer,
            message: message.to_owned(),
        });
    }

    /// When the agent goes to sleep, if it has an `on_sleep` hook: some time after its last run.
    pub(in crate::engine) fn sleep_due(&self) -> Option<Timestamp> {
        let is_idle = self.running.is_empty() && self.spec.hooks.on_sleep.is_some();
        if is_idle { self.lifecycle.sleep_due() } else { None }
    }
}
