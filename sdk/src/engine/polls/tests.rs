#![allow(clippy::arithmetic_side_effects)]

use openagents_host::native::Sqlite;
use openagents_host::net::{Reach, RelayError};
use openagents_host::nostr::SubscriptionId;
use openagents_host::nostr::reason::Reason;
use openagents_host::{Engine, Keys, Kind, UnsignedEvent};

use super::*;
use crate::declaration::{AgentDeclaration, JobDeclaration};
use crate::engine::{AgentSpec, Delivery, Destination, HandlerSpec, HookSpec, Input, Options};
use crate::nip90::Cancellation;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const RELAY: &str = "wss://outside.example";
const OTHER: &str = "wss://other.example";
const MINUTE: Duration = Duration::from_secs(60);

/// An agent's engine with external relays, and its latest effects.
struct PollsBench {
    engine: JobEngine<Sqlite>,
    now: Timestamp,
    polled: Vec<(String, u64)>,
    /// Up to which second each poll reads.
    continued: Vec<Option<u64>>,
    published: Vec<(u64, VerifiedEvent, Destination)>,
    warnings: Vec<String>,
}

fn open(sql: Sqlite, polled: &[&str], now: Timestamp) -> JobEngine<Sqlite> {
    let declaration =
        JobDeclaration { processing_after: Duration::ZERO, ..JobDeclaration::new(5_050, "handler") };
    let handler = HandlerSpec { declaration, exclusive: false, quotes: false };
    let spec = AgentSpec {
        declaration: AgentDeclaration::new("agent"),
        handlers: vec![handler],
        schedules: vec![],
        routes: vec![],
        events: vec![],
        direct_message: None,
        hooks: HookSpec::default(),
        change_state: |_, _| Ok(None),
    };
    let options = Options {
        reach: Reach::Public,
        relay_url: Some("wss://own.example".to_owned()),
        polled_relays: polled.iter().map(|relay| (*relay).to_owned()).collect(),
        ..Options::default()
    };
    JobEngine::open(sql, Keys::from_secret(&[4; 32]).unwrap(), spec, options, now).unwrap()
}

impl PollsBench {
    fn new(polled: &[&str]) -> Self {
        let engine = open(Sqlite::in_memory().unwrap(), polled, NOW);
        Self { engine, now: NOW, polled: vec![], continued: vec![], published: vec![], warnings: vec![] }
    }

    fn give(&mut self, input: &Input) {
        let mut effects = Vec::new();
        self.engine.handle(self.now, input, &mut effects);
        self.apply(effects);
    }

    /// Lets time pass, and runs the alarm when it is due.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for _ in 0..100 {
            if self.engine.next_alarm().is_none_or(|at| at > self.now) {
                return;
            }
            let mut effects = Vec::new();
            self.engine.alarm(self.now, &mut effects);
            self.apply(effects);
        }
        panic!("the alarm rings for ever");
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Poll { relay, since, until } => {
                    self.continued.push(until);
                    self.polled.push((relay, since.as_seconds()));
                }
                Effect::Publish { entry, event, to } => self.published.push((entry, event, to)),
                Effect::Warn(warning) => self.warnings.push(warning),
                _ => {}
            }
        }
    }

    fn polled(&mut self) -> Vec<String> {
        std::mem::take(&mut self.polled).into_iter().map(|(relay, _)| relay).collect()
    }

    fn poll_succeeded(&mut self, relay: &str, events: Vec<VerifiedEvent>) {
        self.poll_ended(relay, events, None);
    }

    /// A poll that has read everything, or has left over what was made up to a second.
    fn poll_ended(&mut self, relay: &str, events: Vec<VerifiedEvent>, rest: Option<u64>) {
        let poll = Ok(RelayPoll { until: self.now, events, rest });
        self.give(&Input::Polled { relay: relay.to_owned(), poll });
    }

    fn failed(&mut self, relay: &str) {
        self.give(&Input::Polled { relay: relay.to_owned(), poll: Err(RelayError::Disconnected) });
    }

    fn jobs(&self) -> u64 {
        self.engine.sql().first::<(u64,)>("SELECT count(*) FROM job", &[]).unwrap().unwrap().0
    }

    fn deliver(&mut self, entry: u64, delivery: Delivery) {
        self.give(&Input::Delivered { entry, delivery });
    }

    /// The events published since the last call, by destination.
    fn destinations(&mut self) -> Vec<Destination> {
        let mut destinations: Vec<Destination> =
            std::mem::take(&mut self.published).into_iter().map(|(_, _, to)| to).collect();
        destinations.sort();
        destinations.dedup();
        destinations
    }
}

fn customer() -> Keys {
    Keys::from_secret(&[3; 32]).unwrap()
}

