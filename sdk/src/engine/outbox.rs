//! Events that are signed and committed, and not yet where they belong.

use std::collections::{BTreeMap, BTreeSet};

use openagents_host::sql::values;
use openagents_host::{Event, PublicKey, Sql, SqlError, Timestamp, VerifiedEvent};

use super::{Delivery, Effect, backoff};

/// How many events are on their way to the agent's own relay at once.
const IN_FLIGHT: usize = 256;

/// How many events are on their way to outside relays at once.
const IN_FLIGHT_OUTSIDE: usize = 64;

/// How often an outside relay is tried before its copy is given up; the agent's own relay has one.
const OUTSIDE_ATTEMPTS: u32 = 8;

/// How many events that were just signed are kept, so that they need not be verified again.
const FRESH: usize = 1_024;

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Destination {
    /// The agent's own relay, which gets every event.
    Own,
    /// Another relay, by its URL.
    Relay(String),
    /// The relays that a customer reads from (NIP-65).
    ReadBy(PublicKey),
}

const READ_BY: &str = "read-by:";

impl Destination {
    fn to_column(&self) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Relay(url) => Some(url.clone()),
            Self::ReadBy(key) => Some(format!("{READ_BY}{key}")),
        }
    }

    fn from_column(text: Option<String>) -> Self {
        let Some(text) = text else { return Self::Own };
        let key = text.strip_prefix(READ_BY).and_then(|key| PublicKey::from_hex(key).ok());
        key.map_or(Self::Relay(text), Self::ReadBy)
    }
}

pub(super) struct Outbox<S> {
    sql: S,
    /// The entries that a shell is delivering, with whether they go outside.
    in_flight: BTreeMap<u64, bool>,
    /// The number of the next entry: higher than any that this process used, since a number that is used again would
    /// take the report on an earlier event for its own.
    next: u64,
    fresh: BTreeMap<u64, VerifiedEvent>,
    /// Whether entries for outside relays may be there; most agents never have one.
    may_have_outside: bool,
}

