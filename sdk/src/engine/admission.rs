//! Whether a request is taken on, and what it must wait for before it is queued.

use std::time::Duration;

use openagents_host::{Sql, SqlError, Timestamp, VerifiedEvent};

use super::job_state::JobState;
use super::ledger::{NewJob, Record};
use super::outbox::Destination;
use super::requests::Readable;
use super::{Admission, Effect, JobEngine};
use crate::agent::Requests as Answered;
use crate::nip90::{InputKind, Status};
use crate::price::Price;

/// How far the clock of a customer may be ahead.
pub(super) const CLOCK_DIFFERENCE: Duration = Duration::from_secs(15 * 60);

/// How long ended jobs stay on record.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl<S: Sql> JobEngine<S> {
    /// Takes what came in.
    pub(super) fn admit(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        source: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<Admission, SqlError> {
        if event.json().len() > super::answers::MAX_EVENT {
            return Ok(Admission::NotOurs);
        }
        if event.kind == crate::nip90::DELETION {
            return self.cancel(now, event, effects);
        }
        let Some((_, handler)) = self.facts.handler(event.kind.0) else { return Ok(Admission::NotOurs) };
        if let Some(job) = self.ledger.find(&event.id)? {
            return self.repeat(now, &job, event, source);
        }
        let Some(readable) = self.requests.read(event) else { return Ok(Admission::NotOurs) };
        let me = self.keys.public_key();
        let named = readable.request.providers.contains(&me);
        if !readable.request.is_for(&me) || (self.facts.declaration.requests == Answered::Named && !named) {
            return Ok(Admission::NotOurs);
        }
        let refusal = self.refusal(now, &readable)?;
        // Relays keep old requests for whoever comes late; those that name nobody were answered by others long ago.
        let is_old = matches!(refusal, Some(Refusal::Old | Refusal::Expired));
        if is_old && source.is_some() && !named {
            return Ok(Admission::NotOurs);
        }
        let waits_for_jobs = readable.request.inputs.iter().any(|input| input.kind == InputKind::Job);
        let price = handler.declaration.price;
        // Most jobs: nothing to wait for, and nothing to find out.
        let is_ready = refusal.is_none() && !waits_for_jobs && !handler.quotes && price.is_free();
        let state = if is_ready { JobState::Queued } else { JobState::Received };
        let (id, kind, customer, request) = (&event.id, event.kind, &event.pubkey, &**event.json());
        self.ledger.record(
            &NewJob { id, kind, customer, request, source, state, price: is_ready.then_some(price) },
            now,
        )?;
        self.unfinished = self.unfinished.saturating_add(1);
        if is_ready {
            self.requests.remember(readable);
            return Ok(Admission::Queued);
        }
        let job = Record {
            id: event.id,
            kind: event.kind,
            customer: event.pubkey,
            state,
            attempt: 0,
            price: None,
            deadline: None,
            source: source.map(str::to_owned),
            received_at: now,
        };
        if let Some(refusal) = refusal {
            let state = if refusal == Refusal::Cancelled { JobState::Cancelled } else { JobState::Rejected };
            self.end_with_error(now, &job, &readable, state, &self.explain(refusal))?;
            return Ok(Admission::Rejected);
        }
        let readable = self.requests.remember(readable);
        if self.await_inputs(now, &job, &readable)? {
            return Ok(Admission::Queued);
        }
        // The alarm asks the handler.
        if handler.quotes {
            return Ok(Admission::Queued);
        }
        self.priced(now, &job, &readable, price)
    }

    /// A request that is on record came again. Where it was not seen before, its customer may be waiting for the answer
    /// there too; but not if the request says where it is to be.
    fn repeat(
        &mut self,
        now: Timestamp,
        job: &Record,
        event: &VerifiedEvent,
        source: Option<&str>,
    ) -> Result<Admission, SqlError> {
        let Some(source) = source else { return Ok(Admission::Duplicate) };
        if !self.ledger.seen_on(job, source)? || !job.state.is_final() {
            return Ok(Admission::Duplicate);
        }
        let names_relays =
            self.requests.read(event).is_some_and(|readable| !readable.request.relays.is_empty());
        let answer = self.ledger.answer(&job.id)?.filter(|_| !names_relays);
        let answer = answer.and_then(|json| openagents_host::Event::from_json(&json).ok());
        if let Some(answer) = answer.and_then(|answer| answer.verify().ok()) {
            self.outbox.put(&answer, &Destination::Relay(source.to_owned()), now)?;
        }
        Ok(Admission::Duplicate)
    }

    fn refusal(&self, now: Timestamp, readable: &Readable) -> Result<Option<Refusal>, SqlError> {
        let request = &readable.request;
        let created_at = Timestamp::from_seconds(request.event.created_at);
        let malformed_input = request.inputs.iter().any(|input| {
            input.kind == InputKind::Job && openagents_host::EventId::from_hex(&input.data).is_err()
        });
        let jobs = request.inputs.iter().filter(|input| input.kind == InputKind::Job).count();
        Ok(if self.was_cancelled(&request.id(), &request.customer())? {
            Some(Refusal::Cancelled)
        } else if request.expires_at.is_some_and(|expiry| expiry <= now) {
            Some(Refusal::Expired)
        } else if created_at + self.facts.declaration.max_age < now {
            Some(Refusal::Old)
        } else if created_at > now + CLOCK_DIFFERENCE {
            Some(Refusal::Future)
        } else if self.unfinished >= u64::from(self.facts.declaration.queue) {
            Some(Refusal::Full)
        } else if malformed_input {
            Some(Refusal::MalformedInput)
        } else if jobs > super::waiting::MAX_JOB_INPUTS {
            Some(Refusal::TooManyInputs)
        } else {
            None
        })
    }

    fn explain(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Cancelled => super::cancellation::CANCELLED.to_owned(),
            Refusal::Expired => "the request has expired".to_owned(),
            Refusal::Old => {
                format!("the request is older than {} s", self.facts.declaration.max_age.as_secs())
            }
            Refusal::Future => "the request was made in the future: check your clock".to_owned(),
            Refusal::Full => "the agent has too much to do already: try again later".to_owned(),
            Refusal::MalformedInput => {
                "a job input must be the id of an event, 64 hex characters: [\"i\", \"<id>\", \"job\"]"
                    .to_owned()
            }
            Refusal::TooManyInputs => {
                format!("a request may build upon {} jobs at most", super::waiting::MAX_JOB_INPUTS)
            }
        }
    }

    /// Goes on with a received job whose price is known.
    pub(super) fn priced(
        &mut self,
        now: Timestamp,
        job: &Record,
        readable: &Readable,
        price: Price,
    ) -> Result<Admission, SqlError> {
        self.ledger.price(&job.id, price)?;
        let refusal = match readable.request.bid {
            _ if price.is_free() => None,
            Some(bid) if bid < price.as_msat() => {
                Some(format!("this job costs {price}, more than the bid of {bid} msat"))
            }
            _ if !self.options.wallet => {
                Some(format!("this job costs {price}, and this agent has no wallet to be paid with"))
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.end_with_error(now, job, readable, JobState::Rejected, &refusal)?;
            return Ok(Admission::Rejected);
        }
        let next = if price.is_free() { JobState::Queued } else { JobState::AwaitingPayment };
        self.ledger.advance(&job.id, job.state, next, Some(now))?;
        if next == JobState::AwaitingPayment {
            self.ledger.wait_until(&job.id, now + super::waiting::WALLET_PATIENCE)?;
        }
        Ok(Admission::Queued)
    }

    /// Puts a received job on hold if it builds upon other jobs; says whether it does.
    fn await_inputs(&mut self, now: Timestamp, job: &Record, readable: &Readable) -> Result<bool, SqlError> {
        let mut missing = None;
        for input in readable.request.inputs.iter().filter(|input| input.kind == InputKind::Job) {
            let Ok(event) = openagents_host::EventId::from_hex(&input.data) else { continue };
            self.want_output(&job.id, &event)?;
            missing.get_or_insert(event);
        }
        let Some(missing) = missing else { return Ok(false) };
        self.ledger.advance(&job.id, job.state, JobState::AwaitingInput, Some(now))?;
        self.ledger.wait_until(&job.id, now + super::waiting::INPUT_PATIENCE)?;
        let text = format!("waiting for the output of job {missing}");
        self.tell(now, job, readable, &Status::Processing, Some(&text))?;
        Ok(true)
    }

    /// How long ended jobs stay on record: longer than a request can come again.
    pub(super) fn retention(&self) -> Duration {
        RETENTION.max(self.facts.declaration.max_age.saturating_mul(2))
    }
}

/// Why a request is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Cancelled,
    Expired,
    Old,
    Future,
    Full,
    MalformedInput,
    TooManyInputs,
}
