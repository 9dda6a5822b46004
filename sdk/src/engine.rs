//! The job engine: what becomes of a request, from its arrival to the last word about it.
//!
//! A request is on record before its arrival is confirmed. A run is leased: the lease ends with its outcome, with its
//! deadline, or with the process. The outcome, the state that the handler left and the event that tells the customer are
//! one transaction, and that event stays in the outbox until a relay has it. So a handler may run again after a crash,
//! but a request has one outcome and one result event.
//!
//! Handling an input only records it; [`alarm`](Engine::alarm) leases and delivers what is due, and shells are told
//! by [`next_alarm`](Engine::next_alarm) to call it at once.

#[cfg_attr(not(test), expect(dead_code, reason = "the engine does not announce yet"))]
mod announcements;
mod inquiry;
mod ledger;
mod outbox;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use openagents_host::sql::{SchemaError, migrate};
use openagents_host::{Engine, EventId, Keys, Sql, SqlError, Timestamp, VerifiedEvent};

use crate::handler::JobDeclaration;
use crate::job::JobRequest;
use crate::nip90::{Feedback, JobResultEvent, Status};
use crate::output::Output;
use ledger::{Ledger, Queued};
use outbox::Outbox;
use state::StateStore;

pub(crate) use inquiry::Inquiry;
pub(crate) use state::StateSnapshot;

/// How many shared handlers run side by side at most.
const CONCURRENT_RUNS: usize = 64;

/// How much longer a lease is than its handler's timeout, so that the timeout has its say first.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The largest event the engine publishes, in bytes: what fits a row on every host with room to spare.
const MAX_EVENT: usize = 1_500_000;

/// A handler, as far as the engine knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlerFacts {
    pub(crate) declaration: JobDeclaration,
    /// Whether it runs alone.
    pub(crate) exclusive: bool,
}

/// One run of a job. A later attempt has another lease, so an outcome that comes too late finds its lease gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunId {
    /// The job of this request.
    Job(EventId),
}

/// What a handler says while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Progress(String),
    Partial(String),
}

/// What a run changes beside the state, committed with its outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) memory: BTreeMap<String, Option<String>>,
    pub(crate) turns: Vec<NewTurn>,
    pub(crate) events: Vec<openagents_host::UnsignedEvent>,
}

/// Something said in the conversation with a customer.
#[derive(Clone, Debug)]
pub(crate) struct NewTurn {
    pub(crate) customer: openagents_host::PublicKey,
    pub(crate) turn: crate::memory::Turn,
}

impl Lease {
    pub(crate) fn job(&self) -> EventId {
        let RunId::Job(job) = self.run;
        job
    }
}

/// What happens to an agent.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A job request came in; `ticket` comes back when it is on record.
    Request { event: VerifiedEvent, ticket: u64 },
    /// A run ended. `state` is what an exclusive handler left.
    Finished { lease: Lease, outcome: Outcome, state: Option<String> },
    /// An event of the outbox was delivered, or not.
    Delivered { entry: u64, delivery: Delivery },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Output),
    /// The customer is told the message, unless another attempt follows.
    Failed {
        message: String,
        retryable: bool,
    },
}

/// What became of an event on its way to the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The relay has it.
    Accepted,
    /// The relay will never take it.
    Refused(String),
    /// The relay could not be asked.
    Unreachable(String),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The request with this ticket is on record (or none of ours), or could not be recorded.
    Taken { ticket: u64, result: Result<Admission, SqlError> },
    /// Run a handler (an index into the handlers) and report with [`Input::Finished`].
    Run { lease: Lease, handler: usize, request: Box<JobRequest>, state: StateSnapshot },
    /// Deliver an event and report with [`Input::Delivered`]. Events come in the order they must arrive in.
    Publish { entry: u64, event: VerifiedEvent },
    /// Something for the operator to know.
    Warn(String),
}

/// What was made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Queued,
    /// It is on record already.
    Duplicate,
    /// It names other providers, has no handler here, or cannot be read.
    NotOurs,
}

/// See the [module](self).
pub(crate) struct JobEngine<S> {
    sql: S,
    keys: Keys,
    handlers: Vec<HandlerFacts>,
    ledger: Ledger<S>,
    outbox: Outbox<S>,
    state: StateStore<S>,
    /// The runs that this process is doing, with whether they must be alone.
    running: BTreeMap<EventId, Running>,
    alarm: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    attempt: u32,
    exclusive: bool,
}

