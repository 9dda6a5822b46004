//! The `received_event` table: events for `#[event]` functions, and direct messages. Each is handled once.

use std::collections::BTreeMap;
use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Event, EventId, Kind, PublicKey, Rumor, Sql, SqlError, Timestamp, VerifiedEvent};

use super::run::runs::Running;
use super::spec::ReceivedEventHandler;
use super::vocabulary::RunId;
use super::{JobEngine, RequestAdmission, backoff};

/// How old an event may be when it arrives.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How far in the future an event's `created_at` may be.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// How many events may wait.
const MAX_WAITING: usize = 1_000;

/// How many of these may be of one author.
const MAX_WAITING_OF_AUTHOR: usize = 100;

/// How often an event is attempted.
const MAX_ATTEMPTS: u32 = 5;

/// The events that wait or are being handled. What decides when they start is in memory too, so that the database is read
/// for those that start.
pub(super) struct ReceivedEvents<S> {
    sql: S,
    /// The kinds with a handler.
    kinds: BTreeMap<Kind, ReceivedEventHandler>,
    waiting: BTreeMap<u64, WaitingEvent>,
}

#[derive(Clone, Copy)]
struct WaitingEvent {
    handler: ReceivedEventHandler,
    author: PublicKey,
    due: Timestamp,
}

/// An event that has arrived.
struct ReceivedEvent<'a> {
    /// By which it is known again; of a direct message, not that of its wrap.
    id: EventId,
    author: PublicKey,
    /// In seconds.
    created_at: u64,
    /// As it arrived.
    signed: &'a VerifiedEvent,
}

impl<'a> ReceivedEvent<'a> {
    /// An event that is not wrapped.
    fn of(signed: &'a VerifiedEvent) -> Self {
        Self { id: signed.id, author: signed.pubkey, created_at: signed.created_at, signed }
    }
}

/// What becomes of an event that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reception {
    /// It is stored, and will be handled.
    Stored,
    /// It is known already.
    Known,
    /// It is too old, or dated in the future.
    Untimely,
    /// Too many events wait, of its author or of all.
    NoRoom,
}

impl<S: Sql> ReceivedEvents<S> {
    /// Reads the events that wait, and gives up those whose handler is no longer declared.
    pub(super) fn open(sql: S, kinds: BTreeMap<Kind, ReceivedEventHandler>) -> Result<Self, SqlError> {
        let mut events = Self { sql, kinds, waiting: BTreeMap::new() };
        events.read()?;
        Ok(events)
    }

    fn read(&mut self) -> Result<(), SqlError> {
        self.waiting.clear();
        let rows = self.sql.rows::<(u64, PublicKey, Kind, Timestamp)>(
            "SELECT number, author, kind, due FROM received_event WHERE json IS NOT NULL",
            &[],
        )?;
        for (number, author, kind, due) in rows {
            match self.handler(kind) {
                Some(handler) => drop(self.waiting.insert(number, WaitingEvent { handler, author, due })),
                None => self.done(number)?,
            }
        }
        Ok(())
    }

    /// What handles events of a kind.
    pub(super) fn handler(&self, kind: Kind) -> Option<ReceivedEventHandler> {
        self.kinds.get(&kind).copied()
    }

    /// Stores an event that has arrived.
    fn receive(
        &mut self,
        now: Timestamp,
        event: &ReceivedEvent<'_>,
        handler: ReceivedEventHandler,
    ) -> Result<Reception, SqlError> {
        let ReceivedEvent { id, author, created_at, signed } = *event;
        let created_at = Timestamp::from_seconds(created_at);
        if created_at + MAX_AGE < now || created_at > now + MAX_CLOCK_SKEW {
            return Ok(Reception::Untimely);
        }
        self.prune(now)?;
        let known =
            self.sql.first::<(u64,)>("SELECT number FROM received_event WHERE id = ?", values![&id])?;
        if known.is_some() {
            return Ok(Reception::Known);
        }
        let of_author = self.waiting.values().filter(|waiting| waiting.author == author).count();
        if self.waiting.len() >= MAX_WAITING || of_author >= MAX_WAITING_OF_AUTHOR {
            return Ok(Reception::NoRoom);
        }
        // Longer than it would be accepted.
        let kept_until = created_at.max(now) + MAX_AGE + MAX_CLOCK_SKEW;
        let inserted = self.sql.first::<(u64,)>(
            "INSERT INTO received_event (id, author, kind, json, due, kept_until) VALUES (?, ?, ?, ?, ?, ?)
             RETURNING number",
            values![&id, &author, signed.kind, &**signed.json(), now, kept_until],
        )?;
        if let Some((number,)) = inserted {
            self.waiting.insert(number, WaitingEvent { handler, author, due: now });
        }
        Ok(Reception::Stored)
    }

