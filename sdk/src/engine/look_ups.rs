//! Which jobs' inputs are looked up next: few at once, and customers in turn.
//!
//! Look-ups on the agent's own relay have places of their own, so they never wait for external relays. A job waits here
//! only with its id: what it needs is read from the database when it is its turn. If the process ends, the job is due
//! again soon.

use std::time::Duration;

use openagents_host::{EventId, PublicKey, Timestamp};

/// The most look-ups on the agent's own relay at once. Each answer may take several megabytes.
const MAX_ON_OWN_RELAY: usize = 4;

/// The most look-ups on external relays at once.
const MAX_ON_ALL_RELAYS: usize = 8;

/// The most look-ups of one customer at once, of each type.
const MAX_OF_CUSTOMER: usize = 2;

/// A look-up without an answer for this long is lost.
const LOST_AFTER: Duration = Duration::from_secs(3 * 60);

/// Where a job's inputs are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookUpScope {
    /// On the agent's own relay.
    OwnRelay,
    /// Also on external relays.
    AllRelays,
}

/// The look-ups that wait and those in progress.
pub(super) struct LookUps {
    on_own_relay: LookUpQueue,
    on_all_relays: LookUpQueue,
}

impl Default for LookUps {
    fn default() -> Self {
        Self {
            on_own_relay: LookUpQueue::new(MAX_ON_OWN_RELAY),
            on_all_relays: LookUpQueue::new(MAX_ON_ALL_RELAYS),
        }
    }
}

impl LookUps {
    /// Lets a job wait for its turn, unless it does already or is looked up now.
    pub(super) fn add(&mut self, scope: LookUpScope, customer: PublicKey, job: EventId) {
        if self.on_own_relay.has(&job) || self.on_all_relays.has(&job) {
            return;
        }
        match scope {
            LookUpScope::OwnRelay => self.on_own_relay.add(customer, job),
            LookUpScope::AllRelays => self.on_all_relays.add(customer, job),
        }
    }

    /// Whether a look-up may start now.
    pub(super) fn may_start(&mut self, now: Timestamp) -> bool {
        self.on_own_relay.next(now).is_some() || self.on_all_relays.next(now).is_some()
    }

    /// Starts the next look-up, if one may start now.
    pub(super) fn start_next(&mut self, now: Timestamp) -> Option<(LookUpScope, EventId)> {
        let own = self.on_own_relay.start_next(now).map(|job| (LookUpScope::OwnRelay, job));
        own.or_else(|| self.on_all_relays.start_next(now).map(|job| (LookUpScope::AllRelays, job)))
    }

    /// Notes that a look-up has ended, and returns where it was made.
    pub(super) fn ended(&mut self, job: &EventId) -> Option<LookUpScope> {
        if self.on_own_relay.end(job) {
            Some(LookUpScope::OwnRelay)
        } else {
            self.on_all_relays.end(job).then_some(LookUpScope::AllRelays)
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        [&self.on_own_relay, &self.on_all_relays]
            .iter()
            .all(|queue| queue.running.is_empty() && queue.waiting.is_empty())
    }

    /// Look-ups that the rolled-back transaction started were not made. Those that were made before may be repeated.
    pub(super) fn rolled_back(&mut self) {
        self.on_own_relay.running.clear();
        self.on_all_relays.running.clear();
    }
}

/// The look-ups of one type. Lists and no maps: the Worker's code must be small.
struct LookUpQueue {
    /// How many may be in progress.
    limit: usize,
    running: Vec<RunningLookUp>,
    /// The jobs that wait, with their customers: by customer, and those of one customer in the order in which they came.
    waiting: Vec<(PublicKey, EventId)>,
    /// Whose look-up was started last.
    last: Option<PublicKey>,
}

struct RunningLookUp {
    job: EventId,
    customer: PublicKey,
    since: Timestamp,
}

impl LookUpQueue {
    fn new(limit: usize) -> Self {
        Self { limit, running: Vec::new(), waiting: Vec::new(), last: None }
    }

    fn has(&self, job: &EventId) -> bool {
        self.running.iter().any(|look_up| look_up.job == *job) || self.waiting.iter().any(|(_, id)| id == job)
    }

    fn add(&mut self, customer: PublicKey, job: EventId) {
        self.waiting.insert(self.after(&customer), (customer, job));
    }

    /// Where the jobs of later customers begin.
    fn after(&self, customer: &PublicKey) -> usize {
        self.waiting.partition_point(|(of, _)| of <= customer)
    }

