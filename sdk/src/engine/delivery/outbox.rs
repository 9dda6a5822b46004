//! The `outbox` table: signed events that wait until their relays have accepted them.

use std::collections::{BTreeMap, BTreeSet};

use openagents_host::sql::{FromRow, Row, Value, values};
use openagents_host::{Event, PublicKey, Sql, SqlError, Timestamp, VerifiedEvent};

use super::backoff::{MAX_FAILURES, RelayBackoff, RelayBackoffs};
use super::in_flight::{EventsInFlight, InFlight};
use crate::engine::vocabulary::{DeliveryLimits, Destination};
use crate::engine::{Delivery, Effect, backoff};
use crate::relay_address::relay_host;

/// How often the agent's own relay may refuse an event for now, which takes about an hour.
const MAX_OWN_REFUSALS: u32 = 64;

/// How many newly signed events are cached, so that they need not be verified when they are read back.
const MAX_FRESH: usize = 1_024;

/// Entries for external relays are numbered from here on, so that those for the agent's own relay can be read in the order of
/// their numbers, without an index.
const FIRST_EXTERNAL: u64 = 1 << 48;

const READ_BY: &str = "read-by:";
const INBOX: &str = "inbox:";

/// Later than any due time, and within the integers that a Durable Object can store.
const MAX_TIME: u64 = 1 << 52;

impl Destination {
    fn to_column(&self) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Relay(url) => Some(url.clone()),
            Self::ReadBy { customer, source } => Some(format!("{READ_BY}{customer} {source}")),
            Self::Inbox { receiver } => Some(format!("{INBOX}{receiver}")),
        }
    }

    fn from_column(text: Option<String>) -> Self {
        let Some(text) = text else { return Self::Own };
        let inbox = text.strip_prefix(INBOX).and_then(|receiver| PublicKey::from_hex(receiver).ok());
        if let Some(receiver) = inbox {
            return Self::Inbox { receiver };
        }
        let customer_relays = text.strip_prefix(READ_BY).and_then(|rest| {
            let (customer, source) = rest.split_once(' ')?;
            Some(Self::ReadBy { customer: PublicKey::from_hex(customer).ok()?, source: source.to_owned() })
        });
        customer_relays.unwrap_or(Self::Relay(text))
    }

    fn class(&self) -> DestinationClass {
        match self {
            Self::Own => DestinationClass::Own,
            Self::Relay(_) | Self::ReadBy { .. } | Self::Inbox { .. } => DestinationClass::External,
        }
    }

    /// The host to connect to. Limits go by host, since one host can have any number of URLs.
    fn host(&self) -> &str {
        match self {
            Self::Own => "",
            // It is looked up on the agent's own relay.
            Self::Inbox { .. } => INBOX,
            Self::Relay(url) | Self::ReadBy { source: url, .. } => relay_host(url),
        }
    }
}

pub(in crate::engine) struct Outbox<S> {
    backoffs: RelayBackoffs<S>,
    sql: S,
    in_flight: EventsInFlight,
    /// The numbers of the next entries. Numbers are not reused within a process: otherwise a late delivery report on an
    /// earlier event would be taken for one on a later event.
    next_own: u64,
    next_external: u64,
    fresh: BTreeMap<u64, VerifiedEvent>,
    /// Whether there may be entries for external relays; most agents have none.
    may_have_external: bool,
    /// Whether the agent's own relay may have refused an event for now, or have been unreachable.
    may_have_postponed: bool,
    /// All entries for the agent's own relay up to this one are in flight or were tried, so they need not be read again.
    own_cursor: u64,
}

impl<S: Sql> Outbox<S> {
    pub(in crate::engine) fn open(sql: S, limits: DeliveryLimits) -> Result<Self, SqlError> {
        let next = |last: Option<(Option<u64>,)>, first: u64| {
            last.and_then(|(last,)| last).map_or(first, |last| last.saturating_add(1).max(first))
        };
        let own = sql.first("SELECT max(entry) FROM outbox WHERE entry < ?", values![FIRST_EXTERNAL])?;
        let external = sql.first("SELECT max(entry) FROM outbox", &[])?;
        Ok(Self {
            backoffs: RelayBackoffs::new(sql.clone()),
            sql,
            in_flight: EventsInFlight::new(limits),
            next_own: next(own, 1),
            next_external: next(external, FIRST_EXTERNAL),
            fresh: BTreeMap::new(),
            may_have_external: true,
            may_have_postponed: true,
            own_cursor: 0,
        })
    }