fn request(number: u64, relays: &[&str]) -> VerifiedEvent {
    let mut request = UnsignedEvent::new(Kind(5_050), "").tag(["i", &number.to_string(), "text"]);
    if !relays.is_empty() {
        request = request.tag(["relays"].iter().chain(relays).copied());
    }
    request.sign(&customer(), NOW)
}

fn relay(url: &str) -> Destination {
    Destination::Relay(url.to_owned())
}

fn customer_relays(source: &str) -> Destination {
    Destination::ReadBy { customer: customer().public_key(), source: source.to_owned() }
}

#[test]
fn an_agent_without_outside_relays_polls_none() {
    let mut bench = PollsBench::new(&[]);
    bench.pass(Duration::from_secs(7 * 24 * 60 * 60));
    assert!(bench.polled().is_empty());
}

#[test]
fn looks_back_as_far_as_a_request_may_be_old_and_then_a_little_behind_the_last_poll() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    let day = 24 * 60 * 60;
    assert_eq!(bench.polled, [(RELAY.to_owned(), NOW.as_seconds() - day)]);
    bench.poll_succeeded(RELAY, vec![]);
    bench.pass(MINUTE);
    assert_eq!(bench.polled.last(), Some(&(RELAY.to_owned(), NOW.as_seconds() - 300)));
}

#[test]
fn polls_often_while_requests_come_and_seldom_when_none_do() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        bench.poll_succeeded(RELAY, vec![]);
        let began = bench.now;
        while bench.polled.len() < pauses.len() + 2 {
            bench.pass(Duration::from_secs(1));
        }
        pauses.push(began.until(bench.now).as_secs());
    }
    assert_eq!((pauses[0], pauses[5]), (60, 60));
    assert_eq!(pauses.last(), Some(&300));
    assert!(pauses.is_sorted());
    bench.polled.clear();
    bench.poll_succeeded(RELAY, vec![request(1, &[])]);
    bench.pass(MINUTE);
    assert_eq!(bench.polled(), [RELAY]);
}

#[test]
fn a_relay_that_is_not_reached_is_polled_more_and_more_seldom_and_loses_nothing() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    let since = bench.polled[0].1;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        bench.failed(RELAY);
        let began = bench.now;
        bench.polled.clear();
        while bench.polled.is_empty() {
            bench.pass(MINUTE);
        }
        assert_eq!(bench.polled[0].1, since);
        pauses.push(began.until(bench.now).as_secs() / 60);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    bench.poll_succeeded(RELAY, vec![]);
    bench.failed(RELAY);
    bench.polled.clear();
    bench.pass(MINUTE);
    assert_eq!(bench.polled(), [RELAY]);
}

#[test]
fn a_relay_that_refuses_the_agent_is_polled_once_an_hour() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    let subscription = SubscriptionId::new("s1").unwrap();
    let refused = RelayError::Closed { subscription, reason: Reason::restricted("not you") };
    bench.give(&Input::Polled { relay: RELAY.to_owned(), poll: Err(refused) });
    bench.polled.clear();
    bench.pass(MINUTE * 59);
    assert!(bench.polled().is_empty());
    bench.pass(MINUTE);
    assert_eq!(bench.polled(), [RELAY]);
}

#[test]
fn relays_are_polled_independently() {
    let mut bench = PollsBench::new(&[RELAY, OTHER]);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.polled().len(), 2);
    bench.failed(OTHER);
    bench.poll_succeeded(RELAY, vec![]);
    bench.pass(MINUTE);
    assert_eq!(bench.polled().len(), 2);
    bench.failed(OTHER);
    bench.poll_succeeded(RELAY, vec![]);
    bench.pass(MINUTE);
    assert_eq!(bench.polled(), [RELAY]);
}

#[test]
fn a_poll_that_was_lost_with_its_process_is_made_again() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.polled(), [RELAY]);
    bench.engine = open(bench.engine.sql().clone(), &[RELAY], bench.now);
    bench.pass(MINUTE);
    assert!(bench.polled().is_empty(), "it may still be under way");
    bench.pass(POLL_TIMEOUT);
    assert_eq!(bench.polled(), [RELAY]);
}

#[test]
fn a_relay_that_is_no_longer_configured_is_not_polled() {
    let mut bench = PollsBench::new(&[RELAY, OTHER]);
    let poll = Ok(RelayPoll { until: NOW, events: vec![], rest: Some(7) });
    bench.give(&Input::Polled { relay: RELAY.to_owned(), poll });
    bench.engine = open(bench.engine.sql().clone(), &[OTHER], bench.now);
    let left = bench.engine.sql().first::<(u64,)>("SELECT count(*) FROM unfinished_poll", &[]).unwrap();
    assert_eq!(left, Some((0,)));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.polled(), [OTHER]);
    // A poll that was still in progress does no harm.
    bench.poll_succeeded(RELAY, vec![request(1, &[])]);
    assert_eq!(bench.jobs(), 1);
    bench.pass(2 * MINUTE);
    assert!(!bench.polled().contains(&RELAY.to_owned()));
}

