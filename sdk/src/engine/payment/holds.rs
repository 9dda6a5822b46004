//! Payments after their jobs have ended: held ones are taken or returned, late ones are credited.

use std::time::Duration;

use openagents_host::{EventId, Kind, Sql, SqlError, Timestamp};

use super::invoices::{InvoiceRow, InvoiceState};
use super::{PAYMENT_GRACE, wallet_retry_pause};
use crate::engine::job_state::JobState;
use crate::engine::{Effect, HoldEnd, JobEngine};
use crate::payment::wallet::{Preimage, Settlement, WalletError};

/// How often the wallet is called for a payment that it cannot take or return, or cannot tell about: for about a day.
const MAX_CALLS: u32 = 400;

/// How long after its request a job's held payment may still be taken. Wallets do not hold one for so long.
const MAX_HOLD: Duration = Duration::from_secs(48 * 60 * 60);

/// The longest pause between two such calls.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How many invoices are dealt with in one alarm.
const MAX_INVOICES_PER_ALARM: usize = 16;

const PAYMENT_GONE: &str = "the job was done, but its payment could not be taken: the wallet has returned it";

const PAYMENT_NOT_TAKEN: &str = "the job was done, but its payment could not be taken";

impl<S: Sql> JobEngine<S> {
    /// The secret that takes the payment of a job's hold invoice. It follows from the agent's key and the job, so that
    /// it is known after a crash, and is nowhere in the database.
    pub(in crate::engine) fn preimage(&self, job: &EventId) -> Preimage {
        let purpose = [b"hold invoice of job ", job.as_bytes().as_slice()].concat();
        Preimage::from_bytes(self.keys.derived_secret(&purpose))
    }

    /// Tells the wallet to take the held payment of an invoice.
    pub(super) fn take_payment(&self, row: &InvoiceRow) -> Effect {
        let end = HoldEnd::Take(self.preimage(&row.job));
        Effect::EndHold { job: row.job, invoice: row.invoice.clone(), end }
    }

    /// Calls the wallet for the invoices of ended jobs.
    pub(in crate::engine) fn call_wallet_for_ended(
        &self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let pause = |row: &InvoiceRow| {
            let pause = Duration::from_secs(5).saturating_mul(row.calls.saturating_add(1));
            // If nothing is heard, the call was lost with the process, or is still under way.
            now + pause.clamp(Duration::from_secs(60), MAX_PAUSE)
        };
        for row in self.invoices.take_due(now, pause, MAX_INVOICES_PER_ALARM)? {
            match row.state {
                InvoiceState::Returning | InvoiceState::Closing if row.calls < MAX_CALLS => {
                    effects.push(Effect::EndHold {
                        job: row.job,
                        invoice: row.invoice,
                        end: HoldEnd::Return,
                    });
                }
                InvoiceState::Late if row.calls < MAX_CALLS => {
                    effects.push(Effect::Settlement { job: row.job, invoice: row.invoice });
                }
                state => {
                    effects.push(Effect::Warn(format!(
                        "the wallet was called {} times for the invoice of job {}, which is {}: it is given up; \
                         its payment hash is {}",
                        row.calls,
                        row.job,
                        state.as_str(),
                        row.invoice.payment_hash
                    )));
                    self.invoices.advance(&row.job, InvoiceState::Unpaid, None)?;
                }
            }
        }
        Ok(())
    }

    /// Handles the payment state of an invoice whose job has ended.
    pub(super) fn settled_late(
        &mut self,
        now: Timestamp,
        invoice: &InvoiceRow,
        settlement: Result<Settlement, &WalletError>,
    ) -> Result<(), SqlError> {
        match settlement {
            Ok(Settlement::Paid) => {
                let kind = self.jobs.find(&invoice.job)?.map_or(Kind(0), |job| job.kind);
                if self.receive(now, invoice, kind)? {
                    self.ledger.credit(now, &invoice.paid_job(kind))?;
                }
                Ok(())
            }
            // An answer to a question from before the end: the invoice can still be paid.
            Ok(Settlement::Pending | Settlement::Held) if now < last_payment(invoice) => {
                self.invoices.postpone(&invoice.job, last_payment(invoice))
            }
            Ok(_) => self.invoices.advance(&invoice.job, InvoiceState::Unpaid, None),
            Err(WalletError::Refused(_) | WalletError::Unsupported(_)) => {
                self.invoices.advance(&invoice.job, InvoiceState::Unpaid, None)
            }
            Err(WalletError::Unreachable(_) | WalletError::NoWallet) => {
                let pause = wallet_retry_pause(Duration::from_secs(5).saturating_mul(invoice.calls));
                self.invoices.postpone(&invoice.job, now + pause)
            }
        }
    }