    pub(in crate::engine) fn put(
        &mut self,
        event: &VerifiedEvent,
        to: &Destination,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        let due = match to {
            Destination::Relay(url) => match self.backoffs.backoff(url, now)? {
                RelayBackoff::Open => now,
                RelayBackoff::Pausing(until) => until,
                RelayBackoff::GivenUp => return Ok(()),
            },
            Destination::Own | Destination::ReadBy { .. } | Destination::Inbox { .. } => now,
        };
        let entry = self.next_entry(to.class());
        let customer = match to {
            Destination::Own => None,
            Destination::Relay(_) | Destination::ReadBy { .. } | Destination::Inbox { .. } => {
                event.tags_named("p").next().and_then(|tag| tag.get(1))
            }
        };
        self.sql.execute(
            "INSERT INTO outbox (entry, event, attempt, due, relay, host, customer) VALUES (?, ?, 0, ?, ?, ?, ?)",
            values![
                entry,
                &**event.json(),
                due,
                to.to_column().as_deref(),
                to.host(),
                customer.map_or("", String::as_str)
            ],
        )?;
        self.may_have_external |= *to != Destination::Own;
        if self.fresh.len() >= MAX_FRESH {
            self.fresh.pop_first();
        }
        self.fresh.insert(entry, event.clone());
        Ok(())
    }

    fn next_entry(&mut self, class: DestinationClass) -> u64 {
        let next = match class {
            DestinationClass::Own => &mut self.next_own,
            DestinationClass::External => &mut self.next_external,
        };
        let entry = *next;
        *next = entry.saturating_add(1);
        entry
    }

    /// Returns the entries that are due, in order, and marks them as in flight.
    pub(in crate::engine) fn take_due(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        self.take_class(now, DestinationClass::Own, effects)?;
        if self.may_have_external {
            self.take_class(now, DestinationClass::External, effects)
        } else {
            Ok(())
        }
    }

    fn take_class(
        &mut self,
        now: Timestamp,
        class: DestinationClass,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let room = self.limit(class).saturating_sub(self.flying(class));
        if room == 0 {
            return Ok(());
        }
        for OutboxEntry { entry, flight } in self.waiting(class, now, room)? {
            let is_first_attempt = flight.is_first_attempt;
            if !self.in_flight.contains(entry) {
                if !self.has_room(class, flight.bytes) {
                    break;
                }
                if !self.in_flight.may_send(&flight) {
                    continue;
                }
                match self.event(entry)? {
                    Ok(event) => {
                        let to = Destination::from_column(flight.relay.clone());
                        self.in_flight.insert(entry, flight);
                        effects.push(Effect::Publish { entry, event, to });
                    }
                    Err(error) => {
                        self.remove(entry)?;
                        effects.push(Effect::Warn(format!(
                            "a damaged event in the outbox was dropped: {error}"
                        )));
                    }
                }
            }
            if class == DestinationClass::Own && is_first_attempt {
                self.own_cursor = entry;
            }
        }
        Ok(())
    }

