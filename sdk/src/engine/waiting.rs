//! Jobs that wait: for their price, for the output of other jobs, for their customer's money.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Event, EventId, PublicKey, Sql, SqlError, Timestamp};

use super::job_state::JobState;
use super::ledger::Record;
use super::requests::{Readable, Unreadable};
use super::{Effect, JobEngine, Wanted};
use crate::nip90::{Amount, InputKind, JobRequest, JobResultEvent, result_kind};
use crate::price::Price;
use crate::wallet::{Invoice, InvoiceRequest, Settlement};

/// Upon how many jobs a request may build.
pub(super) const MAX_JOB_INPUTS: usize = 16;

/// The longest output of another job that is built upon, in bytes; the outputs of a job are in memory together.
const MAX_OUTPUT: usize = 1_000_000;

/// How long the output of another job is waited for.
pub(super) const INPUT_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How long an invoice can be paid.
const INVOICE_EXPIRY: Duration = Duration::from_secs(15 * 60);

/// How long an expired invoice is still asked after, since a payment can be under way when it expires.
const PAYMENT_GRACE: Duration = Duration::from_secs(60);

/// How long the wallet is asked for an invoice.
pub(super) const WALLET_PATIENCE: Duration = Duration::from_secs(5 * 60);

const NO_INVOICE: &str = "the agent could not make an invoice";

const NOT_PAID: &str = "the invoice was not paid in time";

/// How long a host may take to answer before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// How long the relays may take to say what they have, before they are asked again.
const ASK_RELAYS_AGAIN: Duration = Duration::from_secs(4 * 60);

/// How many waiting jobs are looked at in one go.
const AT_ONCE: usize = 16;

impl<S: Sql> JobEngine<S> {
    /// Asks the host for what waiting jobs need, and ends those that waited in vain.
    pub(super) fn look_at_waiting(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        for id in self.ledger.waiting(now, AT_ONCE)? {
            let Some(job) = self.ledger.find(&id)? else { continue };
            let readable = match self.requests.on_record(&id) {
                Ok(readable) => readable,
                Err(Unreadable::Sql(error)) => return Err(error),
                Err(Unreadable::Damaged(reason)) => {
                    effects.push(self.give_up_damaged(now, &job, &reason)?);
                    continue;
                }
            };
            let is_late = job.deadline.is_some_and(|deadline| deadline <= now);
            self.ledger.postpone(&id, now + ASK_AGAIN)?;
            match job.state {
                JobState::Received => effects.extend(self.ask_price(now, &job, &readable)?),
                JobState::AwaitingInput if is_late => {
                    let text = "the output that this job builds upon did not come in time";
                    self.end_with_error(now, &job, &readable, JobState::Failed, text)?;
                }
                JobState::AwaitingInput => self.look_for_outputs(now, &job, &readable, effects)?,
                JobState::AwaitingPayment => {
                    let invoice = self.invoice(&id)?;
                    if is_late && invoice.is_none() {
                        self.end_with_error(now, &job, &readable, JobState::Failed, NO_INVOICE)?;
                    } else {
                        effects.push(self.look_for_payment(&job, invoice));
                    }
                }
                JobState::Queued
                | JobState::Running
                | JobState::Done
                | JobState::Failed
                | JobState::Rejected
                | JobState::Cancelled => {}
            }
        }
        Ok(())
    }

    /// A job whose request on record cannot be read any more, as when the agent got another key.
    pub(super) fn give_up_damaged(
        &mut self,
        now: Timestamp,
        job: &Record,
        reason: &str,
    ) -> Result<Effect, SqlError> {
        self.end_silently(now, job, JobState::Failed)?;
        Ok(Effect::Warn(format!("the request {} cannot be read and is given up: {reason}", job.id)))
    }

    fn ask_price(
        &mut self,
        now: Timestamp,
        job: &Record,
        readable: &Readable,
    ) -> Result<Option<Effect>, SqlError> {
        let Some((handler, facts)) = self.facts.handler(job.kind.0) else {
            let text = "this agent no longer does jobs of this kind";
            self.end_with_error(now, job, readable, JobState::Rejected, text)?;
            return Ok(None);
        };
        if !facts.quotes {
            self.priced(now, job, readable, facts.declaration.price)?;
            return Ok(None);
        }
        let request = Box::new(readable.request.clone());
        Ok(Some(Effect::Quote { job: job.id, handler, request, state: self.state.snapshot() }))
    }

