//! Limits on the number of connections.

use std::net::IpAddr;

use super::{Lists, Network};

/// Limits on the number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections in total.
    pub max_connections: usize,
    /// Open connections from one [`Network`]. The relay's own machine is exempt, where a proxy may be.
    pub max_connections_per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 10_000, max_connections_per_address: 64 }
    }
}

/// Why a connection is refused: the answer to the HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionRefusal {
    /// The client's address is blocked.
    #[error("Connections from your address are not accepted here.")]
    Blocked,
    /// The client's network has as many connections as it may have.
    #[error("There are as many connections from your address as this relay accepts; close one first.")]
    TooManyFromNetwork,
    /// The relay has as many connections as it may have.
    #[error("This relay has as many connections as it can serve.")]
    Full,
}

impl ConnectionRefusal {
    /// The HTTP status of the answer.
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
    /// Whether one more may connect, with so many that are there, `from_there` of them from the same network.
    ///
    /// # Errors
    /// Says why not.
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
    fn counts_all_those_of_a_network_and_those_who_are_blocked() {
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
