//! Which connection is closed when everything that clients make the relay keep takes too much memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Network;

/// How much memory clients make the relay keep, in bytes. Each is an estimate of what the allocator hands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientMemoryUsage {
    /// Subscriptions and open reconciliations (NIP-77).
    pub subscriptions: u64,
    /// Messages of which a part has arrived; on Cloudflare, the runtime keeps them.
    pub unfinished_messages: u64,
    /// What waits to be sent, and requests that wait for their answer; on Cloudflare, the runtime keeps them.
    pub output: u64,
    /// The most that all of these may take together. Beyond it, connections are closed.
    pub limit: u64,
}

impl ClientMemoryUsage {
    /// Each use with its name.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 3] {
        [
            ("subscriptions", self.subscriptions),
            ("unfinished_messages", self.unfinished_messages),
            ("output", self.output),
        ]
    }
}

/// The memory that a connection takes.
#[derive(Clone, Debug)]
pub(crate) struct MemoryHolder<T> {
    pub(crate) connection: T,
    /// Its network, if known.
    pub(crate) network: Option<Network>,
    pub(crate) bytes: usize,
}

/// Sorts connections in the order in which they are closed to free memory: those of the network that takes the most
/// come first, so that many connections of one client do not displace a single one of somebody else. Among them, the
/// connection that takes the most comes first. Connections from the relay's own machine, where a proxy may run, and
/// from unknown addresses do not count together.
pub(crate) fn sort_by_memory<T>(holders: &mut [MemoryHolder<T>]) {
    let mut sums: BTreeMap<Network, usize> = BTreeMap::new();
    for (network, bytes) in holders.iter().filter_map(|holder| Some((holder.shared()?, holder.bytes))) {
        let sum = sums.entry(network).or_default();
        *sum = sum.saturating_add(bytes);
    }
    holders.sort_by_cached_key(|holder| {
        let together = holder.shared().and_then(|network| sums.get(&network)).copied();
        (Reverse(together.unwrap_or(holder.bytes)), Reverse(holder.bytes))
    });
}

impl<T> MemoryHolder<T> {
    /// The network whose connections count together with this one.
    fn shared(&self) -> Option<Network> {
        self.network.filter(|network| !network.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryHolder, sort_by_memory};
    use crate::admission::Network;

    #[test]
    fn the_network_that_takes_the_most_comes_first() {
        let holder = |(connection, address, bytes): (usize, &str, usize)| {
            let network = address.parse().ok().map(Network::of);
            MemoryHolder { connection, network, bytes }
        };
        let mut holders: Vec<_> = [
            (1, "192.0.2.1", 50),
            (2, "192.0.2.2", 30),
            (3, "192.0.2.2", 31),
            (4, "127.0.0.1", 40),
            (5, "127.0.0.1", 45),
            (6, "", 49),
            (7, "", 48),
        ]
        .map(holder)
        .into();
        sort_by_memory(&mut holders);
        let order: Vec<usize> = holders.iter().map(|holder| holder.connection).collect();
        assert_eq!(order, [3, 2, 1, 6, 7, 5, 4]);
    }
}
