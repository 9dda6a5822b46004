//! The `invoice` table: the one invoice of a job, and what has become of it.

use std::str::FromStr;

use openagents_host::sql::{FromRow, Row, values};
use openagents_host::{EventId, Kind, PublicKey, Sql, SqlError, Timestamp};

use super::ledger::PaidJob;
use crate::payment::wallet::Invoice;
use crate::price::Price;

pub(in crate::engine) struct InvoiceTable<S> {
    sql: S,
}

/// A row of the `invoice` table.
#[derive(Clone, Debug)]
pub(in crate::engine) struct InvoiceRow {
    pub(in crate::engine) job: EventId,
    /// `None` once the customer is forgotten.
    pub(in crate::engine) customer: Option<PublicKey>,
    pub(in crate::engine) invoice: Invoice,
    pub(in crate::engine) price: Price,
    pub(in crate::engine) state: InvoiceState,
    /// How often the wallet was called since the job has ended.
    pub(in crate::engine) calls: u32,
}

/// The state of an invoice. The database stores its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum InvoiceState {
    /// The customer has it and may pay it.
    Open,
    /// The payment is held, and the job may run.
    Held,
    /// The job is done, and the wallet is told to take the held payment.
    Taking,
    /// The job has ended without a result, and the wallet is told to return the held payment.
    Returning,
    /// The job has ended before a hold invoice was paid, and the wallet is told that nobody can pay it any more.
    Closing,
    /// The job has ended before anybody paid; a payment that still arrives is credited.
    Late,
    /// The payment is taken.
    Paid,
    /// The payment was returned, or can not be made any more.
    Returned,
    /// Nobody paid in time.
    Unpaid,
}

impl InvoiceState {
    const ALL: [Self; 9] = [
        Self::Open,
        Self::Held,
        Self::Taking,
        Self::Returning,
        Self::Closing,
        Self::Late,
        Self::Paid,
        Self::Returned,
        Self::Unpaid,
    ];

    pub(in crate::engine) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held => "held",
            Self::Taking => "taking",
            Self::Returning => "returning",
            Self::Closing => "closing",
            Self::Late => "late",
            Self::Paid => "paid",
            Self::Returned => "returned",
            Self::Unpaid => "unpaid",
        }
    }
}

impl FromStr for InvoiceState {
    type Err = SqlError;

    fn from_str(word: &str) -> Result<Self, SqlError> {
        let state = Self::ALL.into_iter().find(|state| state.as_str() == word);
        state.ok_or_else(|| SqlError::Statement(format!("`{word}` is not a state of an invoice")))
    }
}

impl InvoiceRow {
    /// What its payment is for, as the ledger notes it.
    pub(super) fn paid_job(&self, kind: Kind) -> PaidJob<'_> {
        PaidJob { job: &self.job, kind, customer: self.customer.as_ref(), price: self.price }
    }
}

const COLUMNS: &str = "job, customer, bolt11, payment_hash, msat, expires_at, state, calls, verify_url";

impl<S: Sql> InvoiceTable<S> {
    pub(in crate::engine) fn new(sql: S) -> Self {
        Self { sql }
    }

    /// Inserts the invoice of a job.
    pub(in crate::engine) fn record(
        &self,
        job: &EventId,
        customer: &PublicKey,
        invoice: &Invoice,
        price: Price,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO invoice (job, customer, bolt11, payment_hash, msat, expires_at, state, calls, verify_url)
             VALUES (?, ?, ?, ?, ?, ?, 'open', 0, ?)",
            values![
                job,
                customer,
                &invoice.bolt11,
                &invoice.payment_hash,
                price.as_msat(),
                invoice.expires_at,
                invoice.verify_url.as_deref()
            ],
        )
    }

    /// The invoice of a job.
    pub(in crate::engine) fn find(&self, job: &EventId) -> Result<Option<InvoiceRow>, SqlError> {
        self.sql.first::<InvoiceRow>(&format!("SELECT {COLUMNS} FROM invoice WHERE job = ?"), values![job])
    }

    /// Invoices without a waiting job for which the wallet is to be called now. They are due again after a pause, if
    /// nothing is heard.
    pub(in crate::engine) fn take_due(
        &self,
        now: Timestamp,
        again: impl Fn(&InvoiceRow) -> Timestamp,
        limit: usize,
    ) -> Result<Vec<InvoiceRow>, SqlError> {
        let due = self.sql.rows::<InvoiceRow>(
            &format!(
                "SELECT {COLUMNS} FROM invoice INDEXED BY invoice_due
                 WHERE due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?"
            ),
            values![now, limit],
        )?;
        for row in &due {
            self.sql.execute(
                "UPDATE invoice SET due = ?, calls = calls + 1 WHERE job = ?",
                values![again(row), &row.job],
            )?;
        }
        Ok(due)
    }

    /// Moves an invoice to a state. `due` says when the wallet is called, if its job does not wait for that.
    pub(in crate::engine) fn advance(
        &self,
        job: &EventId,
        state: InvoiceState,
        due: Option<Timestamp>,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE invoice SET state = ?, due = ?, calls = 0 WHERE job = ?",
            values![state.as_str(), due, job],
        )
    }

    /// Marks an invoice as paid.
    pub(in crate::engine) fn paid(&self, job: &EventId, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE invoice SET state = 'paid', due = NULL, paid_at = ? WHERE job = ?",
            values![now, job],
        )
    }

    /// Sets when the wallet is called again.
    pub(in crate::engine) fn postpone(&self, job: &EventId, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE invoice SET due = ? WHERE job = ?", values![due, job])
    }

    /// Keeps a result until its payment is taken.
    pub(in crate::engine) fn withhold(&self, job: &EventId, result: &str) -> Result<(), SqlError> {
        self.sql.execute("INSERT INTO withheld_result (job, result) VALUES (?, ?)", values![job, result])
    }

    /// The result that is kept, as JSON.
    pub(in crate::engine) fn withheld(&self, job: &EventId) -> Result<Option<String>, SqlError> {
        let row =
            self.sql.first::<(String,)>("SELECT result FROM withheld_result WHERE job = ?", values![job])?;
        Ok(row.map(|(result,)| result))
    }

    /// Deletes the result that was kept.
    pub(in crate::engine) fn release(&self, job: &EventId) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM withheld_result WHERE job = ?", values![job])
    }

    /// Whether a result of this customer is kept until it is paid for.
    pub(in crate::engine) fn owes(&self, customer: &PublicKey) -> Result<bool, SqlError> {
        let owed = self.sql.first::<(u32,)>(
            "SELECT 1 FROM withheld_result JOIN invoice USING (job)
             WHERE customer = ? AND state = 'open' LIMIT 1",
            values![customer],
        )?;
        Ok(owed.is_some())
    }
}

impl FromRow for InvoiceRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        Ok(Self {
            job: row.column(0)?,
            customer: row.column(1)?,
            invoice: Invoice {
                bolt11: row.column::<&str>(2)?.to_owned(),
                payment_hash: row.column::<&str>(3)?.to_owned(),
                expires_at: row.column(5)?,
                verify_url: row.column::<Option<&str>>(8)?.map(str::to_owned),
            },
            price: Price::msat(row.column(4)?),
            state: row.column::<&str>(6)?.parse()?,
            calls: row.column(7)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::InvoiceState;

    #[test]
    fn reads_every_state_as_it_was_written() {
        for state in InvoiceState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("settled".parse::<InvoiceState>().is_err());
    }
}
