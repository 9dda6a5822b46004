//! The gate on the connection's task: connection limits, rate limits and signature checks, to spare the engine thread.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use openagents_host::native::now;
use openagents_host::nostr::schnorr::MIN_BATCH;

use crate::admission::forgeries::Forgeries;
use crate::admission::{
    Admission, AdmittedMessage, ConnectionLimits, ConnectionRefusal, Network, OpenConnections, RateLimits,
    Rates, WorkOwner, gate,
};
use crate::limits::Limits;
use crate::management::Rules;
use crate::session::ConnectionId;

/// Admits connections and checks their messages.
pub(super) struct Gate {
    limits: Limits,
    connection_limits: ConnectionLimits,
    rate_limits: RateLimits,
    rates: Mutex<Rates>,
    forgeries: Mutex<Forgeries>,
    rules: RwLock<Arc<Rules>>,
    permits: Mutex<Permits>,
}

/// The connections that have a permit.
#[derive(Default)]
struct Permits {
    is_closed: bool,
    open: OpenConnections,
}

/// The permit of a connection; released when dropped.
pub(super) struct ConnectionPermit {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
}

impl Gate {
    pub(super) fn new(limits: &Limits, admission: &Admission) -> Self {
        Self {
            limits: limits.clone(),
            connection_limits: admission.connections.clone(),
            rate_limits: admission.rates.clone(),
            rates: Mutex::new(Rates::new(admission.rates.clone())),
            forgeries: Mutex::default(),
            rules: RwLock::new(Arc::new(Rules::of(admission.lists.clone()))),
            permits: Mutex::default(),
        }
    }

    /// The rules currently in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_rules(&self, rules: Arc<Rules>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// A permit for one more connection, if the limits allow it.
    pub(super) fn admit_connection(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<ConnectionPermit, ConnectionRefusal> {
        let rules = self.rules();
        let mut permits = self.permits();
        if permits.is_closed {
            return Err(ConnectionRefusal::Full);
        }
        permits.open.admit(&self.connection_limits, &rules.lists, address)?;
        Ok(ConnectionPermit { gate: Arc::clone(self), address })
    }

    /// Stops admitting connections.
    pub(super) fn close(&self) {
        self.permits().is_closed = true;
    }

    pub(super) const fn max_connections(&self) -> usize {
        self.connection_limits.max_connections
    }

    /// Passes a text through the [gate](gate::admit). Its event remains to be [verified](Self::verify), which is expensive,
    /// so events that are blocked or exceed a rate limit are refused here.
    pub(super) fn admit(
        &self,
        connection: ConnectionId,
        address: Option<IpAddr>,
        text: &str,
    ) -> AdmittedMessage {
        let now = now();
        let admitted = gate::admit(
            text,
            &self.limits,
            now,
            |event| self.rules().lists.admit(event),
            |activity| match self.rate_limits.exempt(address) {
                true => Ok(()),
                false => self.rates().admit(now, connection, address, activity),
            },
        );
        let message = admitted.map_or_else(AdmittedMessage::Refused, AdmittedMessage::unverified);
        if message.unverified_event().is_some() { message } else { message.verify() }
    }

    /// Verifies the events of a connection's messages: together, unless somebody of the same network has sent a forged one
    /// lately.
    pub(super) fn verify<'a>(
        &self,
        connection: ConnectionId,
        address: Option<IpAddr>,
        messages: impl Iterator<Item = &'a mut AdmittedMessage>,
    ) {
        let mut events: Vec<_> = messages.filter(|message| message.unverified_event().is_some()).collect();
        if events.len() < MIN_BATCH {
            return AdmittedMessage::verify_together(events);
        }
        let sender = WorkOwner::of(address.map(Network::of), connection);
        if self.are_verified_alone(sender, events.len()) {
            return events.into_iter().for_each(|event| AdmittedMessage::verify_together(vec![event]));
        }
        AdmittedMessage::verify_together(events.iter_mut().map(|event| &mut **event).collect());
        if events.iter().any(|event| matches!(event, AdmittedMessage::Refused(_))) {
            self.forgeries().record(sender);
        }
    }

    /// Whether one of a sender's next events is verified alone. Counts the events.
    fn are_verified_alone(&self, sender: WorkOwner, events: usize) -> bool {
        let mut forgeries = self.forgeries();
        (0..events).fold(false, |are_alone, _| forgeries.is_verified_alone(sender) || are_alone)
    }

    /// Counts the look-ups that answering a network took.
    pub(super) fn charge(&self, network: Network, look_ups: u64) {
        self.rates().charge(now(), network, look_ups);
    }

    /// Forgets the rates of a connection that has ended.
    pub(super) fn forget(&self, connection: ConnectionId) {
        self.rates().close(connection);
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgeries(&self) -> MutexGuard<'_, Forgeries> {
        self.forgeries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.gate.permits().open.release(self.address);
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects)]
mod tests {
    use std::sync::Arc;

    use super::Gate;
    use crate::admission::{
        Admission, AdmittedMessage, ConnectionLimits, ConnectionRefusal, Lists, Network, RateLimits,
        WorkOwner,
    };
    use crate::fixtures;
    use crate::limits::Limits;
    use crate::session::ConnectionId;

