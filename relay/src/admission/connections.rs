//! Limits on the number of connections.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Lists, Network};

/// Limits on the number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most open connections in total.
    pub max_connections: usize,
    /// The most open connections from one [`Network`].
    pub max_connections_per_address: usize,
    /// Whether the limit per network also applies to the relay's own machine. By default it does not, because that may
    /// run a proxy.
    pub limits_loopback: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 10_000, max_connections_per_address: 64, limits_loopback: false }
    }
}

/// Why a connection is refused; the body of the HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionRefusal {
    /// The client's address is blocked.
    #[error("Connections from your address are not accepted here.")]
    Blocked,
    /// There are too many connections from the client's network.
    #[error("There are too many connections from your address; close one first.")]
    TooManyFromNetwork,
    /// The relay has too many connections.
    #[error("This relay has too many connections.")]
    Full,
}

impl ConnectionRefusal {
    /// The status code of the HTTP response.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Blocked => 403,
            Self::TooManyFromNetwork => 429,
            Self::Full => 503,
        }
    }
}

impl ConnectionLimits {
    /// Whether another client may connect, given `open` connections in total and `from_there` from the same network.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn admit(
        &self,
        lists: &Lists,
        address: Option<IpAddr>,
        connections: usize,
        from_there: impl FnOnce(Network) -> usize,
    ) -> Result<(), ConnectionRefusal> {
        if lists.blocks(address) {
            return Err(ConnectionRefusal::Blocked);
        }
        if connections >= self.max_connections {
            return Err(ConnectionRefusal::Full);
        }
        let network =
            address.map(Network::of).filter(|network| self.limits_loopback || !network.is_loopback());
        match network {
            Some(network) if from_there(network) >= self.max_connections_per_address => {
                Err(ConnectionRefusal::TooManyFromNetwork)
            }
            _ => Ok(()),
        }
    }
}

/// How many connections are open, in total and from each network.
#[derive(Debug, Default)]
pub struct OpenConnections {
    total: usize,
    by_network: HashMap<Network, usize>,
}

impl OpenConnections {
    /// Counts another connection, if the limits allow it. It must be [released](Self::release) when it ends.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn admit(
        &mut self,
        limits: &ConnectionLimits,
        lists: &Lists,
        address: Option<IpAddr>,
    ) -> Result<(), ConnectionRefusal> {
        let from_there = |network: Network| self.by_network.get(&network).copied().unwrap_or(0);
        limits.admit(lists, address, self.total, from_there)?;
        self.total = self.total.saturating_add(1);
        if let Some(address) = address {
            let count = self.by_network.entry(Network::of(address)).or_default();
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    /// A connection from this address has ended.
    pub fn release(&mut self, address: Option<IpAddr>) {
        self.total = self.total.saturating_sub(1);
        let Some(network) = address.map(Network::of) else { return };
        if let Some(count) = self.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionLimits, ConnectionRefusal, OpenConnections};
    use crate::admission::{Lists, Network};

    #[test]
    fn counts_connections_by_network_and_refuses_blocked_ones() {
        let mut limits = ConnectionLimits {
            max_connections: 10,
            max_connections_per_address: 3,
            ..ConnectionLimits::default()
        };
        let blocked = "192.0.2.9".parse().unwrap();
        let lists = Lists { blocked_addresses: [Network::of(blocked)].into(), ..Lists::default() };
        let admit_under = |limits: &ConnectionLimits, address: &str, all, from_there| {
            limits.admit(&lists, Some(address.parse().unwrap()), all, |_| from_there)
        };
        let admit = |address: &str, all, from_there| admit_under(&limits, address, all, from_there);
        assert_eq!(admit("192.0.2.1", 9, 2), Ok(()));
        assert_eq!(admit("192.0.2.1", 9, 3), Err(ConnectionRefusal::TooManyFromNetwork));
        assert_eq!(admit("192.0.2.1", 10, 0), Err(ConnectionRefusal::Full));
        assert_eq!(admit("192.0.2.9", 0, 0), Err(ConnectionRefusal::Blocked));
        assert_eq!(admit("127.0.0.1", 9, 9), Ok(()));
        assert_eq!(admit("127.0.0.1", 10, 9), Err(ConnectionRefusal::Full));
        assert_eq!(limits.admit(&lists, None, 9, |_| 9), Ok(()));
        limits.limits_loopback = true;
        let refused = admit_under(&limits, "127.0.0.1", 9, 9);
        assert_eq!(refused, Err(ConnectionRefusal::TooManyFromNetwork));
    }

    #[test]
    fn networks_without_connections_are_forgotten() {
        let limits = ConnectionLimits { max_connections_per_address: 1, ..ConnectionLimits::default() };
        let (mut open, address) = (OpenConnections::default(), Some("2001:db8::1".parse().unwrap()));
        let neighbour = Some("2001:db8:0:ff::1".parse().unwrap());
        for _ in 0..2 {
            open.admit(&limits, &Lists::default(), address).unwrap();
            let refused = open.admit(&limits, &Lists::default(), neighbour);
            assert_eq!(refused, Err(ConnectionRefusal::TooManyFromNetwork));
            open.release(address);
            assert_eq!((open.total, open.by_network.len()), (0, 0));
        }
    }
}
