//! What a run changes beside its result, committed with it: state, memory, conversations, events of its own.

use std::collections::BTreeMap;

use openagents_host::sql::values;
use openagents_host::{EventId, PublicKey, Sql, SqlError, Timestamp, UnsignedEvent};

use super::JobEngine;
use super::job_state::JobState;
use super::ledger::Record;
use super::outbox::Destination;
use super::requests::Readable;
use crate::job::JobOutput;
use crate::memory::Turn;
use crate::nip90::InputKind;

/// How many turns of a conversation are kept.
const MAX_TURNS: u64 = 200;

/// How long a turn may be, in bytes.
const MAX_TURN: usize = 16_000;

/// What a run changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// What an exclusive run left of the state, as JSON.
    pub(crate) state: Option<String>,
    /// Values by their keys; nothing where one was removed.
    pub(crate) memory: BTreeMap<String, Option<String>>,
    pub(crate) turns: Vec<NewTurn>,
    pub(crate) events: Vec<UnsignedEvent>,
}

/// Something said in the conversation with a customer.
#[derive(Clone, Debug)]
pub(crate) struct NewTurn {
    pub(crate) customer: PublicKey,
    pub(crate) turn: Turn,
}

impl<S: Sql> JobEngine<S> {
    /// Keeps what a run changed.
    pub(super) fn keep(&mut self, now: Timestamp, changes: &Changes) -> Result<(), SqlError> {
        if let Some(state) = &changes.state {
            self.state.store(state, now)?;
        }
        for (key, json) in &changes.memory {
            match json {
                Some(json) => self.sql.execute(
                    "INSERT INTO memory (key, json, written_at) VALUES (?, ?, ?)
                     ON CONFLICT (key) DO UPDATE SET json = excluded.json, written_at = excluded.written_at",
                    values![key, json, now],
                )?,
                None => self.sql.execute("DELETE FROM memory WHERE key = ?", values![key])?,
            }
        }
        for turn in &changes.turns {
            self.keep_turn(now, turn)?;
        }
        for event in &changes.events {
            let event = event.clone().sign(&self.keys, now);
            self.outbox.put(&event, &Destination::Own, now)?;
        }
        Ok(())
    }

    fn keep_turn(&self, now: Timestamp, NewTurn { customer, turn }: &NewTurn) -> Result<(), SqlError> {
        let last = self
            .sql
            .first::<(Option<u64>,)>("SELECT max(number) FROM turn WHERE customer = ?", values![customer])?;
        let number = last.and_then(|(last,)| last).unwrap_or(0).saturating_add(1);
        let text = beginning(&turn.text, MAX_TURN);
        self.sql.execute(
            "INSERT INTO turn (customer, number, role, text, said_at) VALUES (?, ?, ?, ?, ?)",
            values![customer, number, &turn.role, text, now],
        )?;
        self.sql.execute(
            "DELETE FROM turn WHERE customer = ? AND number <= ?",
            values![customer, number.saturating_sub(MAX_TURNS)],
        )
    }

    /// Counts a job that has ended.
    pub(super) fn count(&self, now: Timestamp, job: &Record, state: JobState) -> Result<(), SqlError> {
        let elapsed = u64::try_from(job.received_at.until(now).as_millis()).unwrap_or(u64::MAX);
        let msat = if state == JobState::Done { job.price.unwrap_or_default().as_msat() } else { 0 };
        self.sql.execute(
            "INSERT INTO metric (kind, state, jobs, elapsed, msat) VALUES (?, ?, 1, ?, ?)
             ON CONFLICT (kind, state) DO UPDATE SET
                 jobs = jobs + 1, elapsed = elapsed + excluded.elapsed, msat = msat + excluded.msat",
            values![job.kind, state.as_str(), elapsed, msat],
        )
    }

    /// The outputs that a job builds upon.
    pub(super) fn outputs_for(&self, job: &EventId, readable: &Readable) -> Result<Vec<JobOutput>, SqlError> {
        if !readable.request.inputs.iter().any(|input| input.kind == InputKind::Job) {
            return Ok(Vec::new());
        }
        let rows = self.sql.rows::<(EventId, String)>(
            "SELECT event, content FROM job_input WHERE job = ? AND content IS NOT NULL",
            values![job],
        )?;
        Ok(rows.into_iter().map(|(event, content)| JobOutput { event, content }).collect())
    }
}

/// As much of a text as fits into so many bytes.
fn beginning(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}