    /// Deletes some rows of events that were handled and are too old to be accepted again.
    fn prune(&self, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "DELETE FROM received_event WHERE number IN (
                 SELECT number FROM received_event WHERE json IS NULL AND kept_until < ? LIMIT 4)",
            values![now],
        )
    }

    /// The event that has been due longest and is not being handled: its number, and its handler.
    pub(super) fn next(
        &self,
        now: Timestamp,
        running: &BTreeMap<RunId, Running>,
    ) -> Option<(u64, ReceivedEventHandler)> {
        let due = self.idle(running).filter(|(_, waiting)| waiting.due <= now);
        due.min_by_key(|(number, waiting)| (waiting.due, *number))
            .map(|(number, event)| (number, event.handler))
    }

    /// When the next event is due, after `now`.
    pub(super) fn next_due(&self, now: Timestamp, running: &BTreeMap<RunId, Running>) -> Option<Timestamp> {
        self.idle(running).map(|(_, waiting)| waiting.due).filter(|due| *due > now).min()
    }

    /// What handles an event.
    pub(super) fn handler_of(&self, number: u64) -> Option<ReceivedEventHandler> {
        self.waiting.get(&number).map(|waiting| waiting.handler)
    }

    /// The id and the author of an event.
    pub(super) fn origin(&self, number: u64) -> Result<Option<(EventId, PublicKey)>, SqlError> {
        self.sql.first("SELECT id, author FROM received_event WHERE number = ?", values![number])
    }

    /// Counts an attempt, and returns the event. `None` if there were too many attempts, all of them interrupted, or the
    /// event is damaged.
    pub(super) fn begin(&self, number: u64) -> Result<Option<VerifiedEvent>, SqlError> {
        let begun = self.sql.first::<(String,)>(
            "UPDATE received_event SET attempt = attempt + 1
             WHERE number = ? AND attempt < ? AND json IS NOT NULL RETURNING json",
            values![number, MAX_ATTEMPTS],
        )?;
        let event = begun.and_then(|(json,)| Event::from_json(&json).ok());
        Ok(event.and_then(|event| event.verify().ok()))
    }

    /// The event was handled, or is given up.
    pub(super) fn done(&mut self, number: u64) -> Result<(), SqlError> {
        self.waiting.remove(&number);
        self.sql.execute("UPDATE received_event SET json = NULL WHERE number = ?", values![number])
    }

    /// The run has failed: it is attempted again after a pause, or given up. Returns whether it is attempted again.
    pub(super) fn failed(
        &mut self,
        number: u64,
        pause: Option<Duration>,
        now: Timestamp,
    ) -> Result<bool, SqlError> {
        let attempts = self
            .sql
            .first::<(u32,)>("SELECT attempt FROM received_event WHERE number = ?", values![number])?;
        let attempts = attempts.map_or(MAX_ATTEMPTS, |(attempts,)| attempts);
        if attempts >= MAX_ATTEMPTS {
            self.done(number)?;
            return Ok(false);
        }
        let due = now + pause.unwrap_or_else(|| backoff(attempts));
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.due = due;
        }
        self.sql.execute("UPDATE received_event SET due = ? WHERE number = ?", values![due, number])?;
        Ok(true)
    }

    /// Deletes the events of an author, and returns the numbers of those that waited.
    pub(super) fn forget_author(&mut self, author: &PublicKey) -> Result<Vec<u64>, SqlError> {
        let of_author = self.waiting.extract_if(.., |_, waiting| waiting.author == *author);
        let numbers = of_author.map(|(number, _)| number).collect();
        self.sql.execute("DELETE FROM received_event WHERE author = ?", values![author])?;
        Ok(numbers)
    }

    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        self.read()
    }

    fn idle<'a>(
        &'a self,
        running: &'a BTreeMap<RunId, Running>,
    ) -> impl Iterator<Item = (u64, WaitingEvent)> + 'a {
        let all = self.waiting.iter().map(|(number, waiting)| (*number, *waiting));
        all.filter(|(number, _)| !running.contains_key(&RunId::Event(*number)))
    }
}

impl<S: Sql> JobEngine<S> {
    /// Handles an event that is not about a job: one from the agent's own relay that mentions the agent is stored for its
    /// `#[event]` or `#[direct_message]` function, unless the agent itself is the author, since it would answer itself for ever.
    pub(super) fn receive_event(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        source: Option<&str>,
    ) -> Result<RequestAdmission, SqlError> {
        let me = self.keys.public_key();
        let Some(handler) = self.received_events.handler(event.kind) else {
            return Ok(RequestAdmission::NotOurs);
        };
        if source.is_some() || event.pubkey == me || !mentions(event, &me) {
            return Ok(RequestAdmission::NotOurs);
        }
        let received = match handler {
            ReceivedEventHandler::Event(_) => ReceivedEvent::of(event),
            ReceivedEventHandler::DirectMessage => match self.direct_message(event) {
                Some(Rumor { id, pubkey: author, created_at, .. }) => {
                    ReceivedEvent { id, author, created_at, signed: event }
                }
                None => return Ok(RequestAdmission::NotOurs),
            },
        };
        Ok(match self.received_events.receive(now, &received, handler)? {
            Reception::Stored => RequestAdmission::Received,
            Reception::Known => RequestAdmission::Duplicate,
            Reception::Untimely => RequestAdmission::NotOurs,
            Reception::NoRoom => RequestAdmission::NoRoom,
        })
    }
}

/// Whether an event names a key in a `p` tag.
fn mentions(event: &Event, key: &PublicKey) -> bool {
    let key = key.to_hex();
    event.tag_values("p").any(|named| named == key)
}