    /// Takes what a handler says its job would cost.
    pub(super) fn quoted(
        &mut self,
        now: Timestamp,
        id: &EventId,
        price: Result<&Price, &str>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::Received)? else { return Ok(()) };
        match price {
            Ok(price) => self.priced(now, &job, &readable, *price).map(drop),
            Err(text) => self.end_with_error(now, &job, &readable, JobState::Rejected, text),
        }
    }

    /// Puts an output on the list of what a job waits for.
    pub(super) fn want_output(&self, job: &EventId, event: &EventId) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO job_input (job, event) VALUES (?, ?) ON CONFLICT DO NOTHING",
            values![job, event],
        )
    }

    fn look_for_outputs(
        &mut self,
        now: Timestamp,
        job: &Record,
        readable: &Readable,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let missing = self.sql.rows::<(EventId,)>(
            "SELECT event FROM job_input WHERE job = ? AND content IS NULL",
            values![&job.id],
        )?;
        let mut wanted = Vec::new();
        for (event,) in missing {
            // Perhaps this agent did that job itself.
            let own = self.ledger.find(&event)?;
            if own.is_some_and(|own| own.state.is_final() && own.state != JobState::Done) {
                let text = format!("job {event}, which this job builds upon, has no result");
                return self.end_with_error(now, job, readable, JobState::Failed, &text);
            }
            let own = self.ledger.answer(&event)?.and_then(|json| Event::from_json(&json).ok());
            if let Some(content) = own.and_then(|own| self.output_of(&event, &own, &job.customer)) {
                self.found_output(&job.id, &event, &content)?;
                continue;
            }
            let hex = event.to_hex();
            let inputs = readable.request.inputs.iter();
            let hints = inputs
                .filter(|input| input.kind == InputKind::Job && input.data.eq_ignore_ascii_case(&hex))
                .filter_map(|input| input.relay.clone());
            let relays = hints.chain(readable.request.relays.iter().cloned()).chain(job.source.clone());
            wanted.push(Wanted { event, relays: relays.take(6).collect() });
        }
        if wanted.is_empty() {
            return self.inputs_complete(now, job);
        }
        // As many relays as may be asked take longer than other hosts do.
        self.ledger.postpone(&job.id, now + ASK_RELAYS_AGAIN)?;
        effects.push(Effect::Resolve { job: job.id, wanted });
        Ok(())
    }

    /// Takes what the relays had.
    pub(super) fn resolved(
        &mut self,
        now: Timestamp,
        id: &EventId,
        events: &[Event],
    ) -> Result<(), SqlError> {
        let Some((job, _)) = self.waiting_job(id, JobState::AwaitingInput)? else { return Ok(()) };
        let missing = self.sql.rows::<(EventId,)>(
            "SELECT event FROM job_input WHERE job = ? AND content IS NULL",
            values![id],
        )?;
        let mut is_complete = true;
        for (wanted,) in missing {
            let content = candidates_for(&wanted, events)
                .into_iter()
                .filter_map(|event| self.output_of(&wanted, event, &job.customer))
                .find(|content| content.len() <= MAX_OUTPUT);
            match content {
                Some(content) => self.found_output(id, &wanted, &content)?,
                None => is_complete = false,
            }
        }
        if is_complete {
            return self.inputs_complete(now, &job);
        }
        let waited = job.received_at.until(now);
        let pause = waited.div_f32(4.0).clamp(Duration::from_secs(1), Duration::from_secs(60));
        // Unless it was woken meanwhile: then what it waits for is on record.
        self.ledger.put_off(id, now, now + pause)
    }

    /// What an event says that the job `wanted` produced, if it is its result, for a job of this customer.
    fn output_of(&self, wanted: &EventId, event: &Event, customer: &PublicKey) -> Option<String> {
        let result = JobResultEvent::from_event(event)?;
        if result.request != *wanted && event.id != *wanted {
            return None;
        }
        if !result.encrypted {
            return Some(result.content);
        }
        let me = self.keys.public_key();
        if event.pubkey == me {
            // This agent's own result, encrypted for its customer: it may go on to the same customer only.
            let whose = result.customer.filter(|whose| whose == customer)?;
            return self.keys.decrypt(&whose, &result.content).ok().map(|(plaintext, _)| plaintext);
        }
        // What this agent was told as a customer goes into jobs of its own only.
        result.customer.filter(|whose| *whose == me && *customer == me)?;
        self.keys.decrypt(&event.pubkey, &result.content).ok().map(|(plaintext, _)| plaintext)
    }

    fn found_output(&self, job: &EventId, event: &EventId, content: &str) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job_input SET content = ? WHERE job = ? AND event = ?",
            values![content, job, event],
        )
    }

    fn inputs_complete(&mut self, now: Timestamp, job: &Record) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET deadline = NULL WHERE id = ?", values![&job.id])?;
        self.ledger.advance(&job.id, JobState::AwaitingInput, JobState::Received, Some(now)).map(drop)
    }

    /// Lets the jobs that build upon one that is now done look at it at once.
    pub(super) fn wake_dependents(&self, now: Timestamp, done: &EventId) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET due = ? WHERE state = 'awaiting_input'
             AND id IN (SELECT job FROM job_input WHERE event = ? AND content IS NULL)",
            values![now, done],
        )
    }

    fn look_for_payment(&self, job: &Record, invoice: Option<Invoice>) -> Effect {
        match invoice {
            Some(invoice) => Effect::Settlement { job: job.id, invoice },
            None => {
                let handler = self.facts.handler(job.kind.0);
                let name = handler.map_or("job", |(_, facts)| facts.declaration.name);
                let request = InvoiceRequest {
                    price: job.price.unwrap_or_default(),
                    memo: format!("{} {name}, job {}", self.facts.declaration.name, job.id),
                    expiry: INVOICE_EXPIRY,
                };
                Effect::Invoice { job: job.id, request }
            }
        }
    }

    fn invoice(&self, job: &EventId) -> Result<Option<Invoice>, SqlError> {
        let row = self.sql.first::<(String, String, Timestamp)>(
            "SELECT bolt11, payment_hash, expires_at FROM invoice WHERE job = ?",
            values![job],
        )?;
        Ok(row.map(|(bolt11, payment_hash, expires_at)| Invoice { bolt11, payment_hash, expires_at }))
    }

    /// Passes an invoice on to the customer. A job has one invoice, however often the wallet was asked.
    pub(super) fn invoiced(
        &mut self,
        now: Timestamp,
        id: &EventId,
        invoice: Result<&Invoice, &str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
        let invoice = match invoice {
            Ok(invoice) if self.invoice(id)?.is_none() => invoice,
            Ok(_) => return Ok(()),
            Err(reason) => {
                effects.push(Effect::Warn(format!("no invoice for job {id}: {reason}")));
                if job.deadline.is_some_and(|deadline| deadline <= now) {
                    return self.end_with_error(now, &job, &readable, JobState::Failed, NO_INVOICE);
                }
                return self.ledger.postpone(id, now + Duration::from_secs(10));
            }
        };
        self.sql.execute(
            "INSERT INTO invoice (job, bolt11, payment_hash, expires_at) VALUES (?, ?, ?, ?)",
            values![id, &invoice.bolt11, &invoice.payment_hash, invoice.expires_at],
        )?;
        self.ledger.wait_until(id, invoice.expires_at + PAYMENT_GRACE)?;
        self.ledger.postpone(id, now + Duration::from_secs(2))?;
        let msat = job.price.unwrap_or_default().as_msat();
        let amount = Amount { msat, invoice: Some(invoice.bolt11.clone()) };
        self.tell_price(now, &job, &readable, amount)
    }

    /// Takes what the wallet says of a job's invoice.
    pub(super) fn settled(
        &mut self,
        now: Timestamp,
        id: &EventId,
        settlement: Settlement,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
        match settlement {
            Settlement::Paid => {
                self.sql.execute("UPDATE invoice SET paid_at = ? WHERE job = ?", values![now, id])?;
                self.sql.execute("UPDATE job SET deadline = NULL WHERE id = ?", values![id])?;
                self.ledger.advance(id, JobState::AwaitingPayment, JobState::Queued, Some(now)).map(drop)
            }
            // Only the wallet's word ends the wait: while nobody looked, the customer may have paid.
            Settlement::Pending if job.deadline.is_some_and(|deadline| deadline <= now) => {
                self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID)
            }
            Settlement::Pending => {
                let waited = job.received_at.until(now);
                let pause = waited.div_f32(8.0).clamp(Duration::from_secs(2), Duration::from_secs(30));
                self.ledger.postpone(id, now + pause)
            }
            Settlement::Expired => self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID),
        }
    }

    /// A job that is still in this state, with its request.
    fn waiting_job(
        &mut self,
        id: &EventId,
        state: JobState,
    ) -> Result<Option<(Record, std::sync::Arc<Readable>)>, SqlError> {
        let Some(job) = self.ledger.find(id)?.filter(|job| job.state == state) else { return Ok(None) };
        match self.requests.on_record(id) {
            Ok(readable) => Ok(Some((job, readable))),
            Err(Unreadable::Sql(error)) => Err(error),
            // It is given up when it is looked at next.
            Err(Unreadable::Damaged(_)) => Ok(None),
        }
    }
}