#[test]
fn a_request_on_two_relays_is_one_job_that_is_answered_on_both() {
    let mut bench = PollsBench::new(&[RELAY, OTHER]);
    bench.poll_succeeded(RELAY, vec![request(1, &[])]);
    bench.poll_succeeded(OTHER, vec![request(1, &[])]);
    assert_eq!(bench.jobs(), 1);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.destinations(), [Destination::Own, relay(OTHER), relay(RELAY), customer_relays(RELAY)]);
}

#[test]
fn an_answer_is_sent_once_to_a_relay_that_shows_the_request_again_and_again() {
    let mut bench = PollsBench::new(&[RELAY, OTHER]);
    let request = request(1, &[]);
    bench.poll_succeeded(RELAY, vec![request.clone()]);
    // The job is done before its request is seen on another relay.
    let cancellation = Cancellation::event(&request.id, request.kind, None).sign(&customer(), NOW);
    bench.poll_succeeded(RELAY, vec![cancellation]);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.destinations(), [Destination::Own, relay(RELAY), customer_relays(RELAY)]);
    for _ in 0..3 {
        bench.poll_succeeded(RELAY, vec![request.clone()]);
    }
    bench.pass(Duration::ZERO);
    assert!(bench.destinations().is_empty());
    for _ in 0..3 {
        bench.poll_succeeded(OTHER, vec![request.clone()]);
    }
    bench.pass(Duration::ZERO);
    assert_eq!(bench.published.len(), 1);
    assert_eq!(bench.destinations(), [relay(OTHER)]);
}

#[test]
fn a_cancellation_that_comes_with_its_request_is_heeded() {
    let mut bench = PollsBench::new(&[RELAY]);
    let request = request(1, &[]);
    let cancellation = Cancellation::event(&request.id, request.kind, None).sign(&customer(), NOW);
    bench.poll_succeeded(RELAY, vec![cancellation, request]);
    let state = bench.engine.sql().first::<(String,)>("SELECT state FROM job", &[]).unwrap().unwrap().0;
    assert_eq!(state, "cancelled");
}

#[test]
fn answers_go_where_the_request_says_as_far_as_that_can_be_and_to_five_relays_at_most() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.poll_succeeded(
        RELAY,
        vec![request(
            1,
            &[
                "ws://127.0.0.1:4869",
                "wss://10.0.0.1",
                "wss://localhost",
                "http://relay.example",
                "wss://OWN.example/",
                "wss://a.example",
                "wss://a.example/",
                "wss://b.example",
                "wss://c.example",
                "wss://d.example",
                "wss://e.example",
                "wss://f.example",
            ],
        )],
    );
    bench.pass(Duration::ZERO);
    let wanted = ["a", "b", "c", "d", "e"].map(|name| relay(&format!("wss://{name}.example")));
    let destinations = bench.destinations();
    assert_eq!(destinations.first(), Some(&Destination::Own));
    assert_eq!(destinations.get(1..), Some(wanted.as_slice()));
}

#[test]
fn answers_go_to_the_relays_that_a_customer_reads_from() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.poll_succeeded(RELAY, vec![request(1, &[])]);
    bench.pass(Duration::ZERO);
    let directed: Vec<u64> =
        bench.published.iter().filter(|(_, _, to)| *to == customer_relays(RELAY)).map(|p| p.0).collect();
    bench.published.clear();
    let relays = [
        RELAY,
        "wss://own.example",
        "ws://127.0.0.1:1",
        "wss://a.example",
        "wss://b.example",
        "wss://c.example",
    ];
    let relays: Vec<String> = relays.iter().map(|relay| (*relay).to_owned()).collect();
    for entry in directed {
        bench.deliver(entry, Delivery::ReadFrom(relays.clone()));
    }
    bench.pass(Duration::ZERO);
    assert_eq!(bench.destinations(), [relay("wss://a.example"), relay("wss://b.example")]);
    bench.pass(Duration::from_secs(3_600));
    assert!(!bench.destinations().contains(&customer_relays(RELAY)));
}

/// Runs `count` jobs whose requests name `relays`.
fn ask(bench: &mut PollsBench, numbers: std::ops::Range<u64>, relays: &[&str]) {
    for number in numbers {
        bench.give(&Input::Request { event: request(number, relays), source: None, ticket: 0 });
    }
    bench.pass(Duration::ZERO);
}

