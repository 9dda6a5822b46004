//! The events of the outbox that are on their way, and which others may follow.

use std::collections::BTreeMap;

use openagents_host::Timestamp;

use crate::engine::Delivery;
use crate::engine::vocabulary::DeliveryLimits;

/// How many hosts that have accepted an event lately are remembered.
const MAX_PROVEN: usize = 48;

/// Where an event goes, and for whom.
pub(super) struct InFlight {
    /// When it was due.
    pub(super) due: Timestamp,
    /// The length of the event's JSON.
    pub(super) bytes: u64,
    /// `None` for the agent's own relay.
    pub(super) relay: Option<String>,
    /// The relay's host; empty for the agent's own relay.
    pub(super) host: String,
    /// Empty if the event is for nobody.
    pub(super) customer: String,
    /// Whether no earlier attempt has failed.
    pub(super) is_first_attempt: bool,
}

/// The events that are on their way.
pub(super) struct EventsInFlight {
    limits: DeliveryLimits,
    entries: BTreeMap<u64, InFlight>,
    /// How many of them are on their way to the agent's own relay.
    own: usize,
    /// The lengths of these together.
    own_bytes: u64,
    /// The external hosts that have accepted an event lately, the last one last.
    proven: Vec<String>,
}

impl EventsInFlight {
    pub(super) fn new(limits: DeliveryLimits) -> Self {
        Self { limits, entries: BTreeMap::new(), own: 0, own_bytes: 0, proven: Vec::new() }
    }

    pub(super) fn limits(&self) -> DeliveryLimits {
        self.limits
    }

    pub(super) fn insert(&mut self, entry: u64, flight: InFlight) {
        self.remove(entry);
        if flight.relay.is_none() {
            self.own = self.own.saturating_add(1);
            self.own_bytes = self.own_bytes.saturating_add(flight.bytes);
        }
        self.entries.insert(entry, flight);
    }

    pub(super) fn contains(&self, entry: u64) -> bool {
        self.entries.contains_key(&entry)
    }

    pub(super) fn remove(&mut self, entry: u64) -> Option<InFlight> {
        let removed = self.entries.remove(&entry)?;
        if removed.relay.is_none() {
            self.own = self.own.saturating_sub(1);
            self.own_bytes = self.own_bytes.saturating_sub(removed.bytes);
        }
        Some(removed)
    }

    /// Notes the end of a delivery, and whether the host can be relied upon.
    pub(super) fn ended(&mut self, entry: u64, delivery: &Delivery) {
        let Some(InFlight { host, .. }) = self.remove(entry) else { return };
        let has_accepted = match delivery {
            Delivery::Accepted => true,
            Delivery::Unreachable(_) => false,
            Delivery::Refused(_) | Delivery::Postponed(_) | Delivery::ReadFrom(_) => return,
        };
        self.proven.retain(|proven| *proven != host);
        if has_accepted && !host.is_empty() {
            if self.proven.len() >= MAX_PROVEN {
                self.proven.remove(0);
            }
            self.proven.push(host);
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        (self.own, self.own_bytes) = (0, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of events on their way to external relays, or to the agent's own.
    pub(super) fn count(&self, is_external: bool) -> usize {
        if is_external { self.entries.len().saturating_sub(self.own) } else { self.own }
    }

    /// The length of the events on their way to the agent's own relay.
    pub(super) fn own_bytes(&self) -> u64 {
        self.own_bytes
    }

    /// Whether an event may be sent now.
    pub(super) fn may_send(&self, flight: &InFlight) -> bool {
        flight.relay.is_none()
            || (!self.is_full_host(&flight.host)
                && (!self.is_unproven(flight)
                    || (self.has_room_for_unproven() && !self.is_full_customer(&flight.customer))))
    }

    /// The external hosts to which as many events are on their way as allowed.
    pub(super) fn full_hosts(&self) -> Vec<&str> {
        distinct(self.entries.values().map(|flight| flight.host.as_str()), |host| self.is_full_host(host))
    }

    /// The customers for whom as many events are on their way to unproven hosts as allowed.
    pub(super) fn full_customers(&self) -> Vec<&str> {
        let customers = self.entries.values().map(|flight| flight.customer.as_str());
        distinct(customers, |customer| self.is_full_customer(customer))
    }

    /// Whether an event may be sent to a host that has not accepted one lately.
    pub(super) fn has_room_for_unproven(&self) -> bool {
        self.unproven(None) < self.limits.unproven
    }

    /// The external hosts that have accepted an event lately.
    pub(super) fn proven(&self) -> &[String] {
        &self.proven
    }

    fn is_full_host(&self, host: &str) -> bool {
        !host.is_empty()
            && self.entries.values().filter(|flight| flight.host == host).count() >= self.limits.host
    }

    /// Announcements are for nobody, and few.
    fn is_full_customer(&self, customer: &str) -> bool {
        !customer.is_empty() && self.unproven(Some(customer)) >= self.limits.unproven_of_customer
    }

    fn is_unproven(&self, flight: &InFlight) -> bool {
        flight.relay.is_some() && !self.proven.contains(&flight.host)
    }

    /// The number of events on their way to unproven hosts, in all or for one customer.
    fn unproven(&self, customer: Option<&str>) -> usize {
        let of_customer = |flight: &&InFlight| customer.is_none_or(|customer| flight.customer == customer);
        self.entries.values().filter(|flight| self.is_unproven(flight)).filter(of_customer).count()
    }
}

/// Each of these texts once, if it is so.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>, is_so: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let mut found = Vec::new();
    for text in texts {
        if !found.contains(&text) && is_so(text) {
            found.push(text);
        }
    }
    found
}