impl<S: Sql> JobEngine<S> {
    /// Opens the agent's database. Runs that an earlier process began and did not end are due again.
    ///
    /// # Errors
    /// When the tables cannot be brought up to date or read.
    pub(crate) fn open(
        sql: S,
        keys: Keys,
        handlers: Vec<HandlerFacts>,
        now: Timestamp,
    ) -> Result<Self, SchemaError> {
        migrate(&sql, "agent", &[include_str!("engine/schema_1.sql")])?;
        let ledger = Ledger::new(sql.clone());
        ledger.interrupt_all(now)?;
        let mut engine = Self {
            outbox: Outbox::new(sql.clone()),
            state: StateStore::open(sql.clone())?,
            running: BTreeMap::new(),
            alarm: None,
            ledger,
            keys,
            handlers,
            sql,
        };
        engine.alarm = engine.due(now)?;
        Ok(engine)
    }

    /// The state as it was last committed.
    pub(crate) fn state(&self) -> StateSnapshot {
        self.state.snapshot()
    }

    fn admit(&self, now: Timestamp, event: &VerifiedEvent) -> Result<Admission, SqlError> {
        let Ok(request) = JobRequest::from_event(event.clone()) else { return Ok(Admission::NotOurs) };
        // Without a way to decrypt it, an encrypted request is for somebody else.
        if request.encrypted
            || !request.is_for(&self.keys.public_key())
            || self.handler_of(request.kind().0).is_none()
        {
            return Ok(Admission::NotOurs);
        }
        let queued = self.ledger.record(&request, now)?;
        Ok(if queued { Admission::Queued } else { Admission::Duplicate })
    }

    fn handler_of(&self, kind: u16) -> Option<(usize, HandlerFacts)> {
        self.handlers.iter().copied().enumerate().find(|(_, facts)| facts.declaration.kind == kind)
    }

    /// Ends a run. Everything about it is one transaction.
    fn finish(
        &mut self,
        now: Timestamp,
        lease: Lease,
        outcome: &Outcome,
        state: Option<&str>,
    ) -> Result<(), SqlError> {
        if self.running.get(&lease.job()).is_some_and(|running| running.attempt == lease.attempt) {
            self.running.remove(&lease.job());
        }
        let sql = self.sql.clone();
        let ended = sql.transaction(|| {
            let Some(job) = self.ledger.leased(lease)? else { return Ok(()) };
            let attempts =
                self.handler_of(job.request.kind().0).map_or(1, |(_, facts)| facts.declaration.attempts);
            match outcome {
                Outcome::Failed { retryable: true, .. } if lease.attempt < attempts => {
                    self.ledger.requeue(lease.job(), now + backoff(lease.attempt))
                }
                Outcome::Failed { message, .. } => self.fail(now, &job.request, message),
                Outcome::Done(output) => {
                    let event = JobResultEvent::event(&job.request, output.clone()).sign(&self.keys, now);
                    if event.json().len() > MAX_EVENT {
                        return self.fail(now, &job.request, "the output is too large for an event");
                    }
                    if let Some(state) = state {
                        self.state.store(state, now)?;
                    }
                    self.ledger.end(lease.job(), ledger::DONE, now)?;
                    self.outbox.put(&event, now)
                }
            }
        });
        match ended {
            Ok(()) => self.state.committed(),
            Err(_) => self.state.rolled_back(),
        }
        ended
    }

    fn fail(&self, now: Timestamp, request: &JobRequest, message: &str) -> Result<(), SqlError> {
        self.ledger.end(request.id(), ledger::FAILED, now)?;
        let event = Feedback::event(request, &Status::Error, Some(message)).sign(&self.keys, now);
        self.outbox.put(&event, now)
    }

    /// Takes back the leases that ran out: their runs were lost, or hang.
    fn expire(&mut self, now: Timestamp) -> Result<(), SqlError> {
        let expired = self.ledger.expired(now)?;
        for lease in &expired {
            self.ledger.requeue(lease.job(), now)?;
        }
        for lease in expired {
            self.running.remove(&lease.job());
        }
        Ok(())
    }

