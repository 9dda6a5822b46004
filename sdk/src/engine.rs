//! The job engine: what happens to a job request from its arrival to its result or error.
//!
//! A request is stored before its arrival is acknowledged. Each run has a lease, which ends with the run's outcome,
//! at its deadline, or with the process. The outcome, the run's changes and the event for the customer are committed
//! in one transaction, and the event stays in the outbox until a relay has accepted it. So a handler may run again
//! after a crash, but a request has one outcome and one result event.
//!
//! Handling an input only stores it. [`alarm`](Engine::alarm) starts and delivers what is due;
//! [`next_alarm`](Engine::next_alarm) tells the host when to call it, which may be at once.

mod audit_queue;
mod blob_inputs;
mod client_rates;
mod delivery;
mod direct_messages;
mod inputs;
mod intake;
mod job_state;
mod jobs;
mod lifecycle;
mod look_ups;
mod message;
mod metrics;
mod output;
mod payment;
mod polls;
mod pricing;
mod query;
mod received_events;
mod records;
mod routes;
mod run;
mod scheduled_runs;
mod schedules;
mod spec;
mod state;
mod state_change;
mod unfinished;
mod vocabulary;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::sql::{SchemaError, migrate};
use openagents_host::{Engine, Keys, Sql, SqlError, Timestamp};

use audit_queue::{AuditQueue, UnprocessedRequest};
use client_rates::ClientRates;
use delivery::announcements::Announcements;
use delivery::outbox::Outbox;
use intake::requests::RequestStore;
use jobs::{JobDueTimes, JobTable};
use lifecycle::Lifecycle;
use look_ups::LookUps;
use payment::{InvoiceTable, PaymentLedger};
use polls::RelayPolls;
use received_events::ReceivedEvents;
use routes::RouteRequests;
use run::failures::Failures;
use run::next::WorkKind;
use run::reports::Reports;
use run::runs::Running;
use scheduled_runs::ScheduledRuns;
use schedules::Schedules;
use state::StateStore;
use unfinished::UnfinishedJobs;

pub(crate) use client_rates::{ClientAdmission, CountedRequest};
pub use job_state::JobState;
pub(crate) use message::{Effect, HoldEnd, Input, Options, Task};
pub use output::Output;
#[cfg(test)]
pub(crate) use query::PaymentTotal;
pub(crate) use query::{
    AgentMetrics, EndedJobs, JobDetails, JobSummary, ManualRun, MemoryKey, MemoryValue, PaymentMovement,
    ScheduleSummary, SessionSummary, SessionTurn, StateQuery, StateReply, Workload,
};
pub(crate) use routes::MAX_ROUTE_WAIT;
pub(crate) use spec::{
    AgentSpec, DirectMessageSpec, EventSpec, HOOK_TIMEOUT, HandlerSpec, HookSpec, RouteSpec, ScheduleSpec,
};
pub(crate) use state_change::{ManualStateChange, NewState, StateChange};
pub(crate) use vocabulary::{
    Changes, Delivery, DeliveryLimits, Destination, Hook, JobOutput, Lease, MAX_OUTPUT, NewTurn, Publication,
    QuoteError, RelayPoll, Report, RequestAdmission, RunId, RunOutcome, ScheduleChange, StateSnapshot,
    WantedBlob,
};
pub use vocabulary::{EventToPublish, JobFailure, Turn};

const SCHEMA: [&str; 11] = [
    include_str!("engine/schema/agent_1.sql"),
    include_str!("engine/schema/agent_2.sql"),
    include_str!("engine/schema/agent_3.sql"),
    include_str!("engine/schema/agent_4.sql"),
    include_str!("engine/schema/agent_5.sql"),
    include_str!("engine/schema/agent_6.sql"),
    include_str!("engine/schema/agent_7.sql"),
    include_str!("engine/schema/agent_8.sql"),
    include_str!("engine/schema/agent_9.sql"),
    include_str!("engine/schema/agent_10.sql"),
    include_str!("engine/schema/agent_11.sql"),
];