    /// Handles what the wallet said when it was told to take or return a held payment.
    pub(in crate::engine) fn hold_ended(
        &mut self,
        now: Timestamp,
        id: &EventId,
        end: &HoldEnd,
        ended: Result<(), &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let Some(invoice) = self.invoices.find(id)? else { return Ok(()) };
        match (end, invoice.state) {
            (HoldEnd::Take(_), InvoiceState::Taking) => self.payment_taken(now, &invoice, ended, effects),
            (HoldEnd::Return, InvoiceState::Returning | InvoiceState::Closing) => {
                self.payment_returned(now, &invoice, ended, effects)
            }
            _ => Ok(()),
        }
    }

    fn payment_taken(
        &mut self,
        now: Timestamp,
        invoice: &InvoiceRow,
        taken: Result<(), &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let id = &invoice.job;
        let Some((job, readable)) = self.waiting_job(id, JobState::AwaitingPayment)? else { return Ok(()) };
        match taken {
            Ok(()) => {
                self.receive(now, invoice, job.kind)?;
                match self.invoices.withheld(id)? {
                    Some(result) => self.release_result(now, &job, &readable, &result),
                    None => self.end_with_error(now, &job, &readable, JobState::Failed, PAYMENT_NOT_TAKEN),
                }
            }
            Err(error @ (WalletError::Unreachable(_) | WalletError::NoWallet))
                if job.received_at + MAX_HOLD > now =>
            {
                effects.push(Effect::Warn(format!("the payment of job {id} is not taken yet: {error}")));
                self.jobs.postpone(id, now + wallet_retry_pause(job.received_at.until(now)))
            }
            Err(error) => {
                effects.push(Effect::Warn(format!("the payment of job {id} cannot be taken: {error}")));
                // Nothing is left to return.
                self.invoices.advance(id, InvoiceState::Returned, None)?;
                self.end_with_error(now, &job, &readable, JobState::Failed, PAYMENT_GONE)
            }
        }
    }

    fn payment_returned(
        &mut self,
        now: Timestamp,
        invoice: &InvoiceRow,
        returned: Result<(), &WalletError>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let id = &invoice.job;
        match returned {
            Ok(()) if invoice.state == InvoiceState::Closing => {
                self.invoices.advance(id, InvoiceState::Unpaid, None)
            }
            Ok(()) => {
                self.invoices.advance(id, InvoiceState::Returned, None)?;
                let kind = self.jobs.find(id)?.map_or(Kind(0), |job| job.kind);
                let paid = invoice.paid_job(kind);
                self.ledger.returned(now, &paid, &invoice.invoice.payment_hash, self.provider())
            }
            Err(WalletError::Unreachable(_) | WalletError::NoWallet) => {
                let pause = wallet_retry_pause(Duration::from_secs(5).saturating_mul(invoice.calls));
                self.invoices.postpone(id, now + pause)
            }
            // Nothing may be held any more, or it was taken: the wallet's books tell.
            Err(error @ (WalletError::Refused(_) | WalletError::Unsupported(_))) => {
                effects.push(Effect::Warn(format!("the payment of job {id} cannot be returned: {error}")));
                self.invoices.advance(id, InvoiceState::Late, Some(now))
            }
        }
    }
}

/// Until when a payment of this invoice may arrive.
pub(super) fn last_payment(invoice: &InvoiceRow) -> Timestamp {
    invoice.invoice.expires_at + PAYMENT_GRACE
}
