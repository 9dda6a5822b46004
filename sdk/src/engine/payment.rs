//! Paid jobs: a job's invoice, whether it is paid, and what becomes of the payment when the job has ended.
//!
//! A payment is never kept for nothing: of a job that ends without a result, a held payment is returned, and any other
//! becomes credit for the customer's next jobs. A result is never given away: if it is paid for afterwards, or with a
//! held payment, it is kept until the payment is taken.

mod holds;
mod invoices;
mod ledger;

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Event, EventId, Kind, Sql, SqlError, Timestamp, VerifiedEvent};

use super::JobEngine;
use super::intake::requests::ReadableRequest;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::message::Effect;
use crate::declaration::PaymentTiming;
use crate::nip90::Amount;
use crate::payment::wallet::{Invoice, InvoiceRequest, Settlement, WalletError};
use crate::price::Price;

pub(super) use invoices::{InvoiceRow, InvoiceState, InvoiceTable};
pub(super) use ledger::{PaidJob, PaymentLedger};

/// How long an invoice is valid.
const INVOICE_EXPIRY: Duration = Duration::from_secs(15 * 60);

/// How long an expired invoice is still checked, since a payment may be in flight when it expires.
const PAYMENT_GRACE: Duration = Duration::from_secs(60);

/// How much longer the pause between two looks at an invoice is for each job of the same customer that waits: four
/// looks a second for all of them.
const PAUSE_PER_JOB_OF_CUSTOMER: Duration = Duration::from_millis(250);

/// How much longer it is for each job of anybody: a hundred looks a second.
const PAUSE_PER_JOB: Duration = Duration::from_millis(10);

/// How long the wallet may take to create an invoice.
pub(super) const INVOICE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) const NO_INVOICE: &str = "the agent could not make an invoice";

const NOT_PAID: &str = "the invoice was not paid in time";

const PAYMENT_UNKNOWN: &str = "the agent could not find out whether the invoice was paid";

impl<S: Sql> JobEngine<S> {
    /// The next call of the wallet for a job that waits for its payment.
    pub(super) fn call_wallet(&self, job: &JobRow, invoice: Option<InvoiceRow>) -> Effect {
        match invoice {
            Some(row) if row.state == InvoiceState::Taking => self.take_payment(&row),
            Some(row) => Effect::Settlement { job: job.id, invoice: row.invoice },
            None => {
                let handler = self.spec.handler(job.kind.0);
                let name = handler.map_or("job", |(_, spec)| spec.declaration.name);
                let is_held = self.payment_timing(job) == PaymentTiming::Hold;
                let request = InvoiceRequest {
                    price: job.price.unwrap_or_default(),
                    memo: format!("{} {name}, job {}", self.spec.declaration.name, job.id),
                    expiry: INVOICE_EXPIRY,
                    hold: is_held.then(|| self.preimage(&job.id)),
                };
                Effect::Invoice { job: job.id, request }
            }
        }
    }

    /// When a job of this kind is paid for.
    fn payment_timing(&self, job: &JobRow) -> PaymentTiming {
        self.spec.handler(job.kind.0).map_or(PaymentTiming::Before, |(_, spec)| spec.declaration.payment)
    }

    /// Sends an invoice to the customer. A job has one invoice, even if the wallet created several.
    pub(super) fn invoiced(
        &mut self,
        now: Timestamp,
        id: &EventId,
        invoice: Result<&Invoice, &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
        let invoice = match invoice {
            Ok(invoice) if self.invoices.find(id)?.is_none() => invoice,
            Ok(_) => return Ok(()),
            Err(error) => {
                effects.push(Effect::Warn(format!("no invoice for job {id}: {error}")));
                let deadline = job.deadline.unwrap_or(now);
                if !matches!(error, WalletError::Unreachable(_)) || deadline <= now {
                    return self.end_with_error(now, &job, &readable, JobState::Failed, NO_INVOICE);
                }
                let waited = INVOICE_TIMEOUT.saturating_sub(now.until(deadline));
                return self.jobs.postpone(id, deadline.min(now + wallet_retry_pause(waited)));
            }
        };
        let price = job.price.unwrap_or_default();
        self.invoices.record(id, &job.customer, invoice, price)?;
        // Some wallets choose themselves how long it can be paid. What is paid later is credited.
        let expires_at = invoice.expires_at.min(now + INVOICE_EXPIRY);
        self.jobs.wait_until(id, expires_at + PAYMENT_GRACE)?;
        self.jobs.postpone(id, now + Duration::from_secs(2))?;
        let amount = Amount { msat: price.as_msat(), invoice: Some(invoice.bolt11.clone()) };
        let text = match self.payment_timing(&job) {
            PaymentTiming::Before => "pay to have this job done",
            PaymentTiming::Hold => {
                "pay to have this job done: the payment is held, and returned if the job fails"
            }
            PaymentTiming::After => "the job is done: pay to get its result",
        };
        self.send_payment_request(now, &job, &readable, text, amount)
    }

