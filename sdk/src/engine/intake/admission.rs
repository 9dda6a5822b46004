//! Admission of a job request: rejected, queued, or waiting for its inputs, price or payment.

use openagents_host::sql::values;
use openagents_host::{Kind, Sql, SqlError, Timestamp, VerifiedEvent};

use super::requests::ReadableRequest;
use crate::declaration::Requests;
use crate::engine::job_state::JobState;
use crate::engine::jobs::{JobRow, NewJob};
use crate::engine::unfinished::NoRoom;
use crate::engine::vocabulary::MAX_EVENT_BYTES;
use crate::engine::{Destination, Effect, JobEngine, RequestAdmission};
use crate::nip90::InputKind;

/// The most `job` inputs in a request.
const MAX_JOB_INPUTS: usize = 16;

impl<S: Sql> JobEngine<S> {
    /// Handles an incoming event: a job request, a cancellation, or a request to vanish.
    pub(in crate::engine) fn admit(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        source: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<RequestAdmission, SqlError> {
        if event.json().len() > MAX_EVENT_BYTES {
            return Ok(RequestAdmission::NotOurs);
        }
        if event.kind == crate::nip90::DELETION {
            return self.cancel(now, event, effects);
        }
        // The agent's own relay hands over only those that are addressed to it.
        if event.kind == Kind::VANISH && source.is_none() {
            return self.forget_customer(now, event, effects);
        }
        let Some((_, handler)) = self.spec.handler(event.kind.0) else {
            return self.receive_event(now, event, source);
        };
        if let Some(job) = self.jobs.find(&event.id)? {
            return self.repeat(now, &job, event, source);
        }
        let Some(readable) = self.requests.read(event) else { return Ok(RequestAdmission::NotOurs) };
        let me = self.keys.public_key();
        let named = readable.request.providers.contains(&me);
        if !readable.request.is_for(&me) || (self.spec.declaration.requests == Requests::Named && !named) {
            return Ok(RequestAdmission::NotOurs);
        }
        let waits_for_jobs = readable.request.inputs.iter().any(|input| input.kind == InputKind::Job);
        let price = handler.declaration.price;
        let names_blobs = readable.named_blobs(&handler.declaration).next().is_some();
        let waits = waits_for_jobs || names_blobs || handler.quotes || !price.is_free();
        let refusal = self.refusal(now, &readable, waits)?;
        // Relays still send old requests to new subscribers. If such a request names nobody, other agents answered it
        // long ago.
        let is_old = matches!(refusal, Some(Refusal::Old | Refusal::Expired));
        if is_old && source.is_some() && !named || refusal == Some(Refusal::Vanished) {
            return Ok(RequestAdmission::NotOurs);
        }
        // Most jobs have nothing to wait for.
        let is_ready = refusal.is_none() && !waits;
        let state = if is_ready { JobState::Queued } else { JobState::Received };
        let (id, kind, customer) = (&event.id, event.kind, &event.pubkey);
        let request = if refusal.is_some() { "" } else { &**event.json() };
        self.jobs.record(
            &NewJob { id, kind, customer, request, source, state, price: is_ready.then_some(price) },
            now,
        )?;
        self.unfinished.begin(customer, state);
        if is_ready {
            self.requests.remember(readable);
            return Ok(RequestAdmission::Queued);
        }
        let job = JobRow {
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
            return Ok(RequestAdmission::Rejected);
        }
        let readable = self.requests.remember(readable);
        if self.await_inputs(now, &job, &readable)? {
            return Ok(RequestAdmission::Queued);
        }
        // The alarm calls the price function.
        if handler.quotes {
            return Ok(RequestAdmission::Queued);
        }
        self.priced(now, &job, &readable, price)
    }

    /// Handles a known request that arrived again. If it came from another relay, its customer may expect the answer
    /// there too, unless the request says where answers belong.
    fn repeat(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        event: &VerifiedEvent,
        source: Option<&str>,
    ) -> Result<RequestAdmission, SqlError> {
        let Some(source) = source else { return Ok(RequestAdmission::Duplicate) };
        if !self.jobs.seen_on(job, source)? || !job.state.is_final() {
            return Ok(RequestAdmission::Duplicate);
        }
        let names_relays =
            self.requests.read(event).is_some_and(|readable| !readable.request.relays.is_empty());
        let answer = self.jobs.answer(&job.id)?.filter(|_| !names_relays);
        let answer = answer.and_then(|json| openagents_host::Event::from_json(&json).ok());
        if let Some(answer) = answer.and_then(|answer| answer.verify().ok()) {
            self.outbox.put(&answer, &Destination::Relay(source.to_owned()), now)?;
        }
        Ok(RequestAdmission::Duplicate)
    }

    /// Why a request is refused, if it is. `waits` says whether its job cannot be queued at once.
    fn refusal(
        &self,
        now: Timestamp,
        readable: &ReadableRequest,
        waits: bool,
    ) -> Result<Option<Refusal>, SqlError> {
        let request = &readable.request;
        let created_at = Timestamp::from_seconds(request.event.created_at);
        let malformed_input = request.inputs.iter().any(|input| {
            input.kind == InputKind::Job && openagents_host::EventId::from_hex(&input.data).is_err()
        });
        let jobs = request.inputs.iter().filter(|input| input.kind == InputKind::Job).count();
        let room = self.unfinished.check_room(&request.customer(), waits, self.spec.declaration.queue);
        let withdrawn = self.withdrawn(&request.event)?;
        Ok(if withdrawn.is_some() {
            withdrawn
        } else if request.expires_at.is_some_and(|expiry| expiry <= now) {
            Some(Refusal::Expired)
        } else if created_at + self.spec.declaration.max_age < now {
            Some(Refusal::Old)
        } else if created_at > now + super::MAX_CLOCK_SKEW {
            Some(Refusal::Future)
        } else if let Err(reason) = room {
            Some(Refusal::NoRoom(reason))
        } else if malformed_input {
            Some(Refusal::MalformedInput)
        } else if jobs > MAX_JOB_INPUTS {
            Some(Refusal::TooManyInputs)
        } else {
            None
        })
    }

    /// Whether a request that has just arrived was cancelled by its author, or its author has vanished since.
    fn withdrawn(&self, request: &VerifiedEvent) -> Result<Option<Refusal>, SqlError> {
        let found = self.sql.first::<(bool,)>(
            "SELECT 0 FROM cancellation WHERE request = ?1 AND author = ?2
             UNION ALL SELECT 1 FROM vanished WHERE customer = ?2 AND until >= ?3",
            values![&request.id, &request.pubkey, request.created_at],
        )?;
        Ok(found.map(|(has_vanished,)| if has_vanished { Refusal::Vanished } else { Refusal::Cancelled }))
    }

    fn explain(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Cancelled | Refusal::Vanished => super::cancellation::CANCELLED.to_owned(),
            Refusal::Expired => "the request has expired".to_owned(),
            Refusal::Old => {
                format!("the request is older than {} s", self.spec.declaration.max_age.as_secs())
            }
            Refusal::Future => "the request is dated in the future: check your clock".to_owned(),
            Refusal::NoRoom(NoRoom::Queue) => "the agent's queue is full: try again later".to_owned(),
            Refusal::NoRoom(NoRoom::Customer) => {
                "you have too many unfinished jobs: try again when some of them have ended".to_owned()
            }
            Refusal::MalformedInput => {
                "a job input must be an event id of 64 hex characters: [\"i\", \"<id>\", \"job\"]".to_owned()
            }
            Refusal::TooManyInputs => {
                format!("a request may have at most {MAX_JOB_INPUTS} job inputs")
            }
        }
    }
}

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Cancelled,
    /// Its author has vanished (NIP-62). Nobody is told.
    Vanished,
    Expired,
    Old,
    Future,
    NoRoom(NoRoom),
    MalformedInput,
    TooManyInputs,
}