/// Tables about external relays.
const EXTERNAL_SCHEMA: [&str; 4] = [
    include_str!("engine/schema/outside_1.sql"),
    include_str!("engine/schema/outside_2.sql"),
    include_str!("engine/schema/outside_3.sql"),
    include_str!("engine/schema/outside_4.sql"),
];

/// Tables about events that agents handle.
const RECEIVED_SCHEMA: [&str; 1] = [include_str!("engine/schema/received_1.sql")];

/// Tables about what operators do.
const OPERATOR_SCHEMA: [&str; 1] = [include_str!("engine/schema/operator_1.sql")];

/// Tables of the gateway.
const GATEWAY_SCHEMA: [&str; 2] =
    [include_str!("engine/schema/gateway_1.sql"), include_str!("engine/schema/gateway_2.sql")];

/// The job engine; see the [module](self).
pub(crate) struct JobEngine<S> {
    sql: S,
    keys: Keys,
    spec: AgentSpec,
    options: Options,
    jobs: JobTable<S>,
    requests: RequestStore<S>,
    invoices: InvoiceTable<S>,
    ledger: PaymentLedger<S>,
    outbox: Outbox<S>,
    state: StateStore<S>,
    schedules: Schedules<S>,
    scheduled_runs: ScheduledRuns<S>,
    received_events: ReceivedEvents<S>,
    lifecycle: Lifecycle<S>,
    polls: RelayPolls<S>,
    /// The look-ups of jobs' inputs that wait and those in progress.
    look_ups: LookUps,
    announcements: Announcements<S>,
    /// When the next announcement is due.
    announce_at: Option<Timestamp>,
    client_rates: ClientRates<S>,
    audit: AuditQueue<S>,
    reports: Reports,
    routes: RouteRequests,
    /// Whose turn it was last.
    last_turn: Option<WorkKind>,
    /// The runs that are in progress in this process.
    running: BTreeMap<RunId, Running>,
    /// Leases whose runs ended without their outcome being stored. They expire at their deadline.
    unrecorded: Vec<Lease>,
    /// The numbers of stored jobs that are not in a final state.
    unfinished: UnfinishedJobs,
    /// Failures not yet passed to `on_error`.
    failures: Failures,
    /// When jobs are next due, as of the last input.
    dues: JobDueTimes,
    alarm: Option<Timestamp>,
    /// Whether a transaction was rolled back after it had changed values in memory.
    is_stale: bool,
}

/// The agent's stored state, while no engine uses the database. Brings the tables up to date.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn stored_state<S: Sql>(sql: S, form: u32) -> Result<StateStore<S>, SchemaError> {
    migrate(&sql, "agent", &SCHEMA)?;
    Ok(StateStore::open(sql, form)?)
}

impl<S: Sql> JobEngine<S> {
    /// Opens the agent's database. Runs that an earlier process left unfinished are due again.
    ///
    /// # Errors
    /// When the tables cannot be updated or read.
    pub(crate) fn open(
        sql: S,
        keys: Keys,
        spec: AgentSpec,
        options: Options,
        now: Timestamp,
    ) -> Result<Self, SchemaError> {
        migrate(&sql, "agent", &SCHEMA)?;
        migrate(&sql, "outside", &EXTERNAL_SCHEMA)?;
        migrate(&sql, "operator", &OPERATOR_SCHEMA)?;
        migrate(&sql, "received", &RECEIVED_SCHEMA)?;
        migrate(&sql, "gateway", &GATEWAY_SCHEMA)?;
        let announcements = Announcements::new(sql.clone(), options.announcements.clone());
        let jobs = JobTable::new(sql.clone());
        jobs.interrupt_all(now)?;
        let mut engine = Self {
            requests: RequestStore::new(sql.clone(), keys.clone()),
            invoices: InvoiceTable::new(sql.clone()),
            ledger: PaymentLedger::new(sql.clone()),
            outbox: Outbox::open(sql.clone(), options.deliveries)?,
            state: StateStore::open(sql.clone(), spec.declaration.state_version)?,
            schedules: Schedules::open(sql.clone(), &spec.schedules, now)?,
            scheduled_runs: ScheduledRuns::open(sql.clone(), &spec.schedules)?,
            received_events: ReceivedEvents::open(sql.clone(), spec.received_kinds())?,
            lifecycle: Lifecycle::open(sql.clone())?,
            polls: RelayPolls::open(
                sql.clone(),
                &options.polled_relays,
                options.poll_every,
                now - spec.declaration.max_age,
                now,
            )?,
            announce_at: announcements.next_due(now)?,
            announcements,
            look_ups: LookUps::default(),
            client_rates: ClientRates::new(sql.clone()),
            audit: AuditQueue::open(sql.clone())?,
            reports: Reports::default(),
            routes: RouteRequests::default(),
            last_turn: None,
            running: BTreeMap::new(),
            unrecorded: Vec::new(),
            unfinished: UnfinishedJobs::read(&sql)?,
            failures: Failures::default(),
            dues: JobDueTimes::default(),
            alarm: None,
            is_stale: false,
            jobs,
            keys,
            spec,
            options,
            sql,
        };
        engine.alarm = engine.due(now)?;
        Ok(engine)
    }

