//! Events that are signed and committed, and not yet with a relay.

use std::collections::BTreeSet;

use openagents_host::sql::values;
use openagents_host::{Event, Sql, SqlError, Timestamp, VerifiedEvent};

use super::{Delivery, Effect, backoff};

/// How many events are on their way at once.
const IN_FLIGHT: usize = 256;

pub(super) struct Outbox<S> {
    sql: S,
    /// The entries that a shell is delivering.
    in_flight: BTreeSet<u64>,
}

impl<S: Sql> Outbox<S> {
    pub(super) fn new(sql: S) -> Self {
        Self { sql, in_flight: BTreeSet::new() }
    }

    pub(super) fn put(&self, event: &VerifiedEvent, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO outbox (event, attempt, due) VALUES (?, 0, ?)",
            values![&**event.json(), now],
        )
    }

    /// Hands out what is due, in order.
    pub(super) fn take_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), SqlError> {
        let due = self.sql.rows::<(u64, String)>(
            "SELECT entry, event FROM outbox WHERE due <= ? ORDER BY entry LIMIT ?",
            values![now, IN_FLIGHT],
        )?;
        for (entry, json) in due {
            if self.in_flight.contains(&entry) {
                continue;
            }
            match Event::from_json(&json)
                .map_err(|error| error.to_string())
                .and_then(|event| event.verify().map_err(|error| error.to_string()))
            {
                Ok(event) => {
                    self.in_flight.insert(entry);
                    effects.push(Effect::Publish { entry, event });
                }
                Err(error) => {
                    self.remove(entry)?;
                    effects.push(Effect::Warn(format!(
                        "an event in the outbox is damaged and was dropped: {error}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Records what became of an entry; returns what the operator should know.
    pub(super) fn delivered(
        &mut self,
        entry: u64,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Option<String>, SqlError> {
        self.in_flight.remove(&entry);
        match delivery {
            Delivery::Accepted => self.remove(entry).map(|()| None),
            Delivery::Refused(reason) => {
                self.remove(entry)?;
                Ok(Some(format!("the relay refused an answer of this agent, which is dropped: {reason}")))
            }
            Delivery::Unreachable(reason) => {
                let attempt = self.sql.first::<(u32,)>(
                    "UPDATE outbox SET attempt = attempt + 1 WHERE entry = ? RETURNING attempt",
                    values![entry],
                )?;
                let Some((attempt,)) = attempt else { return Ok(None) };
                let pause = backoff(attempt);
                self.sql.execute("UPDATE outbox SET due = ? WHERE entry = ?", values![now + pause, entry])?;
                Ok(Some(format!("the relay did not take an answer; it is sent again in {pause:?}: {reason}")))
            }
        }
    }

    /// When the next entry that is not on its way is due.
    pub(super) fn next_due(&self) -> Result<Option<Timestamp>, SqlError> {
        if self.in_flight.len() >= IN_FLIGHT {
            return Ok(None);
        }
        let earliest = self.sql.rows::<(u64, Timestamp)>(
            "SELECT entry, due FROM outbox ORDER BY due, entry LIMIT ?",
            values![self.in_flight.len().saturating_add(1)],
        )?;
        Ok(earliest.into_iter().find(|(entry, _)| !self.in_flight.contains(entry)).map(|(_, due)| due))
    }

    /// Forgets deliveries of entries that were undone before they were handed out.
    pub(super) fn rolled_back(&mut self) {
        self.in_flight.retain(|entry| {
            let there = self.sql.first::<(u64,)>("SELECT entry FROM outbox WHERE entry = ?", values![*entry]);
            matches!(there, Ok(Some(_)))
        });
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn remove(&self, entry: u64) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM outbox WHERE entry = ?", values![entry])
    }
}
