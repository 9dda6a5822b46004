//! The ledger for the agent's operators: every payment, and what became of it.

use openagents_host::sql::{FromRow, Row, values};
use openagents_host::{Sql, SqlError};

use super::MAX_ROWS;
use super::reply::{PaymentMovement, PaymentTotal};
use crate::engine::JobEngine;

impl<S: Sql> JobEngine<S> {
    /// The rows of the ledger before this one, newest first.
    pub(super) fn payments(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PaymentMovement>, SqlError> {
        // The largest integer that every host can bind: 2^53 - 1.
        let before = before.unwrap_or(u64::MAX).min(u64::MAX >> 11);
        self.sql.rows::<PaymentMovement>(
            "SELECT entry, noted_at, movement, msat, job, kind, customer, payment_hash, provider FROM payment
             WHERE entry < ? ORDER BY entry DESC LIMIT ?",
            values![before, limit.min(MAX_ROWS)],
        )
    }

    /// The sums of the ledger.
    pub(super) fn payment_totals(&self) -> Result<Vec<PaymentTotal>, SqlError> {
        let rows = self.sql.rows::<(String, u64, u64)>(
            "SELECT movement, payments, msat FROM payment_total ORDER BY movement",
            &[],
        )?;
        let total = |(movement, payments, msat)| PaymentTotal { movement, payments, msat };
        Ok(rows.into_iter().map(total).collect())
    }
}

impl FromRow for PaymentMovement {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        Ok(Self {
            seq: row.column(0)?,
            noted_at: row.column(1)?,
            movement: row.column::<&str>(2)?.to_owned(),
            msat: row.column(3)?,
            job: row.column(4)?,
            kind: row.column(5)?,
            customer: row.column(6)?,
            payment_hash: row.column(7)?,
            provider: row.column(8)?,
        })
    }
}
