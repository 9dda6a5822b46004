//! What a run changes besides its result, in the same transaction: state, memory, conversations, published events.

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use crate::engine::JobEngine;
use crate::engine::vocabulary::{Changes, EventToPublish, NewTurn, Publication};

/// How many turns of a conversation are kept.
const MAX_TURNS: u64 = 200;

/// The longest turn, in bytes; the rest is cut off.
const MAX_TURN: usize = 16_000;

impl<S: Sql> JobEngine<S> {
    /// Stores the changes of a run.
    pub(in crate::engine) fn store_changes(
        &mut self,
        now: Timestamp,
        changes: &Changes,
    ) -> Result<(), SqlError> {
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
        for change in &changes.schedules {
            self.scheduled_runs.change(change)?;
        }
        for turn in &changes.turns {
            self.store_turn(now, turn)?;
        }
        for Publication { event, to } in &changes.events {
            let event = match event.clone() {
                EventToPublish::Unsigned(event) => event.sign(&self.keys, now),
                EventToPublish::Signed(event) => event,
            };
            self.outbox.put(&event, to, now)?;
        }
        Ok(())
    }

    fn store_turn(&self, now: Timestamp, NewTurn { customer, turn }: &NewTurn) -> Result<(), SqlError> {
        let last = self
            .sql
            .first::<(Option<u64>,)>("SELECT max(number) FROM turn WHERE customer = ?", values![customer])?;
        let last = last.and_then(|(last,)| last);
        let number = last.unwrap_or(0).saturating_add(1);
        let text = beginning(&turn.text, MAX_TURN);
        self.sql.execute(
            "INSERT INTO turn (customer, number, role, text, said_at) VALUES (?, ?, ?, ?, ?)",
            values![customer, number, &turn.role, text, now],
        )?;
        self.sql.execute(
            "DELETE FROM turn WHERE customer = ? AND number <= ?",
            values![customer, number.saturating_sub(MAX_TURNS)],
        )?;
        self.conversed(now, customer, last.is_none())
    }
}

/// The longest prefix of a text with at most `limit` bytes.
fn beginning(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}