    /// Handles the payment state of an invoice.
    pub(super) fn settled(
        &mut self,
        now: Timestamp,
        id: &EventId,
        settlement: Result<Settlement, &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some(invoice) = self.invoices.find(id)? else { return Ok(()) };
        if invoice.state == InvoiceState::Late {
            return self.settled_late(now, &invoice, settlement);
        }
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
        if invoice.state != InvoiceState::Open {
            return Ok(());
        }
        let is_late = job.deadline.is_some_and(|deadline| deadline <= now);
        let settlement = match settlement {
            Ok(settlement) => settlement,
            Err(error) => {
                let warning = format!("the wallet cannot tell whether job {id} is paid: {error}");
                effects.push(Effect::Warn(warning));
                let is_final = match error {
                    WalletError::Unreachable(_) => false,
                    // The operator may restore the wallet while the invoice can still be paid.
                    WalletError::NoWallet => is_late,
                    WalletError::Refused(_) | WalletError::Unsupported(_) => true,
                };
                if is_final {
                    return self.end_with_error(now, &job, &readable, JobState::Failed, PAYMENT_UNKNOWN);
                }
                return self.jobs.postpone(id, now + wallet_retry_pause(job.received_at.until(now)));
            }
        };
        match settlement {
            Settlement::Paid => {
                let is_new = self.receive(now, &invoice, job.kind)?;
                match self.invoices.withheld(id)? {
                    // An invoice of another job was paid: one payment pays one job.
                    _ if !is_new => {
                        self.end_with_error(now, &job, &readable, JobState::Failed, PAYMENT_UNKNOWN)
                    }
                    Some(result) => self.release_result(now, &job, &readable, &result),
                    None => self.queue_paid(now, &job),
                }
            }
            Settlement::Held if self.payment_timing(&job) == PaymentTiming::Hold => {
                self.invoices.advance(id, InvoiceState::Held, None)?;
                self.queue_paid(now, &job)
            }
            // Only the wallet's answer ends the wait: the customer may have paid while nobody checked.
            Settlement::Pending | Settlement::Held if is_late => {
                self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID)
            }
            Settlement::Pending | Settlement::Held => {
                self.jobs.postpone(id, now + self.pause_between_looks(now, &job))
            }
            Settlement::Expired => {
                self.invoices.advance(id, InvoiceState::Unpaid, None)?;
                self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID)
            }
        }
    }

    /// The pause before the wallet is asked again whether a job is paid. Whoever has many unpaid jobs waits longer for
    /// each, so that the payments of others are noticed in time; and so does everybody, if all have very many.
    fn pause_between_looks(&self, now: Timestamp, job: &JobRow) -> Duration {
        let waited = job.received_at.until(now);
        let pause = waited.div_f32(8.0).clamp(Duration::from_secs(2), Duration::from_secs(30));
        let (of_customer, of_all) = self.unfinished.waiting(&job.customer);
        let times =
            |pause: Duration, jobs: u64| pause.saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX));
        pause.max(times(PAUSE_PER_JOB_OF_CUSTOMER, of_customer)).max(times(PAUSE_PER_JOB, of_all))
    }

    /// Notes a payment. Returns whether it is new.
    fn receive(&self, now: Timestamp, invoice: &InvoiceRow, kind: Kind) -> Result<bool, SqlError> {
        self.invoices.paid(&invoice.job, now)?;
        self.ledger.received(now, &invoice.paid_job(kind), &invoice.invoice.payment_hash, self.provider())
    }

    fn queue_paid(&mut self, now: Timestamp, job: &JobRow) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET deadline = NULL WHERE id = ?", values![&job.id])?;
        if self.jobs.advance(&job.id, JobState::AwaitingPayment, JobState::Queued, Some(now))? {
            self.unfinished.advance(&job.customer, JobState::AwaitingPayment, JobState::Queued);
        }
        Ok(())
    }

    /// Keeps the result of a job that is still to be paid for. Returns whether it is: else the customer gets it now.
    pub(super) fn withhold_result(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        result: &VerifiedEvent,
    ) -> Result<bool, SqlError> {
        if job.price.unwrap_or_default().is_free() {
            return Ok(false);
        }
        match self.invoices.find(&job.id)? {
            Some(invoice) if invoice.state == InvoiceState::Held => {
                self.invoices.advance(&job.id, InvoiceState::Taking, None)?;
            }
            // Paid before it ran.
            Some(_) => return Ok(false),
            // Paid with credit.
            None if !self.ledger.paid_for(&job.id)?.is_free() => return Ok(false),
            None => self.jobs.wait_until(&job.id, now + INVOICE_TIMEOUT)?,
        }
        self.invoices.withhold(&job.id, result.json())?;
        if self.jobs.advance(&job.id, job.state, JobState::AwaitingPayment, Some(now))? {
            self.unfinished.advance(&job.customer, job.state, JobState::AwaitingPayment);
        }
        Ok(true)
    }

    /// Ends a job with the result that was kept.
    fn release_result(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        result: &str,
    ) -> Result<(), SqlError> {
        let result = Event::from_json(result).ok().and_then(|event| event.verify().ok());
        match result.filter(|result| result.pubkey == self.keys.public_key()) {
            Some(result) => self.end(now, job, readable, JobState::Done, &result),
            None => {
                let text = "the agent cannot read the result that it kept until the payment";
                self.end_with_error(now, job, readable, JobState::Failed, text)
            }
        }
    }

    /// Whether the wallet is told to take the payment of a job, which cannot be undone.
    pub(super) fn is_being_paid(&self, job: &JobRow) -> Result<bool, SqlError> {
        if job.state != JobState::AwaitingPayment {
            return Ok(false);
        }
        let invoice = self.invoices.find(&job.id)?;
        Ok(invoice.is_some_and(|invoice| invoice.state == InvoiceState::Taking))
    }

    /// What a customer is told, besides the reason, when a job ends without a result after it was paid for.
    pub(super) fn consolation(&self, job: &JobRow) -> Result<Option<String>, SqlError> {
        if job.price.is_none_or(Price::is_free) {
            return Ok(None);
        }
        let paid = self.ledger.paid_for(&job.id)?;
        if !paid.is_free() {
            return Ok(Some(format!("your payment of {paid} is kept as credit for your next job")));
        }
        let invoice = self.invoices.find(&job.id)?;
        let is_held = invoice.is_some_and(|invoice| invoice.state == InvoiceState::Held);
        Ok(is_held.then(|| "your payment is returned".to_owned()))
    }

    /// Decides what becomes of the payment of a job that has just ended.
    pub(super) fn end_payment(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        state: JobState,
    ) -> Result<(), SqlError> {
        if job.price.is_none_or(Price::is_free) {
            return Ok(());
        }
        self.invoices.release(&job.id)?;
        if state == JobState::Done {
            return Ok(());
        }
        if let Some(invoice) = self.invoices.find(&job.id)? {
            let is_hold = self.payment_timing(job) == PaymentTiming::Hold;
            match invoice.state {
                InvoiceState::Open if is_hold => {
                    self.invoices.advance(&job.id, InvoiceState::Closing, Some(now))?;
                }
                InvoiceState::Open => {
                    let due = holds::last_payment(&invoice).max(now);
                    self.invoices.advance(&job.id, InvoiceState::Late, Some(due))?;
                }
                InvoiceState::Held | InvoiceState::Taking => {
                    self.invoices.advance(&job.id, InvoiceState::Returning, Some(now))?;
                }
                InvoiceState::Returning
                | InvoiceState::Closing
                | InvoiceState::Late
                | InvoiceState::Paid
                | InvoiceState::Returned
                | InvoiceState::Unpaid => {}
            }
        }
        let price = self.ledger.paid_for(&job.id)?;
        if price.is_free() {
            return Ok(());
        }
        let paid = PaidJob { job: &job.id, kind: job.kind, customer: Some(&job.customer), price };
        self.ledger.credit(now, &paid)
    }

    /// The name of the wallet's provider, for the ledger.
    fn provider(&self) -> &'static str {
        self.options.wallet.map_or("none", |wallet| wallet.provider)
    }
}

/// The pause before an unreachable wallet is called again; it grows with the time already waited.
fn wallet_retry_pause(waited: Duration) -> Duration {
    waited.div_f32(4.0).clamp(Duration::from_secs(5), Duration::from_secs(2 * 60))
}
