//! The network of a client: its IPv4 address, or the first 56 bits of its IPv6 address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::session::ConnectionId;

/// The part of an address that a client cannot easily change: the whole IPv4 address, or the first 56 bits of an IPv6
/// address, because providers assign each customer up to 256 networks of 64 bits (RIPE-690). Everything that is limited
/// by network is limited by this one.
///
/// ```
/// use openagents_relay::admission::Network;
///
/// let network = |address: &str| Network::of(address.parse().unwrap());
/// assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:ff::9"));
/// assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:100::9"));
/// assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
/// assert!(network("127.0.0.9").is_loopback() && network("::1").is_loopback());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Ipv6Addr::from_bits(address.to_bits() >> 72 << 72).into()
            }
            address => address,
        })
    }

    /// The address of the network, the first one if it has several.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.0
    }

    /// Whether this is the machine that the relay runs on.
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

/// Whose work takes turns with that of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WorkOwner {
    /// All connections of a network.
    Network(Network),
    /// A connection from the relay's own machine, where a proxy may run, or from an unknown address.
    Connection(ConnectionId),
}

impl WorkOwner {
    pub(crate) fn of(network: Option<Network>, connection: ConnectionId) -> Self {
        match network {
            Some(network) if !network.is_loopback() => Self::Network(network),
            _ => Self::Connection(connection),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