impl<S: Sql> Outbox<S> {
    pub(super) fn open(sql: S) -> Result<Self, SqlError> {
        let last = sql.first::<(Option<u64>,)>("SELECT max(entry) FROM outbox", &[])?;
        let next = last.and_then(|(last,)| last).unwrap_or(0).saturating_add(1);
        let (in_flight, fresh) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { sql, in_flight, next, fresh, may_have_outside: true })
    }

    pub(super) fn put(
        &mut self,
        event: &VerifiedEvent,
        to: &Destination,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        let entry = self.next;
        self.next = entry.saturating_add(1);
        self.sql.execute(
            "INSERT INTO outbox (entry, event, attempt, due, relay) VALUES (?, ?, 0, ?, ?)",
            values![entry, &**event.json(), now, to.to_column().as_deref()],
        )?;
        self.may_have_outside |= *to != Destination::Own;
        if self.fresh.len() >= FRESH {
            self.fresh.pop_first();
        }
        self.fresh.insert(entry, event.clone());
        Ok(())
    }

    /// Hands out what is due, in order.
    pub(super) fn take_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> Result<(), SqlError> {
        self.take_lane(now, false, effects)?;
        if self.may_have_outside { self.take_lane(now, true, effects) } else { Ok(()) }
    }

    fn take_lane(
        &mut self,
        now: Timestamp,
        outside: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let statement = if outside {
            "SELECT entry, event, relay FROM outbox INDEXED BY outbox_outside
             WHERE relay IS NOT NULL AND due <= ? ORDER BY due, entry LIMIT ?"
        } else {
            "SELECT entry, event, relay FROM outbox INDEXED BY outbox_own
             WHERE relay IS NULL AND due <= ? ORDER BY due, entry LIMIT ?"
        };
        let due =
            self.sql.rows::<(u64, String, Option<String>)>(statement, values![now, lane_limit(outside)])?;
        for (entry, json, relay) in due {
            if self.in_flight.contains_key(&entry) {
                continue;
            }
            match self.event(entry, &json) {
                Ok(event) => {
                    self.in_flight.insert(entry, outside);
                    let to = Destination::from_column(relay);
                    effects.push(Effect::Publish { entry, event, to });
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

    /// An entry's event; verified again unless it was signed a moment ago.
    fn event(&mut self, entry: u64, json: &str) -> Result<VerifiedEvent, String> {
        if let Some(event) = self.fresh.remove(&entry) {
            return Ok(event);
        }
        let event = Event::from_json(json).map_err(|error| error.to_string())?;
        event.verify().map_err(|error| error.to_string())
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
            Delivery::Accepted => self.remove(entry).map(|_| None),
            Delivery::Refused(reason) => {
                let Some(outside) = self.remove(entry)? else { return Ok(None) };
                let whose = if outside { "an outside" } else { "the agent's own" };
                Ok(Some(format!(
                    "{whose} relay refused an event of this agent, which is dropped there: {reason}"
                )))
            }
            Delivery::Unreachable(reason) => {
                let attempt = self.sql.first::<(u32, bool)>(
                    "UPDATE outbox SET attempt = attempt + 1 WHERE entry = ? RETURNING attempt, relay IS NOT NULL",
                    values![entry],
                )?;
                let Some((attempt, outside)) = attempt else { return Ok(None) };
                if outside && attempt >= OUTSIDE_ATTEMPTS {
                    self.remove(entry)?;
                    return Ok(Some(format!(
                        "an outside relay was not reached {attempt} times, and is given up: {reason}"
                    )));
                }
                let pause = backoff(attempt);
                self.sql.execute("UPDATE outbox SET due = ? WHERE entry = ?", values![now + pause, entry])?;
                Ok(Some(format!("a relay did not take an event; it is sent again in {pause:?}: {reason}")))
            }
        }
    }

    /// When the next entry that is not on its way is due.
    pub(super) fn next_due(&mut self) -> Result<Option<Timestamp>, SqlError> {
        let own = self.next_due_of(false)?;
        if !self.may_have_outside {
            return Ok(own);
        }
        let outside = self.next_due_of(true)?;
        self.may_have_outside = outside.is_some() || self.in_flight.values().any(|outside| *outside);
        Ok([own, outside].into_iter().flatten().min())
    }

    fn next_due_of(&self, outside: bool) -> Result<Option<Timestamp>, SqlError> {
        let in_flight: BTreeSet<u64> =
            self.in_flight.iter().filter(|(_, is)| **is == outside).map(|(entry, _)| *entry).collect();
        if in_flight.len() >= lane_limit(outside) {
            return Ok(None);
        }
        let statement = if outside {
            "SELECT entry, due FROM outbox INDEXED BY outbox_outside WHERE relay IS NOT NULL ORDER BY due, entry LIMIT ?"
        } else {
            "SELECT entry, due FROM outbox INDEXED BY outbox_own WHERE relay IS NULL ORDER BY due, entry LIMIT ?"
        };
        let limit = in_flight.len().saturating_add(1);
        let earliest = self.sql.rows::<(u64, Timestamp)>(statement, values![limit])?;
        Ok(earliest.into_iter().find(|(entry, _)| !in_flight.contains(entry)).map(|(_, due)| due))
    }

    /// What was handed out by the transaction that was undone has not left, and what left before may be handed out
    /// again: it is the same signed event.
    pub(super) fn rolled_back(&mut self) {
        self.fresh.clear();
        self.may_have_outside = true;
        self.in_flight.clear();
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Says whether the entry that is removed was to go outside.
    fn remove(&self, entry: u64) -> Result<Option<bool>, SqlError> {
        let removed = self.sql.first::<(bool,)>(
            "DELETE FROM outbox WHERE entry = ? RETURNING relay IS NOT NULL",
            values![entry],
        )?;
        Ok(removed.map(|(outside,)| outside))
    }
}

const fn lane_limit(outside: bool) -> usize {
    if outside { IN_FLIGHT_OUTSIDE } else { IN_FLIGHT }
}