    fn gate(admission: &Admission) -> Arc<Gate> {
        Arc::new(Gate::new(&Limits::default(), admission))
    }

    #[test]
    fn releases_the_permit_when_the_connection_ends() {
        let connections = ConnectionLimits {
            max_connections: 3,
            max_connections_per_address: 2,
            ..ConnectionLimits::default()
        };
        let gate = gate(&Admission { connections, ..Admission::default() });
        let admit_connection = |address: &str| gate.admit_connection(Some(address.parse().unwrap()));
        let first = admit_connection("192.0.2.1").ok().unwrap();
        let _second = admit_connection("192.0.2.1").ok().unwrap();
        assert_eq!(admit_connection("192.0.2.1").err(), Some(ConnectionRefusal::TooManyFromNetwork));
        let _third = admit_connection("192.0.2.2").ok().unwrap();
        assert_eq!(admit_connection("192.0.2.2").err(), Some(ConnectionRefusal::Full));
        drop(first);
        let again = admit_connection("192.0.2.1").ok().unwrap();
        gate.close();
        drop(again);
        assert_eq!(admit_connection("192.0.2.3").err(), Some(ConnectionRefusal::Full));
    }

    #[test]
    fn events_over_the_rate_or_blocked_are_refused_before_verification() {
        let lists = Lists { blocked_kinds: [openagents_host::Kind(4)].into(), ..Lists::default() };
        let rates = RateLimits { events_per_minute: 1, ..RateLimits::default() };
        let gate = gate(&Admission { lists, rates, ..Admission::default() });
        let check = |kind, address: &str| {
            // The signature belongs to another event, so the answer shows whether it was verified.
            let mut event: serde_json::Value =
                serde_json::from_str(fixtures::signed(kind, 1, &[]).json()).unwrap();
            event["sig"] = fixtures::signed(kind, 2, &[]).sig.to_string().into();
            let text = format!("[\"EVENT\",{event}]");
            let (connection, address) = (ConnectionId::new(1), Some(address.parse().unwrap()));
            let mut message = gate.admit(connection, address, &text);
            gate.verify(connection, address, [&mut message].into_iter());
            match message {
                AdmittedMessage::Refused(answer) => answer.to_json(),
                passed => panic!("{passed:?}"),
            }
        };
        assert!(check(4, "192.0.2.1").contains("blocked: "));
        assert!(check(1, "192.0.2.1").contains("invalid: the signature"));
        assert!(check(1, "192.0.2.1").contains("rate-limited: too many events; try again in 60 seconds"));
        assert!(check(1, "127.0.0.1").contains("invalid: the signature"));
    }
    /// The outcome of sixteen events, of which some have the signatures of others.
    fn outcomes(gate: &Gate, connection: u64, address: &str, first: u64, forged: &[u64]) -> Vec<bool> {
        let (connection, address) = (ConnectionId::new(connection), Some(address.parse().unwrap()));
        let text = |number| {
            let event = fixtures::signed(1, first + number, &[]);
            let other = fixtures::signed(1, first + number + 1_000, &[]);
            let sig = if forged.contains(&number) { &other.sig } else { &event.sig };
            format!("[\"EVENT\",{}]", event.json().replace(&event.sig.to_string(), &sig.to_string()))
        };
        let mut messages: Vec<_> =
            (0..16).map(|number| gate.admit(connection, address, &text(number))).collect();
        gate.verify(connection, address, messages.iter_mut());
        messages.iter().map(|message| matches!(message, AdmittedMessage::Verified(_))).collect()
    }

    fn all_but(forged: &[usize]) -> Vec<bool> {
        (0..16).map(|number| !forged.contains(&number)).collect()
    }

    #[test]
    fn of_events_that_came_together_the_forged_ones_are_refused() {
        let gate = gate(&Admission::default());
        assert_eq!(outcomes(&gate, 1, "192.0.2.1", 100, &[]), all_but(&[]));
        assert_eq!(outcomes(&gate, 1, "192.0.2.1", 200, &[0, 5, 15]), all_but(&[0, 5, 15]));
        // The sender's next events are verified alone.
        assert_eq!(outcomes(&gate, 1, "192.0.2.1", 300, &[7]), all_but(&[7]));
        assert_eq!(outcomes(&gate, 1, "192.0.2.1", 400, &[]), all_but(&[]));
    }

    #[test]
    fn whoever_sent_a_forged_event_is_verified_alone_from_any_connection_of_the_network() {
        let gate = gate(&Admission::default());
        let is_alone = |connection: u64, address: &str| {
            let network = Network::of(address.parse().unwrap());
            gate.are_verified_alone(WorkOwner::of(Some(network), ConnectionId::new(connection)), 1)
        };
        outcomes(&gate, 1, "192.0.2.1", 100, &[3]);
        outcomes(&gate, 2, "127.0.0.1", 200, &[3]);
        assert!(is_alone(1, "192.0.2.1") && is_alone(7, "192.0.2.1") && !is_alone(1, "198.51.100.1"));
        assert!(is_alone(2, "127.0.0.1") && !is_alone(3, "127.0.0.1"), "a proxy may run here");
        // 16 of the 1,024 each time.
        (0..64).for_each(|_| drop(outcomes(&gate, 1, "192.0.2.1", 300, &[])));
        assert!(!is_alone(1, "192.0.2.1"));
    }
}
