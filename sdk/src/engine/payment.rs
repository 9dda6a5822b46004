//! Paid jobs: a job's invoice, and whether it is paid.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{EventId, Sql, SqlError, Timestamp};

use super::JobEngine;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::message::Effect;
use crate::nip90::Amount;
use crate::payment::wallet::{Invoice, InvoiceRequest, Settlement, WalletError};

/// How long an invoice is valid.
const INVOICE_EXPIRY: Duration = Duration::from_secs(15 * 60);

/// How long an expired invoice is still checked, since a payment may be in flight when it expires.
const PAYMENT_GRACE: Duration = Duration::from_secs(60);

/// How long the wallet may take to create an invoice.
pub(super) const INVOICE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) const NO_INVOICE: &str = "the agent could not make an invoice";

const NOT_PAID: &str = "the invoice was not paid in time";

const PAYMENT_UNKNOWN: &str = "the agent could not find out whether the invoice was paid";

impl<S: Sql> JobEngine<S> {
    pub(super) fn check_payment(&self, job: &JobRow, invoice: Option<Invoice>) -> Effect {
        match invoice {
            Some(invoice) => Effect::Settlement { job: job.id, invoice },
            None => {
                let handler = self.spec.handler(job.kind.0);
                let name = handler.map_or("job", |(_, spec)| spec.declaration.name);
                let request = InvoiceRequest {
                    price: job.price.unwrap_or_default(),
                    memo: format!("{} {name}, job {}", self.spec.declaration.name, job.id),
                    expiry: INVOICE_EXPIRY,
                };
                Effect::Invoice { job: job.id, request }
            }
        }
    }

    pub(super) fn invoice(&self, job: &EventId) -> Result<Option<Invoice>, SqlError> {
        let row = self.sql.first::<(String, String, Timestamp)>(
            "SELECT bolt11, payment_hash, expires_at FROM invoice WHERE job = ?",
            values![job],
        )?;
        Ok(row.map(|(bolt11, payment_hash, expires_at)| Invoice { bolt11, payment_hash, expires_at }))
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
            Ok(invoice) if self.invoice(id)?.is_none() => invoice,
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
        self.sql.execute(
            "INSERT INTO invoice (job, bolt11, payment_hash, expires_at) VALUES (?, ?, ?, ?)",
            values![id, &invoice.bolt11, &invoice.payment_hash, invoice.expires_at],
        )?;
        self.jobs.wait_until(id, invoice.expires_at + PAYMENT_GRACE)?;
        self.jobs.postpone(id, now + Duration::from_secs(2))?;
        let msat = job.price.unwrap_or_default().as_msat();
        let amount = Amount { msat, invoice: Some(invoice.bolt11.clone()) };
        self.send_payment_request(now, &job, &readable, amount)
    }

    /// Handles the payment state of a job's invoice.
    pub(super) fn settled(
        &mut self,
        now: Timestamp,
        id: &EventId,
        settlement: Result<Settlement, &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
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
                    WalletError::Refused(_) => true,
                };
                if is_final {
                    return self.end_with_error(now, &job, &readable, JobState::Failed, PAYMENT_UNKNOWN);
                }
                return self.jobs.postpone(id, now + wallet_retry_pause(job.received_at.until(now)));
            }
        };
        match settlement {
            Settlement::Paid => {
                self.sql.execute("UPDATE invoice SET paid_at = ? WHERE job = ?", values![now, id])?;
                self.sql.execute("UPDATE job SET deadline = NULL WHERE id = ?", values![id])?;
                if self.jobs.advance(id, JobState::AwaitingPayment, JobState::Queued, Some(now))? {
                    self.unfinished.advance(&job.customer, JobState::AwaitingPayment, JobState::Queued);
                }
                Ok(())
            }
            // Only the wallet's answer ends the wait: the customer may have paid while nobody checked.
            Settlement::Pending if is_late => {
                self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID)
            }
            Settlement::Pending => {
                let waited = job.received_at.until(now);
                let pause = waited.div_f32(8.0).clamp(Duration::from_secs(2), Duration::from_secs(30));
                self.jobs.postpone(id, now + pause)
            }
            Settlement::Expired => self.end_with_error(now, &job, &readable, JobState::Failed, NOT_PAID),
        }
    }
}

/// The pause before an unreachable wallet is called again; it grows with the time already waited.
fn wallet_retry_pause(waited: Duration) -> Duration {
    waited.div_f32(4.0).clamp(Duration::from_secs(5), Duration::from_secs(2 * 60))
}