#[test]
fn a_slow_relay_does_not_hold_up_the_others() {
    let mut bench = PollsBench::new(&[]);
    ask(&mut bench, 0..50, &["wss://slow.example"]);
    let to =
        |bench: &PollsBench, url: &str| bench.published.iter().filter(|(_, _, to)| *to == relay(url)).count();
    let slow = to(&bench, "wss://slow.example");
    assert!((1..=8).contains(&slow), "{slow} on their way to one relay");
    ask(&mut bench, 50..52, &["wss://quick.example"]);
    assert!(to(&bench, "wss://quick.example") > 0);
}

#[test]
fn what_is_for_a_relay_that_is_not_reached_waits_in_its_order() {
    let mut bench = PollsBench::new(&[]);
    ask(&mut bench, 0..6, &["wss://dead.example"]);
    let dead = relay("wss://dead.example");
    let mine = |bench: &mut PollsBench| -> Vec<u64> {
        let published = std::mem::take(&mut bench.published);
        published.into_iter().filter(|(_, _, to)| *to == dead).map(|(entry, _, _)| entry).collect()
    };
    let first = mine(&mut bench);
    assert!(first.len() >= 5, "{first:?}");
    for entry in &first {
        bench.deliver(*entry, Delivery::Unreachable("nobody there".to_owned()));
    }
    // Later events do not overtake earlier ones.
    ask(&mut bench, 6..7, &["wss://dead.example"]);
    assert!(mine(&mut bench).is_empty());
    let about_it = bench.warnings.iter().filter(|warning| warning.contains("dead.example")).count();
    assert_eq!(about_it, 1, "{:?}", bench.warnings);
    bench.pass(Duration::from_secs(2));
    let again = mine(&mut bench);
    assert_eq!(again.get(..first.len()), Some(first.as_slice()));
}

#[test]
fn a_dead_relay_is_given_up_and_skipped_for_a_while() {
    let mut bench = PollsBench::new(&[]);
    ask(&mut bench, 0..1, &["wss://dead.example"]);
    let dead = relay("wss://dead.example");
    for _ in 0..30 {
        for (entry, _, to) in std::mem::take(&mut bench.published) {
            let gone = Delivery::Unreachable("nobody there".to_owned());
            bench.deliver(entry, if to == dead { gone } else { Delivery::Accepted });
        }
        bench.pass(Duration::from_secs(60));
    }
    let waiting = |bench: &PollsBench| {
        let statement = "SELECT count(*) FROM outbox WHERE relay = 'wss://dead.example'";
        bench.engine.sql().first::<(u64,)>(statement, &[]).unwrap().unwrap().0
    };
    assert_eq!(waiting(&bench), 0);
    assert!(bench.warnings.iter().any(|warning| warning.contains("dropped for now")), "{:?}", bench.warnings);
    let long = bench.now;
    bench.now = NOW + Duration::from_secs(18 * 60);
    ask(&mut bench, 1..2, &["wss://dead.example"]);
    assert_eq!(waiting(&bench), 0);
    bench.now = long + Duration::from_secs(3_600);
    ask(&mut bench, 2..3, &["wss://dead.example"]);
    assert!(waiting(&bench) > 0);
}

#[test]
fn a_poll_that_could_not_read_everything_goes_on_where_it_stopped() {
    let mut bench = PollsBench::new(&[RELAY]);
    bench.pass(Duration::ZERO);
    let (since, began) = (bench.polled[0].1, bench.now);
    bench.poll_ended(RELAY, vec![request(1, &[])], Some(NOW.as_seconds() - 40));
    bench.pass(Duration::from_secs(9));
    assert_eq!(bench.polled.len(), 1);
    bench.pass(Duration::from_secs(1));
    bench.poll_ended(RELAY, vec![], Some(NOW.as_seconds() - 80));
    // Whatever becomes of the process and of the relay.
    bench.engine = open(bench.engine.sql().clone(), &[RELAY], bench.now);
    bench.pass(Duration::from_secs(10));
    bench.failed(RELAY);
    bench.pass(MINUTE);
    bench.poll_succeeded(RELAY, vec![]);
    bench.pass(MINUTE * 5);
    let until =
        [None, Some(NOW.as_seconds() - 40), Some(NOW.as_seconds() - 80), Some(NOW.as_seconds() - 80), None];
    assert_eq!(bench.continued, until);
    let sinces: Vec<u64> = bench.polled.iter().map(|(_, since)| *since).collect();
    let next = (began - OVERLAP).as_seconds();
    assert_eq!(
        sinces,
        [since, since, since, since, next],
        "what has come since the first of them is read then"
    );
}
