//! The `payment` and `credit` tables: every payment that came in, and what became of it.

use openagents_host::sql::values;
use openagents_host::{EventId, Kind, PublicKey, Sql, SqlError, Timestamp};

use crate::price::Price;

pub(in crate::engine) struct PaymentLedger<S> {
    sql: S,
}

/// What a payment is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct PaidJob<'a> {
    pub(in crate::engine) job: &'a EventId,
    pub(in crate::engine) kind: Kind,
    /// `None` once the customer is forgotten.
    pub(in crate::engine) customer: Option<&'a PublicKey>,
    pub(in crate::engine) price: Price,
}

impl<S: Sql> PaymentLedger<S> {
    pub(in crate::engine) fn new(sql: S) -> Self {
        Self { sql }
    }

    /// Notes that the wallet has a payment. Returns whether that is new: a payment counts once.
    pub(in crate::engine) fn received(
        &self,
        now: Timestamp,
        paid: &PaidJob<'_>,
        payment_hash: &str,
        provider: &str,
    ) -> Result<bool, SqlError> {
        let entry = self.sql.first::<(u64,)>(
            "INSERT INTO payment (noted_at, movement, msat, job, kind, customer, payment_hash, provider)
             VALUES (?, 'received', ?, ?, ?, ?, ?, ?)
             ON CONFLICT (payment_hash) WHERE movement = 'received' DO NOTHING RETURNING entry",
            values![now, paid.price.as_msat(), paid.job, paid.kind, paid.customer, payment_hash, provider],
        )?;
        if entry.is_some() {
            self.count("received", paid.price)?;
        }
        Ok(entry.is_some())
    }

    /// Notes that the wallet gave a held payment back.
    pub(in crate::engine) fn returned(
        &self,
        now: Timestamp,
        paid: &PaidJob<'_>,
        payment_hash: &str,
        provider: &str,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO payment (noted_at, movement, msat, job, kind, customer, payment_hash, provider)
             VALUES (?, 'returned', ?, ?, ?, ?, ?, ?)",
            values![now, paid.price.as_msat(), paid.job, paid.kind, paid.customer, payment_hash, provider],
        )?;
        self.count("returned", paid.price)
    }

    /// Keeps what a customer has paid for later jobs. Of a customer who is forgotten, nothing is kept.
    pub(in crate::engine) fn credit(&self, now: Timestamp, paid: &PaidJob<'_>) -> Result<(), SqlError> {
        let Some(customer) = paid.customer else { return Ok(()) };
        self.note(now, "credited", paid)?;
        self.sql.execute(
            "INSERT INTO credit (customer, msat) VALUES (?, ?)
             ON CONFLICT (customer) DO UPDATE SET msat = msat + excluded.msat",
            values![customer, paid.price.as_msat()],
        )
    }

    /// Pays a job with the customer's credit, if that is enough. Returns whether it was.
    pub(in crate::engine) fn spend(&self, now: Timestamp, paid: &PaidJob<'_>) -> Result<bool, SqlError> {
        let Some(customer) = paid.customer else { return Ok(false) };
        let price = paid.price.as_msat();
        let left = self.sql.first::<(u64,)>(
            "UPDATE credit SET msat = msat - ?1 WHERE customer = ?2 AND msat >= ?1 RETURNING msat",
            values![price, customer],
        )?;
        match left {
            None => return Ok(false),
            Some((0,)) => {
                self.sql.execute("DELETE FROM credit WHERE customer = ?", values![customer])?;
            }
            Some(_) => {}
        }
        self.note(now, "spent", paid)?;
        Ok(true)
    }

    /// What was paid for a job, by invoice or by credit, and is not credited again.
    pub(in crate::engine) fn paid_for(&self, job: &EventId) -> Result<Price, SqlError> {
        let sum = self.sql.first::<(u64,)>(
            "SELECT max(0, coalesce(sum(iif(movement = 'credited', -msat, msat)), 0)) FROM payment
             WHERE job = ? AND movement IN ('received', 'spent', 'credited')",
            values![job],
        )?;
        Ok(Price::msat(sum.map_or(0, |(sum,)| sum)))
    }

    /// Forgets who has paid. Amounts and payment hashes stay.
    pub(in crate::engine) fn forget(&self, customer: &PublicKey) -> Result<(), SqlError> {
        self.sql.execute("UPDATE payment SET customer = NULL WHERE customer = ?", values![customer])?;
        self.sql.execute("UPDATE invoice SET customer = NULL WHERE customer = ?", values![customer])?;
        self.sql.execute("DELETE FROM free_job WHERE customer = ?", values![customer])?;
        self.sql.execute("DELETE FROM credit WHERE customer = ?", values![customer])
    }

    /// Counts a job that a customer has for free, if fewer than `limit` were this day. Returns whether it is free.
    pub(in crate::engine) fn take_free(
        &self,
        now: Timestamp,
        kind: Kind,
        customer: &PublicKey,
        limit: u32,
    ) -> Result<bool, SqlError> {
        let day = now.as_seconds().div_euclid(24 * 60 * 60);
        self.sql.execute("DELETE FROM free_job WHERE day < ?", values![day])?;
        let counted = self.sql.first::<(u32,)>(
            "INSERT INTO free_job (day, kind, customer, jobs) VALUES (?, ?, ?, 1)
             ON CONFLICT DO UPDATE SET jobs = jobs + 1 WHERE jobs < ? RETURNING jobs",
            values![day, kind, customer, limit],
        )?;
        Ok(counted.is_some())
    }

    fn note(&self, now: Timestamp, movement: &str, paid: &PaidJob<'_>) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO payment (noted_at, movement, msat, job, kind, customer) VALUES (?, ?, ?, ?, ?, ?)",
            values![now, movement, paid.price.as_msat(), paid.job, paid.kind, paid.customer],
        )?;
        self.count(movement, paid.price)
    }

    fn count(&self, movement: &str, amount: Price) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO payment_total (movement, payments, msat) VALUES (?, 1, ?)
             ON CONFLICT (movement) DO UPDATE SET payments = payments + 1, msat = msat + excluded.msat",
            values![movement, amount.as_msat()],
        )
    }
}
