//! The price of a job: declared by its handler, or computed for the request by `#[price]`.

use openagents_host::{EventId, Sql, SqlError, Timestamp};

use super::JobEngine;
use super::intake::requests::ReadableRequest;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::message::Effect;
use super::vocabulary::{QuoteError, RequestAdmission};
use crate::price::Price;

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

    /// Continues with a received job whose price is known.
    pub(super) fn priced(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        price: Price,
    ) -> Result<RequestAdmission, SqlError> {
        self.jobs.price(&job.id, price)?;
        let refusal = match readable.request.bid {
            _ if price.is_free() => None,
            Some(bid) if bid < price.as_msat() => {
                Some(format!("this job costs {price}, which is more than the bid of {bid} msat"))
            }
            _ if !self.options.wallet => {
                Some(format!("this job costs {price}, but this agent has no wallet"))
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.end_with_error(now, job, readable, JobState::Rejected, &refusal)?;
            return Ok(RequestAdmission::Rejected);
        }
        let next = if price.is_free() { JobState::Queued } else { JobState::AwaitingPayment };
        if self.jobs.advance(&job.id, job.state, next, Some(now))? {
            self.unfinished.advance(&job.customer, job.state, next);
        }
        if next == JobState::AwaitingPayment {
            self.jobs.wait_until(&job.id, now + super::payment::INVOICE_TIMEOUT)?;
        }
        Ok(RequestAdmission::Queued)
    }
}
