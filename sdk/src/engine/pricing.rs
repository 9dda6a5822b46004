//! The price of a job: declared by its handler, or computed for the request by `#[price]`.

use openagents_host::{EventId, Sql, SqlError, Timestamp};

use super::JobEngine;
use super::intake::requests::ReadableRequest;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::message::Effect;
use super::payment::PaidJob;
use super::vocabulary::{QuoteError, RequestAdmission};
use crate::declaration::PaymentTiming;
use crate::price::Price;

/// The highest price: one bitcoin.
const MAX_PRICE: Price = Price::sat(100_000_000);

impl<S: Sql> JobEngine<S> {
    pub(super) fn ask_price(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
    ) -> Result<Option<Effect>, SqlError> {
        let Some((handler, spec)) = self.spec.handler(job.kind.0) else {
            let text = "this agent no longer handles jobs of this kind";
            self.end_with_error(now, job, readable, JobState::Rejected, text)?;
            return Ok(None);
        };
        if !spec.quotes {
            self.priced(now, job, readable, spec.declaration.price)?;
            return Ok(None);
        }
        let request = Box::new(readable.request.clone());
        Ok(Some(Effect::Quote { job: job.id, handler, request, state: self.state.snapshot() }))
    }

    /// Handles the price that the host computed.
    pub(super) fn quoted(
        &mut self,
        now: Timestamp,
        id: &EventId,
        price: Result<&Price, &QuoteError>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::Received)? else { return Ok(()) };
        match price {
            Ok(price) => self.priced(now, &job, &readable, *price).map(drop),
            Err(error) => self.end_with_error(now, &job, &readable, JobState::Rejected, &error.to_string()),
        }
    }

    /// Continues with a received job whose price is known. What it costs is a multiple of the wallet's smallest amount.
    pub(super) fn priced(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        price: Price,
    ) -> Result<RequestAdmission, SqlError> {
        let price = self.options.wallet.map_or(price, |wallet| price.rounded_up_to(wallet.unit));
        let declared = self.spec.handler(job.kind.0).map(|(_, spec)| spec.declaration);
        let timing = declared.map_or(PaymentTiming::Before, |declared| declared.payment);
        if let Some(refusal) = self.price_refusal(job, readable, price, timing)? {
            self.end_with_error(now, job, readable, JobState::Rejected, &refusal)?;
            return Ok(RequestAdmission::Rejected);
        }
        let free_per_day = declared.map_or(0, |declared| declared.free_per_day);
        let is_free = price.is_free()
            || free_per_day > 0 && self.ledger.take_free(now, job.kind, &job.customer, free_per_day)?;
        let price = if is_free { Price::FREE } else { price };
        self.jobs.price(&job.id, price)?;
        let paid = PaidJob { job: &job.id, kind: job.kind, customer: Some(&job.customer), price };
        let is_settled = is_free || self.ledger.spend(now, &paid)?;
        if !is_settled && self.options.wallet.is_none() {
            let refusal = format!("this job costs {price}, but this agent has no wallet");
            self.end_with_error(now, job, readable, JobState::Rejected, &refusal)?;
            return Ok(RequestAdmission::Rejected);
        }
        let may_run = is_settled || timing == PaymentTiming::After;
        let next = if may_run { JobState::Queued } else { JobState::AwaitingPayment };
        if self.jobs.advance(&job.id, job.state, next, Some(now))? {
            self.unfinished.advance(&job.customer, job.state, next);
        }
        if next == JobState::AwaitingPayment {
            self.jobs.wait_until(&job.id, now + super::payment::INVOICE_TIMEOUT)?;
        }
        Ok(RequestAdmission::Queued)
    }

    /// Why a job at this price is refused, if it is.
    fn price_refusal(
        &self,
        job: &JobRow,
        readable: &ReadableRequest,
        price: Price,
        timing: PaymentTiming,
    ) -> Result<Option<String>, SqlError> {
        if price.is_free() {
            return Ok(None);
        }
        if price > MAX_PRICE {
            return Ok(Some(format!("this job costs {price}, which is more than any invoice")));
        }
        if let Some(bid) = readable.request.bid.filter(|bid| *bid < price.as_msat()) {
            return Ok(Some(format!("this job costs {price}, which is more than the bid of {bid} msat")));
        }
        if timing == PaymentTiming::After && self.invoices.owes(&job.customer)? {
            return Ok(Some("you have not paid for your last job yet: pay its invoice first".to_owned()));
        }
        Ok(None)
    }
}