    /// Leases the next job if it may run now. Jobs run in the order they came: one that must be alone holds up the
    /// ones behind it, so that it is not overtaken for ever.
    fn lease_next(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<bool, SqlError> {
        let Some(Queued { request, attempt }) = self.ledger.next(now)? else { return Ok(false) };
        let Some((handler, facts)) = self.handler_of(request.kind().0) else {
            self.fail(now, &request, "this agent no longer does jobs of this kind")?;
            return Ok(true);
        };
        if !self.may_start(facts.exclusive) {
            return Ok(false);
        }
        // An attempt that was interrupted counts: a job that ends the process must not do so for ever.
        if attempt >= facts.declaration.attempts {
            self.fail(now, &request, "the agent was interrupted while it worked on this job")?;
            return Ok(true);
        }
        let lease = Lease { run: RunId::Job(request.id()), attempt: attempt.saturating_add(1) };
        self.ledger.lease(lease, now + facts.declaration.timeout + LEASE_MARGIN)?;
        if lease.attempt == 1 {
            self.outbox
                .put(&Feedback::event(&request, &Status::Processing, None).sign(&self.keys, now), now)?;
        }
        self.running.insert(lease.job(), Running { attempt: lease.attempt, exclusive: facts.exclusive });
        effects.push(Effect::Run { lease, handler, request, state: self.state.snapshot() });
        Ok(true)
    }

    fn may_start(&self, exclusive: bool) -> bool {
        if exclusive {
            self.running.is_empty()
        } else {
            self.running.len() < CONCURRENT_RUNS && !self.running.values().any(|running| running.exclusive)
        }
    }

    /// When something is to be done next: a job that may start, a lease that runs out, an event to deliver.
    fn due(&self, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        let startable = match self.ledger.next_kind(now)? {
            Some(kind) => {
                let exclusive = self.handler_of(kind).is_some_and(|(_, facts)| facts.exclusive);
                self.may_start(exclusive).then_some(now)
            }
            None => None,
        };
        Ok([startable, self.ledger.next_due(now)?, self.outbox.next_due()?].into_iter().flatten().min())
    }

    fn act(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), SqlError> {
        let sql = self.sql.clone();
        sql.transaction(|| {
            self.expire(now)?;
            while self.lease_next(now, effects)? {}
            self.outbox.take_due(now, effects)
        })
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
        let handled = match input {
            Input::Request { event, ticket } => {
                effects.push(Effect::Taken { ticket: *ticket, result: self.admit(now, event) });
                Ok(())
            }
            Input::Finished { lease, outcome, state } => self.finish(now, *lease, outcome, state.as_deref()),
            Input::Delivered { entry, delivery } => {
                self.outbox.delivered(*entry, delivery, now).map(|warning| {
                    effects.extend(warning.map(Effect::Warn));
                })
            }
        };
        self.settle(now, handled, effects);
    }

    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let before = effects.len();
        let acted = self.act(now, effects);
        if acted.is_err() {
            effects.truncate(before);
            self.rolled_back();
        }
        self.settle(now, acted, effects);
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        self.alarm
    }

    /// Hosts do not hibernate while something is under way, so nothing is forgotten then.
    fn forget(&mut self, now: Timestamp) {
        if self.running.is_empty() && self.outbox.is_idle() {
            let reopened = Self::open(self.sql.clone(), self.keys.clone(), self.handlers.clone(), now);
            if let Ok(reopened) = reopened {
                *self = reopened;
            }
        }
    }

    fn rolled_back(&mut self) {
        // Where the database cannot be read either, the leases run out.
        if let Ok(leases) = self.ledger.leases() {
            self.running.retain(|job, running| {
                leases.contains(&Lease { run: RunId::Job(*job), attempt: running.attempt })
            });
        }
        self.outbox.rolled_back();
        self.state.rolled_back();
    }
}

impl<S: Sql> JobEngine<S> {
    fn settle(&mut self, now: Timestamp, handled: Result<(), SqlError>, effects: &mut Vec<Effect>) {
        match handled.and_then(|()| self.due(now)) {
            Ok(due) => self.alarm = due,
            Err(error) => {
                effects.push(Effect::Warn(format!(
                    "the agent's database failed: {error}; it is tried again in 5 s"
                )));
                self.alarm = Some(now + Duration::from_secs(5));
            }
        }
    }
}

/// The pause after a failed attempt (counted from 1): 1 s, 2 s, 4 s … up to a minute.
fn backoff(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(6);
    Duration::from_secs(1 << doublings).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests;
