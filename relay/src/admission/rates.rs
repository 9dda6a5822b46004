//! Rate limits per connection and per network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use openagents_host::Timestamp;

use super::Network;
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;
use openagents_host::nostr::message::ClientMessage;

/// The activities of clients that are rate-limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// `EVENT`.
    Publish,
    /// `REQ`, `COUNT`, `NEG-OPEN`.
    Query,
    /// `AUTH`.
    Authenticate,
}

impl Activity {
    /// The activity of a message, if it is rate-limited.
    #[must_use]
    pub const fn of(message: &ClientMessage) -> Option<Self> {
        match message {
            ClientMessage::Event(_) => Some(Self::Publish),
            ClientMessage::Auth(_) => Some(Self::Authenticate),
            ClientMessage::Request { .. } | ClientMessage::Count { .. } | ClientMessage::Reconcile { .. } => {
                Some(Self::Query)
            }
            ClientMessage::Close(_) => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "events",
            Self::Query => "requests",
            Self::Authenticate => "identifications",
        }
    }
}

/// How often each connection may do something per minute. A client that was idle may use a whole minute's worth at
/// once. All connections of one [`Network`] together may do [four times](Self::NETWORK_SHARE) as much, because several
/// people can share an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Events per minute; 0 for no limit.
    pub events_per_minute: u32,
    /// `REQ`, `COUNT` and steps of reconciliations per minute; 0 for no limit.
    pub requests_per_minute: u32,
    /// How many look-ups in the store the requests of one [`Network`] may cause per minute; 0 for no limit. A look-up
    /// takes about three microseconds.
    pub look_ups_per_minute: u32,
    /// `AUTH` per minute; 0 for no limit.
    pub auths_per_minute: u32,
    /// Whether the limits also apply to clients on the relay's own machine. By default they do not, because that is
    /// where the agent's developer and benchmarks run.
    pub limits_loopback: bool,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            events_per_minute: 1_200,
            requests_per_minute: 1_200,
            look_ups_per_minute: 3_000_000,
            auths_per_minute: 60,
            limits_loopback: false,
        }
    }
}

impl RateLimits {
    /// How many connections' limits a whole network has.
    pub const NETWORK_SHARE: u32 = 4;

    /// Whether clients at this address are exempt. An unknown address belongs to a developer's machine, because
    /// Cloudflare always reports the address.
    #[must_use]
    pub fn exempt(&self, address: Option<IpAddr>) -> bool {
        !self.limits_loopback && address.is_none_or(|address| Network::of(address).is_loopback())
    }

    const fn per_minute(&self, activity: Activity) -> u32 {
        match activity {
            Activity::Publish => self.events_per_minute,
            Activity::Query => self.requests_per_minute,
            Activity::Authenticate => self.auths_per_minute,
        }
    }
}

/// The recent activity of clients. It is in memory only: a Durable Object loses it when it hibernates, but not before
/// ten seconds without any activity, in which a sixth of a minute's limit would be refilled anyway.
#[derive(Debug, Default)]
pub struct Rates {
    limits: RateLimits,
    connections: HashMap<ConnectionId, Buckets>,
    networks: HashMap<Network, Buckets>,
    /// When full buckets of networks were last removed.
    swept: Timestamp,
}

/// How many networks are remembered: more than there can be connections. Those without activity for a minute are
/// removed first.
const MAX_NETWORKS: usize = 16_384;

/// The minimum interval between two removals of idle networks, in milliseconds.
const SWEEP_INTERVAL_MILLIS: u64 = 1_000;

/// A minute, in microseconds.
const MINUTE: u64 = 60_000_000;

/// How far the times of messages may be out of order, in microseconds: several threads read the clock.
const CLOCK_TOLERANCE: u64 = 1_000_000;