    /// The last committed state.
    pub(crate) fn state(&self) -> StateSnapshot {
        self.state.snapshot()
    }

    /// Whether something is in progress that would be lost if the host forgot its memory.
    fn is_busy(&self, now: Timestamp) -> bool {
        !self.running.is_empty()
            || !self.outbox.is_idle()
            || !self.look_ups.is_idle()
            || !self.routes.is_empty()
            || !self.audit.is_idle()
            || !self.failures.is_empty()
            || (self.lifecycle.is_awake() && self.spec.hooks.on_sleep.is_some())
            || self.lifecycle.next_try(now).is_some()
    }

    /// When the next thing is due: a run that may start, a lease that expires, an event to deliver.
    fn due(&mut self, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        self.dues = self.jobs.dues(now)?;
        let start = self.next_start(now, self.dues.next_kind);
        Ok([
            start.is_some_and(|start| self.may_start(&start)).then_some(now),
            self.dues.next(),
            self.look_ups.may_start(now).then_some(now),
            self.outbox.next_due()?,
            self.polls.next_due()?,
            self.audit.next_due(),
            self.processing_due(),
            self.reports.next_due(),
            self.schedules.next_due(now, &self.running),
            self.scheduled_runs.next_due(now, &self.running),
            self.received_events.next_due(now, &self.running),
            self.routes.next_deadline(&self.running),
            self.sleep_due(),
            self.lifecycle.next_try(now),
            self.announce_at,
        ]
        .into_iter()
        .flatten()
        .min())
    }

    fn act(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), SqlError> {
        // Computed after the last input; since then only time has passed.
        let dues = self.dues;
        if dues.running.is_some_and(|due| due <= now) {
            self.expire(now, effects)?;
        }
        self.publish_processing(now)?;
        self.publish_reports(now)?;
        if dues.waiting.is_some_and(|due| due <= now) {
            self.advance_waiting_jobs(now, effects)?;
        }
        if dues.invoices.is_some_and(|due| due <= now) {
            self.call_wallet_for_ended(now, effects)?;
        }
        self.start_look_ups(now, effects)?;
        self.refuse_late_requests(now, effects);
        while self.start_next(now, effects)? {}
        self.polls.take_due(now, effects)?;
        self.announce(now)?;
        let records = self.audit.take_due(now)?;
        effects
            .extend(records.into_iter().map(|(number, record)| Effect::StoreAuditRecord { number, record }));
        self.outbox.take_due(now, effects)
    }