    /// The first entries of a class that are due, without those that must wait for others: `limit` that are not in
    /// flight, and some of those in flight.
    fn waiting(
        &mut self,
        class: DestinationClass,
        due: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, SqlError> {
        match class {
            DestinationClass::Own => self.waiting_own(due, limit),
            DestinationClass::External => self.waiting_external(due, limit),
        }
    }

    /// Those that were postponed come first. All others are due at once.
    fn waiting_own(&mut self, due: Timestamp, limit: usize) -> Result<Vec<OutboxEntry>, SqlError> {
        let mut waiting = Vec::new();
        if self.may_have_postponed {
            let limit = limit.saturating_add(self.flying(DestinationClass::Own));
            let postponed = format!(
                "SELECT {COLUMNS} FROM outbox INDEXED BY outbox_postponed
                 WHERE relay IS NULL AND attempt > 0 AND due <= ? ORDER BY due, entry LIMIT ?"
            );
            waiting = self.sql.rows(&postponed, values![due, limit])?;
            self.may_have_postponed = !waiting.is_empty()
                || self
                    .sql
                    .first::<(u64,)>(
                        "SELECT entry FROM outbox INDEXED BY outbox_postponed
                         WHERE relay IS NULL AND attempt > 0 LIMIT 1",
                        &[],
                    )?
                    .is_some();
        }
        let first_attempts = format!(
            "SELECT {COLUMNS} FROM outbox
             WHERE entry > ? AND entry < ? AND relay IS NULL AND attempt = 0 ORDER BY entry LIMIT ?"
        );
        let first_attempts: Vec<OutboxEntry> =
            self.sql.rows(&first_attempts, values![self.own_cursor, FIRST_EXTERNAL, limit])?;
        waiting.extend(first_attempts);
        Ok(waiting)
    }

    fn waiting_external(&self, due: Timestamp, limit: usize) -> Result<Vec<OutboxEntry>, SqlError> {
        let mut values = vec![Value::from(due)];
        let hosts = self.in_flight.full_hosts();
        let conditions = format!("relay IS NOT NULL AND due <= ? AND host NOT IN ({})", marks(&hosts));
        values.extend(hosts.into_iter().map(Value::from));
        // No more than 100 values can be bound. If there is no room for unproven hosts, it does not matter whose
        // events they are.
        let (customers, proven) = (self.in_flight.full_customers(), self.in_flight.proven());
        let more = if self.in_flight.has_room_for_unproven() {
            let more =
                format!(" AND (customer NOT IN ({}) OR host IN ({}))", marks(&customers), marks(proven));
            values.extend(customers.into_iter().map(Value::from));
            more
        } else if proven.is_empty() {
            return Ok(Vec::new());
        } else {
            format!(" AND host IN ({})", marks(proven))
        };
        values.extend(proven.iter().map(|host| Value::from(host.as_str())));
        values.push(Value::from(limit.saturating_add(self.flying(DestinationClass::External))));
        let statement = format!(
            "SELECT {COLUMNS} FROM outbox INDEXED BY outbox_outside WHERE {conditions}{more}
             ORDER BY due, entry LIMIT ?"
        );
        self.sql.rows(&statement, &values)
    }

    fn flying(&self, class: DestinationClass) -> usize {
        self.in_flight.count(class == DestinationClass::External)
    }

    fn limit(&self, class: DestinationClass) -> usize {
        match class {
            DestinationClass::Own => self.in_flight.limits().own,
            DestinationClass::External => self.in_flight.limits().external,
        }
    }

    /// Whether another event of this size may be in flight. One alone may have any size.
    fn has_room(&self, class: DestinationClass, bytes: u64) -> bool {
        let flying = self.flying(class);
        let is_small =
            || self.in_flight.own_bytes().saturating_add(bytes) <= self.in_flight.limits().own_bytes;
        flying < self.limit(class) && (class == DestinationClass::External || flying == 0 || is_small())
    }

    /// The event of an entry, or why it is damaged; verified unless it is in the cache of newly signed events.
    fn event(&mut self, entry: u64) -> Result<Result<VerifiedEvent, String>, SqlError> {
        if let Some(event) = self.fresh.remove(&entry) {
            return Ok(Ok(event));
        }
        let json = self.sql.first::<(String,)>("SELECT event FROM outbox WHERE entry = ?", values![entry])?;
        let (json,) = json.unwrap_or_default();
        let event = Event::from_json(&json).map_err(|error| error.to_string());
        Ok(event.and_then(|event| event.verify().map_err(|error| error.to_string())))
    }

    /// Records that these entries were delivered, in one statement.
    pub(in crate::engine) fn accepted(&mut self, entries: &[u64], now: Timestamp) -> Result<(), SqlError> {
        entries.iter().for_each(|entry| self.in_flight.ended(*entry, &Delivery::Accepted));
        let entries: Vec<String> = entries.iter().map(u64::to_string).collect();
        let removed = self.sql.rows::<(Option<String>,)>(
            "DELETE FROM outbox WHERE entry IN (SELECT value FROM json_each(?)) RETURNING relay",
            values![format!("[{}]", entries.join(",")).as_str()],
        )?;
        let relays: BTreeSet<String> = removed.into_iter().filter_map(|(relay,)| relay).collect();
        for relay in relays {
            // Events that were in flight with one that was not accepted do not end its pause: order matters.
            match self.backoffs.backoff(&relay, now)? {
                RelayBackoff::Pausing(_) => {}
                RelayBackoff::Open | RelayBackoff::GivenUp => self.backoffs.reached(&relay)?,
            }
        }
        Ok(())
    }

    /// Records the delivery of an entry. Returns a warning for the operator, if there is one.
    pub(in crate::engine) fn delivered(
        &mut self,
        entry: u64,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Option<String>, SqlError> {
        self.in_flight.ended(entry, delivery);
        match delivery {
            Delivery::Accepted => self.accepted(&[entry], now).map(|()| None),
            Delivery::Refused(reason) => {
                let Some(relay) = self.remove(entry)? else { return Ok(None) };
                let relay = in_words(relay.as_deref());
                Ok(Some(format!("{relay} rejected an event of this agent, which is dropped: {reason}")))
            }
            Delivery::Postponed(reason) => self.postponed(entry, reason, now),
            Delivery::Unreachable(reason) => {
                let attempt = self.sql.first::<(u32, Option<String>)>(
                    "UPDATE outbox SET attempt = attempt + 1 WHERE entry = ? RETURNING attempt, relay",
                    values![entry],
                )?;
                let Some((attempt, relay)) = attempt else { return Ok(None) };
                if let Some(relay) = relay {
                    return self.unreached(entry, attempt, &relay, reason, now);
                }
                let pause = backoff(attempt);
                self.postpone_own(entry, now + pause)?;
                Ok(Some(format!(
                    "the agent's own relay did not accept an event; trying again in {pause:?}: {reason}"
                )))
            }
            // The engine adds entries for these relays.
            Delivery::ReadFrom(_) => self.remove(entry).map(|_| None),
        }
    }

    /// Postpones an entry that its relay refuses for now; those after it for the same external relay keep their order.
    /// After many refusals it is dropped, since the event itself may be the reason.
    fn postponed(&mut self, entry: u64, reason: &str, now: Timestamp) -> Result<Option<String>, SqlError> {
        let attempt = self.sql.first::<(u32, Option<String>)>(
            "UPDATE outbox SET attempt = attempt + 1 WHERE entry = ? RETURNING attempt, relay",
            values![entry],
        )?;
        let Some((attempt, relay)) = attempt else { return Ok(None) };
        let relay_in_words = in_words(relay.as_deref());
        let max_attempts = if relay.is_some() { MAX_FAILURES } else { MAX_OWN_REFUSALS };
        if attempt >= max_attempts {
            self.remove(entry)?;
            return Ok(Some(format!(
                "{relay_in_words} refused an event of this agent {attempt} times, so it is dropped: {reason}"
            )));
        }
        let until = match &relay {
            None => {
                let until = now + backoff(attempt);
                self.postpone_own(entry, until)?;
                until
            }
            Some(relay) => {
                let known = self.backoffs.backoff(relay, now)?;
                let until = self.backoffs.refused(relay, attempt, now)?;
                self.postpone_all(relay, until)?;
                if known == RelayBackoff::Pausing(until) {
                    return Ok(None);
                }
                until
            }
        };
        let pause = now.until(until);
        Ok(Some(format!(
            "{relay_in_words} does not accept an event of this agent for now; trying again in {pause:?}: {reason}"
        )))
    }

    /// Postpones an entry for the agent's own relay.
    fn postpone_own(&mut self, entry: u64, until: Timestamp) -> Result<(), SqlError> {
        self.may_have_postponed = true;
        self.sql.execute("UPDATE outbox SET due = ? WHERE entry = ?", values![until, entry])
    }

    /// Postpones all entries for an external relay in their order.
    fn postpone_all(&self, relay: &str, until: Timestamp) -> Result<(), SqlError> {
        self.sql
            .execute("UPDATE outbox SET due = ? WHERE relay = ? AND due < ?", values![until, relay, until])
    }

    /// Postpones all entries for an external relay that could not be reached, or drops them.
    fn unreached(
        &self,
        entry: u64,
        attempt: u32,
        relay: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<String>, SqlError> {
        let known = self.backoffs.backoff(relay, now)?;
        let backoff = self.backoffs.failed(relay, now)?;
        if backoff == RelayBackoff::GivenUp {
            self.sql.execute("DELETE FROM outbox WHERE relay = ?", values![relay])?;
            return Ok((known != backoff).then(|| {
                format!("the relay {relay} is unreachable, so events for it are dropped for now: {reason}")
            }));
        }
        if attempt >= MAX_FAILURES {
            self.remove(entry)?;
            return Ok(Some(format!(
                "the relay {relay} did not accept an event in {attempt} attempts, so it is dropped: {reason}"
            )));
        }
        let RelayBackoff::Pausing(until) = backoff else { return Ok(None) };
        self.postpone_all(relay, until)?;
        let pause = now.until(until);
        Ok((known != backoff)
            .then(|| format!("the relay {relay} is unreachable; trying again in {pause:?}: {reason}")))
    }

    /// Replaces an entry by one for each of these relays, except the relay that it has already been sent to. A direct message
    /// also goes to the agent's own relay if its receiver `names_own`, or there is no other.
    pub(in crate::engine) fn redirect(
        &mut self,
        entry: u64,
        relays: &[String],
        names_own: bool,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        let from = Destination::from_column(self.in_flight.remove(entry).and_then(|flight| flight.relay));
        for relay in relays {
            if matches!(&from, Destination::ReadBy { source, .. } if source == relay) {
                continue;
            }
            let due = match self.backoffs.backoff(relay, now)? {
                RelayBackoff::Open => now,
                RelayBackoff::Pausing(until) => until,
                RelayBackoff::GivenUp => continue,
            };
            let copy = self.next_entry(DestinationClass::External);
            self.sql.execute(
                "INSERT INTO outbox (entry, event, attempt, due, relay, host, customer)
                 SELECT ?, event, 0, ?, ?, ?, customer FROM outbox WHERE entry = ?",
                values![copy, due, relay, relay_host(relay), entry],
            )?;
        }
        if matches!(from, Destination::Inbox { .. }) && (names_own || relays.is_empty()) {
            let copy = self.next_entry(DestinationClass::Own);
            self.sql.execute(
                "INSERT INTO outbox (entry, event, attempt, due, relay, host, customer)
                 SELECT ?, event, 0, ?, NULL, '', '' FROM outbox WHERE entry = ?",
                values![copy, now, entry],
            )?;
        }
        self.may_have_external = true;
        self.remove(entry).map(drop)
    }

    /// When the next entry that is not in flight is due.
    pub(in crate::engine) fn next_due(&mut self) -> Result<Option<Timestamp>, SqlError> {
        let own = self.next_due_of(DestinationClass::Own)?;
        if !self.may_have_external {
            return Ok(own);
        }
        let external = self.next_due_of(DestinationClass::External)?;
        self.may_have_external = external.is_some() || self.flying(DestinationClass::External) > 0;
        Ok([own, external].into_iter().flatten().min())
    }

    fn next_due_of(&mut self, class: DestinationClass) -> Result<Option<Timestamp>, SqlError> {
        if self.flying(class) >= self.limit(class) {
            return Ok(None);
        }
        let waiting = self.waiting(class, Timestamp::from_millis(MAX_TIME), 1)?;
        let waiting = waiting.into_iter().filter(|waiting| !self.in_flight.contains(waiting.entry));
        let next = waiting.min_by_key(|waiting| waiting.flight.due);
        // Otherwise it waits for the end of a delivery.
        let next = next.filter(|next| self.has_room(class, next.flight.bytes));
        Ok(next.map(|next| next.flight.due))
    }

    /// Entries returned by the rolled-back transaction were not sent. Entries sent before it may be sent again, which
    /// is harmless: it is the same signed event.
    pub(in crate::engine) fn rolled_back(&mut self) {
        self.fresh.clear();
        self.may_have_external = true;
        self.in_flight.clear();
        self.may_have_postponed = true;
        self.own_cursor = 0;
    }

    /// Whether no entry is in flight.
    pub(in crate::engine) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Removes an entry. Returns its external relay, if the entry existed.
    fn remove(&self, entry: u64) -> Result<Option<Option<String>>, SqlError> {
        let removed = self.sql.first::<(Option<String>,)>(
            "DELETE FROM outbox WHERE entry = ? RETURNING relay",
            values![entry],
        )?;
        Ok(removed.map(|(relay,)| relay))
    }
}

fn in_words(relay: Option<&str>) -> String {
    relay.map_or_else(|| "the agent's own relay".to_owned(), |relay| format!("the relay {relay}"))
}

/// The marks for these values in a statement.
fn marks<T>(values: &[T]) -> String {
    vec!["?"; values.len()].join(", ")
}

/// An entry, and what is known of it once it is in flight.
struct OutboxEntry {
    entry: u64,
    flight: InFlight,
}

const COLUMNS: &str = "entry, due, octet_length(event), relay, host, customer, attempt = 0";

impl FromRow for OutboxEntry {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        let flight = InFlight {
            due: row.column(1)?,
            bytes: row.column(2)?,
            relay: row.column(3)?,
            host: row.column(4)?,
            customer: row.column(5)?,
            is_first_attempt: row.column(6)?,
        };
        Ok(Self { entry: row.column(0)?, flight })
    }
}

/// Entries for the agent's own relay and for external relays do not delay each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DestinationClass {
    Own,
    External,
}