/// The events that may be what is wanted, the first one first, since a later one does not change what was built upon: the
/// result that is named itself, or else the results of the request that is named, by providers that it was for.
fn candidates_for<'a>(wanted: &EventId, events: &'a [Event]) -> Vec<&'a Event> {
    let named =
        events.iter().find(|event| event.id == *wanted && JobResultEvent::from_event(event).is_some());
    if let Some(named) = named {
        return vec![named];
    }
    // Without the request nobody knows whom it was for, and anybody could have answered.
    let Some(request) = request_of(wanted, events) else { return Vec::new() };
    let fits = |event: &&Event| event.kind == result_kind(request.kind()) && request.is_for(&event.pubkey);
    let mut candidates: Vec<&Event> = events.iter().filter(fits).collect();
    candidates.sort_by_key(|event| (event.created_at, event.id));
    candidates
}

/// The request with this id, as it was found or as a result repeats it; its id and signature prove it.
fn request_of(wanted: &EventId, events: &[Event]) -> Option<JobRequest> {
    let repeated = events.iter().filter_map(|event| JobResultEvent::from_event(event)?.request_event);
    let requests = events.iter().cloned().chain(repeated).filter(|event| event.id == *wanted);
    requests.into_iter().find_map(|event| JobRequest::from_event(event.verify().ok()?).ok())
}