    /// Runs `work` in one transaction. If that is rolled back, its effects are dropped and memory is reloaded.
    fn commit<T>(
        &mut self,
        effects: &mut Vec<Effect>,
        body: impl FnOnce(&mut Self, &mut Vec<Effect>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.is_stale {
            self.remember()?;
            self.is_stale = false;
        }
        let (sql, before) = (self.sql.clone(), effects.len());
        let committed = sql.transaction(|| body(self, effects));
        if committed.is_ok() {
            self.state.committed();
            let aborted: Vec<Lease> = effects
                .iter()
                .skip(before)
                .filter_map(|effect| if let Effect::Abort { lease } = effect { Some(*lease) } else { None })
                .collect();
            aborted.into_iter().for_each(|lease| self.running_ended(lease));
        } else {
            effects.truncate(before);
            self.rolled_back();
        }
        committed
    }

    /// Publishes what is due and answers HTTP requests, without starting other runs, for a host that waits for its runs to
    /// end.
    #[allow(dead_code, reason = "an alarm of a Durable Object has a time limit, a process has none")]
    pub(crate) fn wind_down(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let said = self.commit(effects, |engine, effects| {
            engine.publish_processing(now)?;
            engine.publish_reports(now)?;
            engine.refuse_late_requests(now, effects);
            while engine.start_next_route(now, effects)? {}
            engine.outbox.take_due(now, effects)
        });
        self.settle(now, said, effects);
    }

    /// Publishes the announcements that are due, on the agent's own relay and on the external relays it serves.
    fn announce(&mut self, now: Timestamp) -> Result<(), SqlError> {
        if self.announce_at.is_none_or(|due| due > now) {
            return Ok(());
        }
        for event in self.announcements.take_due(now, &self.keys)? {
            self.outbox.put(&event, &Destination::Own, now)?;
            for relay in &self.options.relays {
                self.outbox.put(&event, &Destination::Relay(relay.clone()), now)?;
            }
        }
        self.announce_at = self.announcements.next_due(now)?;
        Ok(())
    }

    /// Reloads values in memory from the database after a rollback.
    fn remember(&mut self) -> Result<(), SqlError> {
        self.keep_running(&self.jobs.leases()?)?;
        self.unfinished = UnfinishedJobs::read(&self.sql)?;
        self.outbox.rolled_back();
        self.look_ups.rolled_back();
        self.audit.rolled_back()?;
        self.state.rolled_back()?;
        self.schedules.rolled_back()?;
        self.scheduled_runs.rolled_back()?;
        self.received_events.rolled_back()?;
        self.lifecycle.rolled_back()?;
        let mut failed = BTreeSet::new();
        for job in self.failures.requests() {
            if self.jobs.find(&job)?.is_some_and(|job| job.state == JobState::Failed) {
                failed.insert(job);
            }
        }
        self.failures.retain(|job| failed.contains(job));
        self.announce_at = self.announcements.next_due(Timestamp::EPOCH)?;
        Ok(())
    }

    /// Handles one input, or several deliveries that were accepted.
    fn handle_group(
        &mut self,
        now: Timestamp,
        group: &[Input],
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let [input] = group else {
            let entries: Vec<u64> = group.iter().filter_map(Input::delivered_entry).collect();
            return self.commit(effects, |engine, _| engine.outbox.accepted(&entries, now));
        };
        match input {
            Input::Request { event, source, ticket } => {
                let admitted = self
                    .commit(effects, |engine, effects| engine.admit(now, event, source.as_deref(), effects));
                effects.push(Effect::Taken { ticket: *ticket, result: admitted });
                Ok(())
            }
            Input::Query { query, ticket } => {
                let answer = self.commit(effects, |engine, _| engine.answer(now, query));
                effects.push(Effect::QueryReply { ticket: *ticket, answer });
                Ok(())
            }
            Input::RouteRequest { route, request, ticket } => {
                self.routes.add(now, *ticket, *route, request.clone());
                Ok(())
            }
            Input::Finished { lease, outcome, changes } => {
                let finished = self.finished(now, *lease, outcome, changes, effects);
                if finished.is_err() {
                    self.unrecorded.push(*lease);
                    if let RunId::Route(ticket) = lease.run {
                        effects.push(Effect::Respond { ticket, response: None });
                    }
                }
                self.running_ended(*lease);
                finished
            }
            Input::Reported { lease, report } => {
                self.report(*lease, report);
                Ok(())
            }
            Input::Quoted { job, price } => {
                self.commit(effects, |engine, _| engine.quoted(now, job, price.as_ref()))
            }
            Input::Resolved { job, events, blobs } => {
                let scope = self.look_ups.ended(job);
                self.commit(effects, |engine, _| engine.resolved(now, job, events, blobs, scope))
            }
            Input::Invoiced { job, invoice } => {
                self.commit(effects, |engine, effects| engine.invoiced(now, job, invoice.as_ref(), effects))
            }
            Input::Settled { job, settlement } => self.commit(effects, |engine, effects| {
                engine.settled(now, job, settlement.as_ref().copied(), effects)
            }),
            Input::HoldEnded { job, end, result } => self.commit(effects, |engine, effects| {
                engine.hold_ended(now, job, end, result.as_ref().copied(), effects)
            }),
            Input::Polled { relay, poll } => {
                self.commit(effects, |engine, effects| engine.polled(now, relay, poll, effects))
            }
            Input::AuditRecordStored { number, stored } => self.commit(effects, |engine, effects| {
                if let Err(error) = stored {
                    effects.push(Effect::Warn(format!("an audit record is kept: {error}")));
                }
                engine.audit.stored(now, *number, stored.is_ok())
            }),
            Input::Delivered { entry, delivery: Delivery::ReadFrom(relays) } => {
                self.commit(effects, |engine, _| engine.redirect(now, *entry, relays))
            }
            Input::Delivered { entry, delivery } => self.commit(effects, |engine, effects| {
                effects.extend(engine.outbox.delivered(*entry, delivery, now)?.map(Effect::Warn));
                Ok(())
            }),
        }
    }

    fn settle(&mut self, now: Timestamp, handled: Result<(), SqlError>, effects: &mut Vec<Effect>) {
        match handled.and_then(|()| self.due(now)) {
            Ok(due) => self.alarm = due,
            Err(error) => {
                effects.push(failure(&error));
                self.alarm = Some(now + Duration::from_secs(5));
            }
        }
    }
}

impl<S: Sql> Engine for JobEngine<S> {
    type Sql = S;
    type Input = Input;
    type Effect = Effect;

