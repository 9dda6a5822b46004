//! Builds result and feedback events, encrypted if the request was, and puts them into the outbox.

use openagents_host::net::Reach;
use openagents_host::{Sql, SqlError, Timestamp, VerifiedEvent};

use crate::engine::intake::requests::ReadableRequest;
use crate::engine::job_state::JobState;
use crate::engine::jobs::JobRow;
use crate::engine::vocabulary::MAX_EVENT_BYTES;
use crate::engine::{Destination, JobEngine, Output, Report};
use crate::nip90::{Amount, Feedback, InputKind, JobResultEvent, Status};
use crate::relay_address::relay_address;

/// The most bytes that a request and its answer may take together.
const MAX_ROW_BYTES: usize = 1_900_000;

/// The most relays, named by the request or where it was seen, to which an answer is published.
const MAX_RELAYS: usize = 5;

/// The most relays from the customer's relay list (NIP-65) to which an answer is published, besides those where the
/// request was seen.
const MAX_READ_RELAYS: usize = 3;

/// The output is too large to be published.
pub(in crate::engine) struct OutputTooLarge;

impl<S: Sql> JobEngine<S> {
    /// Builds and signs the result of a request.
    pub(in crate::engine) fn result(
        &self,
        now: Timestamp,
        readable: &ReadableRequest,
        output: &Output,
    ) -> Result<VerifiedEvent, OutputTooLarge> {
        let mut answer = JobResultEvent::answer(&readable.request).tags(output.tags.iter().cloned());
        if let Some(relay) = &self.options.relay_url {
            answer = answer.relay_hint(relay);
        }
        let answer = match readable.encryption {
            None => answer.content(&output.content),
            // NIP-44 cannot encrypt an empty text.
            Some(_) if output.content.is_empty() => answer,
            Some(encryption) => {
                answer.sealed(self.seal(readable, encryption, &output.content).ok_or(OutputTooLarge)?)
            }
        };
        let event = answer.build().sign(&self.keys, now);
        // Both are stored in the job's row, which may have 2 MB.
        let row = event.json().len().saturating_add(readable.request.event.json().len());
        if event.json().len() > MAX_EVENT_BYTES || row > MAX_ROW_BYTES {
            Err(OutputTooLarge)
        } else {
            Ok(event)
        }
    }

    /// Sends feedback about a job's status.
    pub(in crate::engine) fn send_status(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        status: &Status,
        text: Option<&str>,
    ) -> Result<VerifiedEvent, SqlError> {
        let event = self.feedback(now, readable, status, text, None, None);
        self.send(now, job, readable, &event)?;
        Ok(event)
    }