    /// The job whose turn it is: the first one of the next customer after the last that has room for a look-up.
    fn next(&mut self, now: Timestamp) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        self.running.retain(|look_up| look_up.since + LOST_AFTER > now);
        if self.running.len() >= self.limit {
            return None;
        }
        let mut next = self.last.map_or(0, |last| self.after(&last));
        // Customers without room have look-ups in progress, so there are few of them.
        for _ in 0..=self.running.len().saturating_add(1) {
            let (customer, _) = match self.waiting.get(next) {
                Some(waiting) => waiting,
                None => self.waiting.first()?,
            };
            let customer = *customer;
            let running = self.running.iter().filter(|look_up| look_up.customer == customer).count();
            let end = self.after(&customer);
            if running < MAX_OF_CUSTOMER {
                return Some(self.waiting.partition_point(|(of, _)| *of < customer));
            }
            next = end;
        }
        None
    }

    fn start_next(&mut self, now: Timestamp) -> Option<EventId> {
        let next = self.next(now)?;
        let (customer, job) = self.waiting.remove(next);
        self.last = Some(customer);
        self.running.push(RunningLookUp { job, customer, since: now });
        Some(job)
    }

    fn end(&mut self, job: &EventId) -> bool {
        let before = self.running.len();
        self.running.retain(|look_up| look_up.job != *job);
        self.running.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use openagents_host::Keys;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn customer(number: u8) -> PublicKey {
        Keys::from_secret(&[number; 32]).unwrap().public_key()
    }

    fn job(number: u8) -> EventId {
        EventId::from_bytes([number; 32])
    }

    fn started(look_ups: &mut LookUps) -> Vec<(LookUpScope, EventId)> {
        std::iter::from_fn(|| look_ups.start_next(NOW)).collect()
    }

    #[test]
    fn only_so_many_are_made_at_once() {
        for (scope, limit) in [(LookUpScope::OwnRelay, 4), (LookUpScope::AllRelays, 8)] {
            let mut look_ups = LookUps::default();
            for number in 1..=20 {
                look_ups.add(scope, customer(number), job(number));
            }
            let first = started(&mut look_ups);
            assert_eq!(first.len(), limit);
            assert!(!look_ups.may_start(NOW));
            assert_eq!(look_ups.ended(&first[0].1), Some(scope));
            assert!(look_ups.may_start(NOW));
            assert_eq!(started(&mut look_ups).len(), 1);
        }
    }

    #[test]
    fn the_own_relay_does_not_wait_for_external_ones() {
        let mut look_ups = LookUps::default();
        for number in 1..=20 {
            look_ups.add(LookUpScope::AllRelays, customer(number), job(number));
        }
        started(&mut look_ups);
        look_ups.add(LookUpScope::OwnRelay, customer(1), job(100));
        assert_eq!(started(&mut look_ups), [(LookUpScope::OwnRelay, job(100))]);
    }

    #[test]
    fn customers_take_turns_and_have_two_at_once() {
        let mut look_ups = LookUps::default();
        let (many, few) = (customer(1), customer(2));
        for number in 0..100 {
            look_ups.add(LookUpScope::AllRelays, many, job(number));
        }
        assert_eq!(started(&mut look_ups).len(), 2);
        look_ups.add(LookUpScope::AllRelays, few, job(200));
        assert_eq!(started(&mut look_ups), [(LookUpScope::AllRelays, job(200))], "the others are behind it");
        look_ups.ended(&job(0));
        assert_eq!(started(&mut look_ups), [(LookUpScope::AllRelays, job(2))]);

        // Where many customers have filled all places, whoever comes next waits for one turn of each at most.
        let mut look_ups = LookUps::default();
        for number in 0..100 {
            look_ups.add(LookUpScope::AllRelays, customer(1 + number % 5), job(number));
        }
        let mut running: VecDeque<EventId> = started(&mut look_ups).into_iter().map(|(_, job)| job).collect();
        look_ups.add(LookUpScope::AllRelays, customer(9), job(200));
        let mut turns = 0;
        while !running.contains(&job(200)) {
            look_ups.ended(&running.pop_front().unwrap());
            running.extend(started(&mut look_ups).into_iter().map(|(_, job)| job));
            turns += 1;
        }
        assert!(turns <= 5, "{turns} turns");
    }

    #[test]
    fn a_job_waits_once_and_a_lost_look_up_makes_room() {
        let mut look_ups = LookUps::default();
        for _ in 0..3 {
            look_ups.add(LookUpScope::OwnRelay, customer(1), job(1));
        }
        assert_eq!(started(&mut look_ups).len(), 1);
        look_ups.add(LookUpScope::AllRelays, customer(1), job(1));
        assert!(started(&mut look_ups).is_empty(), "it is looked up now");
        for number in 2..=9 {
            look_ups.add(LookUpScope::OwnRelay, customer(number), job(number));
        }
        assert_eq!(started(&mut look_ups).len(), 3);
        let later = NOW + LOST_AFTER;
        let mut more = 0;
        while look_ups.start_next(later).is_some() {
            more += 1;
        }
        assert_eq!(more, 4);
        assert!(!look_ups.is_idle());
    }
}
