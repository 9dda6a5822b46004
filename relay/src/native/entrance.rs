//! Who comes in, and with how much: what is decided beside the relay's thread, before that is troubled.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use openagents_host::native::now;

use crate::admission::{Activity, Admission, ConnectionLimits, Network, NoEntry, RateLimits, Rates};
use crate::check::{self, Checked};
use crate::limits::Limits;
use crate::management::Rules;
use crate::message::ClientMessage;
use crate::relay::ConnectionId;
use crate::store::VANISH;

/// The way in.
pub(super) struct Entrance {
    limits: Limits,
    connection_limits: ConnectionLimits,
    rate_limits: RateLimits,
    rates: Mutex<Rates>,
    rules: RwLock<Arc<Rules>>,
    places: Mutex<Places>,
}

/// How many have come in.
#[derive(Default)]
struct Places {
    is_closed: bool,
    taken: usize,
    by_network: HashMap<Network, usize>,
}

/// The place of a connection; free again when this is dropped.
pub(super) struct Place {
    entrance: Arc<Entrance>,
    network: Option<Network>,
}

impl Entrance {
    pub(super) fn new(limits: &Limits, admission: &Admission) -> Self {
        Self {
            limits: limits.clone(),
            connection_limits: admission.connections.clone(),
            rate_limits: admission.rates.clone(),
            rates: Mutex::new(Rates::new(admission.rates.clone())),
            rules: RwLock::new(Arc::new(Rules::of(admission.lists.clone()))),
            places: Mutex::default(),
        }
    }

    /// What holds at present.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_rules(&self, rules: Arc<Rules>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The place for one more connection, if there is one.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, NoEntry> {
        let rules = self.rules();
        let mut places = self.places();
        if places.is_closed {
            return Err(NoEntry::Full);
        }
        let from_there = |network: Network| places.by_network.get(&network).copied().unwrap_or(0);
        self.connection_limits.admit(&rules.lists, address, places.taken, from_there)?;
        let network = address.map(Network::of);
        places.taken = places.taken.saturating_add(1);
        if let Some(network) = network {
            let count = places.by_network.entry(network).or_default();
            *count = count.saturating_add(1);
        }
        Ok(Place { entrance: Arc::clone(self), network })
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.places().is_closed = true;
    }

    pub(super) const fn max_connections(&self) -> usize {
        self.connection_limits.max_connections
    }

    /// Reads and checks a text. What its sender does too often or may not do is not verified: that is what costs.
    pub(super) fn check(&self, connection: ConnectionId, address: Option<IpAddr>, text: &str) -> Checked {
        let now = now();
        let message = match check::read(text, &self.limits, now) {
            Ok(message) => message,
            Err(answer) => return Checked::Refused(answer),
        };
        let listed = match &message {
            // Who wants to vanish may have a right to that (NIP-62), which the relay knows.
            ClientMessage::Event(event) if event.kind != VANISH => self.rules().lists.admit(event),
            _ => Ok(()),
        };
        let admitted = listed.and_then(|()| match Activity::of(&message) {
            Some(activity) if !self.rate_limits.exempt(address) => {
                self.rates().admit(now, connection, address, activity)
            }
            _ => Ok(()),
        });
        match admitted {
            Ok(()) => check::verify(message),
            Err(reason) => Checked::Refused(check::refuse(message, reason)),
        }
    }

    /// A connection ended.
    pub(super) fn forget(&self, connection: ConnectionId) {
        self.rates().close(connection);
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.entrance.places();
        places.taken = places.taken.saturating_sub(1);
        let Some(network) = self.network else { return };
        if let Some(count) = places.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                places.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use std::sync::Arc;

    use super::Entrance;
    use crate::admission::{Admission, ConnectionLimits, Lists, NoEntry, RateLimits};
    use crate::check::Checked;
    use crate::fixtures;
    use crate::limits::Limits;
    use crate::relay::ConnectionId;

    fn entrance(admission: &Admission) -> Arc<Entrance> {
        Arc::new(Entrance::new(&Limits::default(), admission))
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let connections = ConnectionLimits { max_connections: 3, max_connections_per_address: 2 };
        let entrance = entrance(&Admission { connections, ..Admission::default() });
        let enter = |address: &str| entrance.enter(Some(address.parse().unwrap()));
        let first = enter("192.0.2.1").ok().unwrap();
        let _second = enter("192.0.2.1").ok().unwrap();
        assert_eq!(enter("192.0.2.1").err(), Some(NoEntry::TooManyOfYou));
        let _third = enter("192.0.2.2").ok().unwrap();
        assert_eq!(enter("192.0.2.2").err(), Some(NoEntry::Full));
        drop(first);
        let again = enter("192.0.2.1").ok().unwrap();
        assert_eq!(entrance.places().by_network.len(), 2);
        entrance.close();
        drop(again);
        assert_eq!(enter("192.0.2.3").err(), Some(NoEntry::Full));
    }

    #[test]
    fn what_is_too_much_or_unwanted_is_refused_before_it_is_verified() {
        let lists = Lists { blocked_kinds: [openagents_host::Kind(4)].into(), ..Lists::default() };
        let rates = RateLimits { events_per_minute: 1, ..RateLimits::default() };
        let entrance = entrance(&Admission { lists, rates, ..Admission::default() });
        let check = |kind, address: &str| {
            // The signature is another one's; whoever verifies it says so.
            let mut event: serde_json::Value =
                serde_json::from_str(fixtures::signed(kind, 1, &[]).json()).unwrap();
            event["sig"] = fixtures::signed(kind, 2, &[]).sig.to_string().into();
            let text = format!("[\"EVENT\",{event}]");
            match entrance.check(ConnectionId::new(1), Some(address.parse().unwrap()), &text) {
                Checked::Refused(answer) => answer.to_json(),
                passed => panic!("{passed:?}"),
            }
        };
        assert!(check(4, "192.0.2.1").contains("blocked: "));
        assert!(check(1, "192.0.2.1").contains("invalid: the signature"));
        assert!(check(1, "192.0.2.1").contains("rate-limited: too many events; try again in 60 seconds"));
        assert!(check(1, "127.0.0.1").contains("invalid: the signature"));
    }
}
