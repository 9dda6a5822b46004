//! The index as an engine: calls with a ticket, replies, and bytes that its host removes.

use std::time::Duration;

use openagents_host::sql::{self, SchemaError, Sql, SqlError, values};
use openagents_host::{BlobHash, Engine, Timestamp};

use super::call::{IndexCall, IndexReply};
use super::{due, read, write};

/// The steps that create and change the tables.
const SCHEMA: [&str; 3] = [
    include_str!("schema/blossom_1.sql"),
    include_str!("schema/blossom_2.sql"),
    include_str!("schema/blossom_3.sql"),
];

/// Something that has happened.
#[derive(Clone, Debug)]
pub(crate) enum IndexInput {
    /// A call, to be answered with this ticket.
    Call { ticket: u64, call: IndexCall },
    /// The bytes of a blob were removed.
    Removed(BlobHash),
    /// Whether the bytes of a blob are stored, after [`IndexEffect::Check`].
    Checked { hash: BlobHash, is_stored: bool },
}

/// What the host must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexEffect {
    /// Answer a call.
    Reply { ticket: u64, reply: Result<IndexReply, SqlError> },
    /// Remove the bytes of a blob, unless it exists again, and say so with [`IndexInput::Removed`].
    Remove(BlobHash),
    /// Find out whether the bytes of a blob are stored, for [`IndexInput::Checked`].
    Check(BlobHash),
}

/// The index of a blob server.
pub(crate) struct IndexEngine<S> {
    sql: S,
    /// How long an upload is kept; `None` for as long as nobody deletes it.
    time_to_live: Option<Duration>,
    /// When something is due next, as far as it is known.
    next: Option<Timestamp>,
}

impl<S: Sql> IndexEngine<S> {
    /// Opens the index, and creates or updates its tables.
    ///
    /// # Errors
    /// When the data is of a newer release, or the database fails.
    pub(crate) fn open(sql: S, time_to_live: Option<Duration>) -> Result<Self, SchemaError> {
        sql::migrate(&sql, "blossom", &SCHEMA)?;
        // What was not confirmed before the end of the process is done again at once.
        let next = due::next(&sql)?;
        Ok(Self { sql, time_to_live, next })
    }

    /// Handles a call; the bytes that are to be removed become effects.
    pub(crate) fn call(
        &mut self,
        now: Timestamp,
        call: &IndexCall,
        effects: &mut Vec<IndexEffect>,
    ) -> Result<IndexReply, SqlError> {
        let write = match call {
            IndexCall::Read(read) => return read::answer(&self.sql, read, now),
            IndexCall::Write(write) => write,
        };
        self.change(effects, |sql, time_to_live, removed| {
            write::carry_out(sql, time_to_live, write, now, removed)
        })
    }

    /// Runs a change in a transaction of its own, and determines anew what is due.
    fn change<T>(
        &mut self,
        effects: &mut Vec<IndexEffect>,
        change: impl FnOnce(&S, Option<Duration>, &mut Vec<BlobHash>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let mut removed = Vec::new();
        let (sql, time_to_live) = (&self.sql, self.time_to_live);
        let changed = sql.transaction(|| change(sql, time_to_live, &mut removed))?;
        effects.extend(removed.into_iter().map(IndexEffect::Remove));
        self.next = due::next(&self.sql)?;
        Ok(changed)
    }
}

impl<S: Sql> Engine for IndexEngine<S> {
    type Sql = S;
    type Input = IndexInput;
    type Effect = IndexEffect;

    fn sql(&self) -> &S {
        &self.sql
    }

    fn handle(&mut self, now: Timestamp, input: &IndexInput, effects: &mut Vec<IndexEffect>) {
        // A change that fails is tried again when it is due.
        let _ = match input {
            IndexInput::Call { ticket, call } => {
                let reply = self.call(now, call, effects);
                effects.push(IndexEffect::Reply { ticket: *ticket, reply });
                Ok(())
            }
            IndexInput::Removed(hash) => self.change(effects, |sql, _, _| {
                sql.execute("DELETE FROM removal WHERE hash = ?", values![hash])
            }),
            IndexInput::Checked { hash, is_stored } => self.change(effects, |sql, time_to_live, removed| {
                due::finish(sql, time_to_live, hash, *is_stored, now, removed)
            }),
        };
    }

    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<IndexEffect>) {
        let unfinished = self.change(effects, |sql, _, removed| {
            due::removals(sql, now, removed)?;
            due::expire(sql, now, removed)?;
            due::unfinished(sql, now)
        });
        match unfinished {
            Ok(hashes) => effects.extend(hashes.into_iter().map(IndexEffect::Check)),
            // A database that fails now may work in a minute.
            Err(_) => self.next = Some(now + write::REMOVAL_RETRY),
        }
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        self.next
    }

    fn forget(&mut self, now: Timestamp) {
        self.next = due::next(&self.sql).unwrap_or(Some(now + write::REMOVAL_RETRY));
    }

    fn rolled_back(&mut self) {
        if let Ok(next) = due::next(&self.sql) {
            self.next = next;
        }
    }
}
