//! Limits on the number of connections.

use std::net::IpAddr;

use super::{Lists, Network};

/// Limits on the number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most open connections in total.
    pub max_connections: usize,
    /// The most open connections from one [`Network`]. The relay's own machine is exempt, because it may run a proxy.
    pub max_connections_per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 10_000, max_connections_per_address: 64 }
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
        let network = address.map(Network::of).filter(|network| !network.is_loopback());
        match network {
            Some(network) if from_there(network) >= self.max_connections_per_address => {
                Err(ConnectionRefusal::TooManyFromNetwork)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionLimits, ConnectionRefusal};
    use crate::admission::{Lists, Network};

    #[test]
    fn counts_connections_by_network_and_refuses_blocked_ones() {
        let limits = ConnectionLimits { max_connections: 10, max_connections_per_address: 3 };
        let blocked = "192.0.2.9".parse().unwrap();
        let lists = Lists { blocked_addresses: [Network::of(blocked)].into(), ..Lists::default() };
        let admit = |address: &str, all, from_there| {
            limits.admit(&lists, Some(address.parse().unwrap()), all, |_| from_there)
        };
        assert_eq!(admit("192.0.2.1", 9, 2), Ok(()));
        assert_eq!(admit("192.0.2.1", 9, 3), Err(ConnectionRefusal::TooManyFromNetwork));
        assert_eq!(admit("192.0.2.1", 10, 0), Err(ConnectionRefusal::Full));
        assert_eq!(admit("192.0.2.9", 0, 0), Err(ConnectionRefusal::Blocked));
        assert_eq!(admit("127.0.0.1", 9, 9), Ok(()));
        assert_eq!(admit("127.0.0.1", 10, 9), Err(ConnectionRefusal::Full));
        assert_eq!(limits.admit(&lists, None, 9, |_| 9), Ok(()));
    }
}