    fn sql(&self) -> &S {
        &self.sql
    }

    fn handle(&mut self, now: Timestamp, input: &Input, effects: &mut Vec<Effect>) {
        self.handle_all(now, std::slice::from_ref(input), effects);
    }

    /// Records deliveries that follow one another together, and determines what is due once.
    fn handle_all(&mut self, now: Timestamp, inputs: &[Input], effects: &mut Vec<Effect>) {
        if inputs.is_empty() {
            return;
        }
        let mut handled = Ok(());
        for group in inputs.chunk_by(|one, next| one.is_acceptance() && next.is_acceptance()) {
            if let Err(error) = std::mem::replace(&mut handled, self.handle_group(now, group, effects)) {
                effects.push(failure(&error));
            }
        }
        self.settle(now, handled, effects);
    }

    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let acted = self.commit(effects, |engine, effects| engine.act(now, effects));
        self.settle(now, acted, effects);
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        self.alarm
    }

    /// Hosts do not hibernate while something is in progress, so in that case nothing is forgotten.
    fn forget(&mut self, now: Timestamp) {
        if self.is_busy(now) {
            return;
        }
        let (sql, keys) = (self.sql.clone(), self.keys.clone());
        let reopened = Self::open(sql, keys, self.spec.clone(), self.options.clone(), now);
        if let Ok(reopened) = reopened {
            *self = reopened;
        }
    }

    fn rolled_back(&mut self) {
        // If it cannot be read now, it is read before anything else happens.
        self.is_stale = self.remember().is_err();
        // Recomputes at once what is due.
        self.alarm = Some(Timestamp::EPOCH);
    }
}

fn failure(error: &SqlError) -> Effect {
    Effect::Warn(format!("the agent's database failed: {error}; trying again in 5 s"))
}

/// The pause after a failed attempt (counted from 1): 1 s, 2 s, 4 s … up to a minute.
fn backoff(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(6);
    Duration::from_secs(1 << doublings).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests;