    /// Tells a customer that the job is being processed. The event has the time at which its first run began, so that it
    /// is the same event whenever it is sent.
    pub(in crate::engine) fn send_processing(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<(), SqlError> {
        let began = self.jobs.started_at(&job.id)?.unwrap_or(now);
        let event = self.feedback(began, readable, &Status::Processing, None, None, None);
        self.send(now, job, readable, &event)
    }

    /// Sends feedback with the status `payment-required` and an invoice.
    pub(in crate::engine) fn send_payment_request(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        text: &str,
        amount: Amount,
    ) -> Result<(), SqlError> {
        let status = &Status::PaymentRequired;
        let event = self.feedback(now, readable, status, Some(text), None, Some(amount));
        self.send(now, job, readable, &event)
    }

    /// Sends a handler's progress or partial output as feedback.
    pub(in crate::engine) fn send_report(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        report: &Report,
    ) -> Result<(), SqlError> {
        let event = match report {
            Report::Progress(text) => {
                self.feedback(now, readable, &Status::Processing, Some(text), None, None)
            }
            Report::Partial(output) => {
                self.feedback(now, readable, &Status::Partial, None, Some(output), None)
            }
        };
        if event.json().len() > MAX_EVENT_BYTES {
            return Ok(());
        }
        self.send(now, job, readable, &event)
    }

    /// Ends a job without a result, and sends the customer the reason, and what becomes of a payment.
    pub(in crate::engine) fn end_with_error(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        state: JobState,
        text: &str,
    ) -> Result<(), SqlError> {
        let consolation = self.consolation(job)?;
        let text =
            consolation.map_or_else(|| text.to_owned(), |consolation| format!("{text}; {consolation}"));
        let event = self.feedback(now, readable, &Status::Error, Some(&text), None, None);
        self.end(now, job, readable, state, &event)
    }

    /// Ends a job and puts its last event into the outbox.
    pub(in crate::engine) fn end(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        state: JobState,
        last_word: &VerifiedEvent,
    ) -> Result<(), SqlError> {
        if readable.request.inputs.iter().any(|input| input.kind == InputKind::Job) {
            self.jobs.forget_inputs(&job.id)?;
        }
        if readable.request.inputs.iter().any(|input| input.kind == InputKind::Url) {
            self.forget_blobs(&job.id)?;
        }
        self.ended(now, job, state, last_word.json())?;
        self.send(now, job, readable, last_word)
    }

    /// Ends a job without an answer, since its request cannot be read.
    pub(in crate::engine) fn end_silently(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        state: JobState,
    ) -> Result<(), SqlError> {
        self.forget_blobs(&job.id)?;
        self.ended(now, job, state, "")
    }

    fn ended(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        state: JobState,
        last_word: &str,
    ) -> Result<(), SqlError> {
        let bytes = self.jobs.end(&job.id, job.state, state, last_word, now)?;
        self.unfinished.advance(&job.customer, job.state, state);
        self.count_ended(now, job, state, bytes)?;
        self.end_payment(now, job, state)?;
        self.wake_dependents(now, &job.id)?;
        self.prune_jobs(now)?;
        self.requests.forget(&job.id);
        Ok(())
    }

    /// Puts an answer into the outbox for every relay it belongs on: the agent's own and those that the request
    /// names. If it names none and came from an external relay: the relays where it was seen, and those its customer
    /// reads from.
    pub(in crate::engine) fn send(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        event: &VerifiedEvent,
    ) -> Result<(), SqlError> {
        self.outbox.put(event, &Destination::Own, now)?;
        let named = &readable.request.relays;
        let sources = if named.is_empty() { self.jobs.sources(job)? } else { Vec::new() };
        for relay in self.external_relays(named.iter().chain(&sources), MAX_RELAYS) {
            self.outbox.put(event, &Destination::Relay(relay), now)?;
        }
        if let Some(source) = sources.into_iter().next() {
            self.outbox.put(event, &Destination::ReadBy { customer: job.customer, source }, now)?;
        }
        Ok(())
    }

    /// Replaces an entry of the outbox, of which only now is known to which relays it goes, by one entry for each of these.
    pub(in crate::engine) fn redirect(
        &mut self,
        now: Timestamp,
        entry: u64,
        relays: &[String],
    ) -> Result<(), SqlError> {
        let own = self.options.relay_url.as_deref().and_then(|own| relay_address(own, Reach::Anywhere));
        let is_own = |relay: &String| own.is_some() && relay_address(relay, Reach::Anywhere) == own;
        let names_own = relays.iter().any(is_own);
        self.outbox.redirect(entry, &self.external_relays(relays, MAX_READ_RELAYS), names_own, now)
    }

    /// Up to `limit` of these relays, without invalid, forbidden and duplicate addresses and the agent's own relay.
    pub(in crate::engine) fn external_relays<'a>(
        &self,
        relays: impl IntoIterator<Item = &'a String>,
        limit: usize,
    ) -> Vec<String> {
        let own = self.options.relay_url.as_deref().and_then(|own| relay_address(own, Reach::Anywhere));
        let mut external = Vec::new();
        for relay in relays.into_iter().filter_map(|relay| relay_address(relay, self.options.reach)) {
            if own.as_ref() != Some(&relay) && !external.contains(&relay) && external.len() < limit {
                external.push(relay);
            }
        }
        external
    }

    fn feedback(
        &self,
        now: Timestamp,
        readable: &ReadableRequest,
        status: &Status,
        text: Option<&str>,
        output: Option<&str>,
        amount: Option<Amount>,
    ) -> VerifiedEvent {
        let mut answer = Feedback::about(&readable.request, status.clone());
        if let Some(relay) = &self.options.relay_url {
            answer = answer.relay_hint(relay);
        }
        if let Some(amount) = amount {
            answer = answer.amount(amount);
        }
        match readable.encryption {
            None => {
                if let Some(text) = text {
                    answer = answer.message(text);
                }
                if let Some(output) = output {
                    answer = answer.content(output);
                }
            }
            Some(encryption) => {
                let said = output.or(text).unwrap_or_default();
                if !said.is_empty()
                    && let Some(sealed) = self.seal(readable, encryption, said)
                {
                    answer = answer.sealed(sealed);
                }
            }
        }
        answer.build().sign(&self.keys, now)
    }

    /// Encrypts a text for the customer; `None` if it is too long for the encryption scheme.
    fn seal(
        &self,
        readable: &ReadableRequest,
        encryption: openagents_host::Encryption,
        text: &str,
    ) -> Option<String> {
        self.keys.encrypt(&readable.request.customer(), text, encryption).ok()
    }
}