impl Rates {
    /// Without any activity.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Counts an activity, or returns how long to wait. Refused activities are not counted.
    ///
    /// # Errors
    /// When the limit of the connection or of its network is exceeded.
    pub fn admit(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        address: Option<IpAddr>,
        activity: Activity,
    ) -> Result<(), Reason> {
        if self.limits.exempt(address) {
            return Ok(());
        }
        let network = address.map(Network::of);
        let micros = now.as_millis().saturating_mul(1_000);
        let wait = |full_at: u64| {
            let wait = full_at.saturating_sub(micros).saturating_sub(MINUTE);
            NonZeroU64::new(wait.div_ceil(1_000_000))
        };
        if activity == Activity::Query
            && let Some(buckets) = network.and_then(|network| self.networks.get(&network))
            && let Some(seconds) = wait(buckets.look_up_after(micros))
        {
            return Err(rate_limited("your requests read too much", seconds));
        }
        let per_minute = self.limits.per_minute(activity);
        if per_minute == 0 {
            return Ok(());
        }
        let own = self.connections.entry(connection).or_default().after(activity, micros, per_minute);
        let shared = match network {
            Some(network) if self.has_room_for(network, now) => {
                let per_minute = per_minute.saturating_mul(RateLimits::NETWORK_SHARE);
                let buckets = self.networks.entry(network).or_default();
                Some((network, buckets.after(activity, micros, per_minute)))
            }
            _ => None,
        };
        let full_at = own.max(shared.map_or(0, |(_, full_at)| full_at));
        if let Some(seconds) = wait(full_at) {
            return Err(rate_limited(&format!("too many {}", activity.name()), seconds));
        }
        if let Some(buckets) = self.connections.get_mut(&connection) {
            buckets.fill(activity, own);
        }
        if let Some((network, full_at)) = shared
            && let Some(buckets) = self.networks.get_mut(&network)
        {
            buckets.fill(activity, full_at);
        }
        Ok(())
    }

    /// Counts the look-ups that answering a network took: messages alone say little about the work that they cause.
    /// Once it has used a minute's worth, its requests are [refused](Self::admit) until some of it is refilled.
    pub fn charge(&mut self, now: Timestamp, network: Network, look_ups: u64) {
        let per_minute = u64::from(self.limits.look_ups_per_minute);
        if self.limits.exempt(Some(network.address())) || !self.has_room_for(network, now) {
            return;
        }
        let Some(cost) = MINUTE.saturating_mul(look_ups).checked_div(per_minute) else { return };
        let now = now.as_millis().saturating_mul(1_000);
        let buckets = self.networks.entry(network).or_default();
        // However much a request has read, nobody waits for more than a minute.
        let longest = now.saturating_add(MINUTE.saturating_mul(2));
        buckets.look_up = buckets.look_up_after(now).saturating_add(cost).min(longest);
    }

    /// A connection has ended. The activity of its network is still remembered.
    pub fn close(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// If too many networks are active, a new one is limited only per connection.
    fn has_room_for(&mut self, network: Network, now: Timestamp) -> bool {
        if self.networks.len() < MAX_NETWORKS || self.networks.contains_key(&network) {
            return true;
        }
        let since = now.as_millis().abs_diff(self.swept.as_millis());
        if since >= SWEEP_INTERVAL_MILLIS {
            self.swept = now;
            let micros = now.as_millis().saturating_mul(1_000);
            self.networks.retain(|_, buckets| !buckets.are_full(micros));
        }
        self.networks.len() < MAX_NETWORKS
    }
}

fn rate_limited(why: &str, seconds: NonZeroU64) -> Reason {
    let unit = if seconds.get() == 1 { "second" } else { "seconds" };
    Reason::new(Prefix::RateLimited, format!("{why}; try again in {seconds} {unit}"))
}

/// A token bucket for each activity, stored as the time at which it will be full again, in microseconds. A bucket that
/// will be full in a minute is empty.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    publish: u64,
    query: u64,
    authenticate: u64,
    /// Look-ups, of networks only.
    look_up: u64,
}

impl Buckets {
    /// When the bucket will be full again if one token is taken now.
    fn after(&self, activity: Activity, now: u64, per_minute: u32) -> u64 {
        let full_at = match activity {
            Activity::Publish => self.publish,
            Activity::Query => self.query,
            Activity::Authenticate => self.authenticate,
        };
        let one = MINUTE.checked_div(per_minute.into()).unwrap_or(0);
        let full_at = if is_possible(full_at, now) { full_at } else { now };
        full_at.clamp(now, now.saturating_add(MINUTE)).saturating_add(one)
    }

    const fn fill(&mut self, activity: Activity, full_at: u64) {
        match activity {
            Activity::Publish => self.publish = full_at,
            Activity::Query => self.query = full_at,
            Activity::Authenticate => self.authenticate = full_at,
        }
    }

    /// When the bucket of look-ups will be full again. It is charged afterwards, so it can be a minute in debt; if it
    /// is more, the clock was [set back](is_possible).
    fn look_up_after(&self, now: u64) -> u64 {
        let full_at = self.look_up;
        if is_possible(full_at.saturating_sub(MINUTE), now) { full_at.max(now) } else { now }
    }

