//! Limits on the requests to an agent's routes: how many and how large at once, and how many a minute from one network.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openagents_host::Timestamp;
use openagents_relay::ConnectionId;
use openagents_relay::admission::{Activity, Network, RateLimits, Rates};

/// How many requests may be open: received, waiting or being answered.
const MAX_OPEN: usize = 64;

/// How many of these may come from one network.
const MAX_OPEN_OF_NETWORK: usize = 16;

/// How long the bodies of open requests may be together, in bytes.
const MAX_OPEN_BYTES: usize = 16_000_000;

/// Every request counts for its network alone.
const NO_CONNECTION: ConnectionId = ConnectionId::new(0);

/// Admits requests to an agent's routes. It is in memory only.
pub(crate) struct RouteAdmission {
    limits: RateLimits,
    rates: Mutex<Rates>,
    open: Arc<Mutex<OpenRequests>>,
}

#[derive(Debug, Default)]
struct OpenRequests {
    count: usize,
    bytes: usize,
    networks: HashMap<Network, usize>,
}

/// A place among the open requests. Dropping it makes room for another.
pub(crate) struct RoutePermit {
    open: Arc<Mutex<OpenRequests>>,
    bytes: usize,
    network: Option<Network>,
}

/// Why a request is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteRefusal {
    #[error("{0}")]
    TooMany(String),
    #[error("the agent has too many requests at once: try again later")]
    Busy,
}

impl RouteAdmission {
    /// A network may make as many requests a minute as it may make `REQ`s.
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self { rates: Mutex::new(Rates::new(limits.clone())), limits, open: Arc::default() }
    }

    /// Admits a request whose body may have this many bytes.
    ///
    /// # Errors
    /// When there are too many requests, of this network or of all.
    pub(crate) fn admit(
        &self,
        now: Timestamp,
        address: Option<IpAddr>,
        bytes: usize,
    ) -> Result<RoutePermit, RouteRefusal> {
        {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            let admitted = rates.admit(now, NO_CONNECTION, address, Activity::Query);
            rates.close(NO_CONNECTION);
            admitted.map_err(|reason| RouteRefusal::TooMany(reason.text.into_owned()))?;
        }
        let network = address.filter(|_| !self.limits.exempt(address)).map(Network::of);
        let mut open = lock(&self.open);
        let of_network = network.and_then(|network| open.networks.get(&network)).copied().unwrap_or(0);
        let together = open.bytes.saturating_add(bytes);
        if open.count >= MAX_OPEN || of_network >= MAX_OPEN_OF_NETWORK || together > MAX_OPEN_BYTES {
            return Err(RouteRefusal::Busy);
        }
        open.count = open.count.saturating_add(1);
        open.bytes = together;
        if let Some(network) = network {
            open.networks.insert(network, of_network.saturating_add(1));
        }
        Ok(RoutePermit { open: Arc::clone(&self.open), bytes, network })
    }
}

impl RoutePermit {
    /// The body has no more than this many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(less);
        let mut open = lock(&self.open);
        open.bytes = open.bytes.saturating_sub(less);
    }
}

impl Drop for RoutePermit {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.count = open.count.saturating_sub(1);
        open.bytes = open.bytes.saturating_sub(self.bytes);
        let Some(network) = self.network else { return };
        if let Some(of_network) = open.networks.get_mut(&network) {
            *of_network = of_network.saturating_sub(1);
            if *of_network == 0 {
                open.networks.remove(&network);
            }
        }
    }
}

fn lock(open: &Mutex<OpenRequests>) -> MutexGuard<'_, OpenRequests> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for RouteAdmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteAdmission").field("open", &self.open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use openagents_host::Timestamp;

    use super::{MAX_OPEN, MAX_OPEN_BYTES, MAX_OPEN_OF_NETWORK, RateLimits, RouteAdmission, RouteRefusal};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn address(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([203, 0, 113, number]))
    }

    #[test]
    fn a_network_has_a_quarter_of_the_places() {
        let admission = RouteAdmission::new(RateLimits::default());
        let admit = |number| admission.admit(NOW, address(number), 0);
        let mut permits: Vec<_> = (0..MAX_OPEN_OF_NETWORK).map(|_| admit(1).unwrap()).collect();
        assert!(matches!(admit(1), Err(RouteRefusal::Busy)));
        for number in 2..=4 {
            permits.extend((0..MAX_OPEN_OF_NETWORK).map(|_| admit(number).unwrap()));
        }
        assert_eq!(permits.len(), MAX_OPEN);
        assert!(matches!(admit(5), Err(RouteRefusal::Busy)));
        permits.remove(0);
        assert!(admit(5).is_ok());
    }

    #[test]
    fn bodies_have_a_limit_together() {
        let admission = RouteAdmission::new(RateLimits::default());
        let admit = |bytes| admission.admit(NOW, None, bytes);
        let mut first = admit(MAX_OPEN_BYTES).unwrap();
        assert!(admit(1).is_err() && admit(0).is_ok());
        first.shrink_to(MAX_OPEN_BYTES - 10);
        assert!(admit(11).is_err() && admit(10).is_ok());
        drop(first);
        assert!(admit(MAX_OPEN_BYTES).is_ok());
    }

    #[test]
    fn a_network_may_make_as_many_requests_as_the_relay_lets_it_make() {
        let limits = RateLimits { requests_per_minute: 1, ..RateLimits::default() };
        let admission = RouteAdmission::new(limits);
        for _ in 0..4 {
            assert!(admission.admit(NOW, address(1), 0).is_ok());
        }
        let Err(RouteRefusal::TooMany(reason)) = admission.admit(NOW, address(1), 0) else {
            panic!("admitted")
        };
        assert!(reason.starts_with("too many requests; try again in "), "{reason}");
        assert!(admission.admit(NOW, address(2), 0).is_ok());
        assert!((0..10).all(|_| admission.admit(NOW, None, 0).is_ok()), "of the own machine");
    }
}
