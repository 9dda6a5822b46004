//! The gate on the connection's task: connection limits, rate limits and signature checks, to spare the engine thread.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use openagents_host::native::now;

use crate::admission::{
    Admission, Admitted, AdmittedMessage, ConnectionLimits, ConnectionRefusal, Network, OpenConnections,
    RateLimits, Rates, gate,
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

    /// Passes a text through the [gate](gate::admit), then verifies its event. Verification is expensive, so it is
    /// skipped for events that are blocked or exceed a rate limit.
    pub(super) fn check(
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
        admitted.and_then(Admitted::verify).map_or_else(AdmittedMessage::Refused, AdmittedMessage::Verified)
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
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use std::sync::Arc;

    use super::Gate;
    use crate::admission::{
        Admission, AdmittedMessage, ConnectionLimits, ConnectionRefusal, Lists, RateLimits,
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
            match gate.check(ConnectionId::new(1), Some(address.parse().unwrap()), &text) {
                AdmittedMessage::Refused(answer) => answer.to_json(),
                passed => panic!("{passed:?}"),
            }
        };
        assert!(check(4, "192.0.2.1").contains("blocked: "));
        assert!(check(1, "192.0.2.1").contains("invalid: the signature"));
        assert!(check(1, "192.0.2.1").contains("rate-limited: too many events; try again in 60 seconds"));
        assert!(check(1, "127.0.0.1").contains("invalid: the signature"));
    }
}