    fn are_full(&self, now: u64) -> bool {
        let others = [self.publish, self.query, self.authenticate];
        others.into_iter().all(|full_at| full_at <= now || !is_possible(full_at, now))
            && self.look_up_after(now) <= now
    }
}

/// Whether a bucket can take until `full_at` to be full. If not, the clock was set back since, and the bucket counts as
/// full: clients do not wait for the clock to catch up.
const fn is_possible(full_at: u64, now: u64) -> bool {
    full_at.saturating_sub(now) <= MINUTE.saturating_add(CLOCK_TOLERANCE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use openagents_host::Timestamp;
    use proptest::prelude::*;

    use super::{Activity, MAX_NETWORKS, RateLimits, Rates};
    use crate::admission::Network;
    use crate::session::ConnectionId;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const A: ConnectionId = ConnectionId::new(1);

    fn rates(per_minute: u32) -> Rates {
        Rates::new(RateLimits {
            events_per_minute: per_minute,
            requests_per_minute: per_minute,
            auths_per_minute: per_minute,
            look_ups_per_minute: 6_000,
            limits_loopback: false,
        })
    }

    fn address(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    fn count(
        rates: &mut Rates,
        now: Timestamp,
        connection: u64,
        address: Option<IpAddr>,
        tries: usize,
    ) -> usize {
        let connection = ConnectionId::new(connection);
        (0..tries).filter(|_| rates.admit(now, connection, address, Activity::Publish).is_ok()).count()
    }

    #[test]
    fn lets_a_minutes_worth_through_at_once_and_then_what_the_time_allows() {
        let mut rates = rates(60);
        assert_eq!(count(&mut rates, NOW, 1, address(1), 100), 60);
        assert_eq!(count(&mut rates, NOW + Duration::from_millis(999), 1, address(1), 9), 0);
        assert_eq!(count(&mut rates, NOW + Duration::from_secs(5), 1, address(1), 9), 5);
        assert_eq!(count(&mut rates, NOW + Duration::from_secs(500), 1, address(1), 100), 60);
    }

    #[test]
    fn says_how_long_to_wait() {
        let mut rates = rates(12);
        count(&mut rates, NOW, 1, address(1), 12);
        let refusal = rates.admit(NOW, A, address(1), Activity::Publish).unwrap_err();
        assert_eq!(refusal.to_string(), "rate-limited: too many events; try again in 5 seconds");
        let later = NOW + Duration::from_millis(4_001);
        let refusal = rates.admit(later, A, address(1), Activity::Publish).unwrap_err();
        assert_eq!(refusal.to_string(), "rate-limited: too many events; try again in 1 second");
        assert!(rates.admit(NOW + Duration::from_secs(5), A, address(1), Activity::Publish).is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer_than_a_minute() {
        for back in [10, 61, 3_600] {
            let mut rates = rates(60);
            assert_eq!(count(&mut rates, NOW, 1, address(1), 99), 60);
            let now = Timestamp::from_seconds(NOW.as_seconds() - back);
            assert_eq!(count(&mut rates, now, 1, address(1), 99), 60, "{back} s");
            assert_eq!(count(&mut rates, now + Duration::from_secs(60), 1, address(1), 60), 60, "{back} s");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_idle_networks() {
        let mut rates = rates(1);
        let most = u32::try_from(MAX_NETWORKS).unwrap();
        for number in 0..=most {
            rates.admit(NOW, ConnectionId::new(number.into()), address(number), Activity::Query).unwrap();
        }
        let back = Timestamp::from_seconds(NOW.as_seconds() - 3_600);
        rates.admit(back, A, address(most + 1), Activity::Query).unwrap();
        assert_eq!(rates.networks.len(), 1);
    }

    #[test]
    fn times_that_are_a_little_out_of_order_give_nothing_away() {
        let mut rates = rates(60);
        assert_eq!(count(&mut rates, NOW, 1, address(1), 99), 60);
        let before = Timestamp::from_millis(NOW.as_millis() - 900);
        assert_eq!(count(&mut rates, before, 1, address(1), 9), 0);
    }

    #[test]
    fn each_activity_has_its_own_bucket() {
        let mut rates = rates(1);
        for activity in [Activity::Publish, Activity::Query, Activity::Authenticate] {
            assert!(rates.admit(NOW, A, address(1), activity).is_ok());
            assert!(rates.admit(NOW, A, address(1), activity).is_err());
        }
    }

    #[test]
    fn many_connections_of_one_network_share_what_four_may_do() {
        let mut rates = rates(10);
        let taken: usize = (0..10).map(|connection| count(&mut rates, NOW, connection, address(1), 20)).sum();
        assert_eq!(taken, 40);
        assert_eq!(count(&mut rates, NOW, 11, address(2), 20), 10, "another network is its own");
        // Reconnecting does not help.
        rates.close(ConnectionId::new(1));
        assert_eq!(count(&mut rates, NOW, 1, address(1), 20), 0);
    }

    #[test]
    fn a_network_whose_requests_read_too_much_waits_and_no_other() {
        let mut rates = rates(1_000);
        let network = |number| Network::of(address(number).unwrap());
        let query = |rates: &mut Rates, now, number| {
            let asked =
                rates.admit(now, ConnectionId::new(u64::from(number)), address(number), Activity::Query);
            asked.map_err(|refusal| refusal.to_string())
        };
        for _ in 0..6 {
            assert_eq!(query(&mut rates, NOW, 1), Ok(()));
            rates.charge(NOW, network(1), 1_000);
        }
        assert_eq!(query(&mut rates, NOW, 1), Ok(()), "a minute's worth may be used at once");
        rates.charge(NOW, network(1), 300);
        let refused = "rate-limited: your requests read too much; try again in 3 seconds";
        assert_eq!(query(&mut rates, NOW, 1), Err(refused.to_owned()));
        assert_eq!(query(&mut rates, NOW, 2), Ok(()));
        assert!(rates.admit(NOW, A, address(1), Activity::Publish).is_ok(), "only requests are refused");
        assert_eq!(query(&mut rates, NOW + Duration::from_secs(3), 1), Ok(()));
        rates.charge(NOW, network(1), 1_000_000);
        assert!(query(&mut rates, NOW + Duration::from_secs(59), 1).is_err());
        assert_eq!(query(&mut rates, NOW + Duration::from_secs(60), 1), Ok(()));
        assert!(query(&mut rates, NOW, 1).is_err());
        let set_back = Timestamp::from_seconds(NOW.as_seconds() - 3_600);
        assert_eq!(query(&mut rates, set_back, 1), Ok(()), "the clock was set back");
        let own = Network::of(Ipv4Addr::LOCALHOST.into());
        rates.charge(NOW, own, 1_000_000);
        assert!(rates.admit(NOW, A, Some(Ipv4Addr::LOCALHOST.into()), Activity::Query).is_ok());
    }

    #[test]
    fn the_own_machine_is_exempt_unless_asked_for() {
        for address in [Some(Ipv4Addr::LOCALHOST.into()), Some("::1".parse().unwrap()), None] {
            assert_eq!(count(&mut rates(1), NOW, 1, address, 9), 9);
            let mut strict = rates(1);
            strict.limits.limits_loopback = true;
            assert_eq!(count(&mut strict, NOW, 1, address, 9), 1);
        }
        assert_eq!(count(&mut rates(0), NOW, 1, address(1), 9), 9, "0 is no limit");
    }

    #[test]
    fn remembers_no_more_networks_than_it_has_room_for() {
        let mut rates = rates(1);
        let most = u32::try_from(MAX_NETWORKS).unwrap();
        for number in 0..most + 9 {
            rates.admit(NOW, ConnectionId::new(number.into()), address(number), Activity::Query).unwrap();
            rates.close(ConnectionId::new(number.into()));
        }
        assert_eq!((rates.networks.len(), rates.connections.len()), (MAX_NETWORKS, 0));
        // Idle ones make room.
        let later = NOW + Duration::from_secs(61);
        rates.admit(later, A, address(most + 1), Activity::Query).unwrap();
        assert_eq!(rates.networks.len(), 1);
    }

    proptest! {
        #[test]
        fn never_lets_more_through_than_a_minutes_worth_and_the_rate(
            per_minute in 1..200_u32, waits in prop::collection::vec(0..3_000_u64, 1..400),
        ) {
            let mut rates = rates(per_minute);
            let (mut now, mut taken) = (NOW, 0_u64);
            for wait in waits {
                now = now + Duration::from_millis(wait);
                taken += u64::from(rates.admit(now, A, address(1), Activity::Publish).is_ok());
                let elapsed = now.as_millis() - NOW.as_millis();
                prop_assert!(taken <= u64::from(per_minute) + elapsed * u64::from(per_minute) / 60_000 + 1);
            }
        }
    }
}
