//! Admission: which clients and events are accepted, and at which rates.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openagents_host::{Engine as _, Kind, VerifiedEvent};

use super::{ALICE, BOB, Bench, messages, ok};
use crate::admission::{
    Admission, ConnectionLimits, ConnectionRefusal, Lists, RateLimits, Submission, WritePolicy,
};
use crate::engine::{Effect, Input, RelayConfig};
use crate::fixtures;
use crate::reason::Reason;
use crate::session::Origin;
use crate::session::{ConnectionId, Ticket};

fn relay(admission: Admission) -> Bench {
    Bench::empty(RelayConfig { admission, ..RelayConfig::default() })
}

fn open_from(bench: &mut Bench, connection: ConnectionId, address: &str) {
    let address: IpAddr = address.parse().unwrap();
    let origin = Origin { challenge: "challenge".into(), address: Some(address), ..Origin::default() };
    bench.handle(Input::Open { connection, origin });
}

fn forged(kind: u16) -> String {
    let mut event: serde_json::Value = serde_json::from_str(fixtures::signed(kind, 1, &[]).json()).unwrap();
    event["sig"] = fixtures::signed(kind, 2, &[]).sig.to_string().into();
    format!("[\"EVENT\",{event}]")
}

/// The answers to an event that the engine verifies, and to one verified before.
fn both_ways(bench: &mut Bench, event: &VerifiedEvent) -> String {
    let text = bench.publish(ALICE, event).pop().unwrap().1;
    let verified = format!("[\"EVENT\",{}]", event.json());
    let checked = messages(bench.verified_text(ALICE, &verified)).pop().unwrap().1;
    assert_eq!(text, checked);
    text
}

#[test]
fn what_is_listed_is_refused_on_both_ways_in() {
    let lists = Lists { blocked_kinds: [Kind(4)].into(), ..Lists::default() };
    let mut bench = relay(Admission { lists, ..Admission::default() });
    bench.open(ALICE);
    assert!(both_ways(&mut bench, &fixtures::signed(4, 1, &[])).contains("blocked: events of kind 4"));
    let event = fixtures::signed(4, 1, &[]);
    let effects = bench.handle(Input::Publish { ticket: Ticket(1), event });
    assert!(
        matches!(effects[..], [Effect::Published { ref outcome, .. }] if outcome.is_accepted()),
        "who is inside may"
    );
}

#[test]
fn checks_go_from_cheap_to_expensive() {
    let lists = Lists { blocked_kinds: [Kind(4)].into(), ..Lists::default() };
    let rates = RateLimits { events_per_minute: 2, ..RateLimits::default() };
    let mut bench = relay(Admission { lists, rates, ..Admission::default() });
    open_from(&mut bench, ALICE, "192.0.2.1");
    let mut answer = |text: &str| bench.say(ALICE, text).pop().unwrap().1;
    let stored = fixtures::signed(1, 3, &[]);
    let publish = format!("[\"EVENT\",{}]", stored.json());
    assert!(answer(&publish).contains(",true,"));
    // An event that is not allowed does not count against the rate. The rate is checked before the database, and both
    // before the signature.
    assert!(answer(&forged(4)).contains("blocked: "));
    assert!(answer(&publish).contains("duplicate: "));
    for event in [&publish, &forged(1)] {
        assert!(answer(event).contains("rate-limited: too many events; try again in 30 seconds"));
    }
}

/// Forgeries under the id of this event: each has another content, time, kind, author or signature.
fn forgeries(event: &VerifiedEvent) -> Vec<String> {
    let other = fixtures::signed_by(&fixtures::keys(2), 7, 9, &[], "another");
    let other: serde_json::Value = serde_json::from_str(other.json()).unwrap();
    let forged = ["content", "created_at", "kind", "pubkey", "sig"].map(|field| {
        let mut event: serde_json::Value = serde_json::from_str(event.json()).unwrap();
        event[field] = other[field].clone();
        format!("[\"EVENT\",{event}]")
    });
    forged.into()
}

#[test]
fn nothing_is_said_of_an_id_before_it_is_verified() {
    let mut bench = relay(Admission::default());
    bench.open(ALICE);
    let [stored, deleted] = [1, 2].map(|second| fixtures::signed(1, second, &[]));
    let [older, newer] = [3, 4].map(|second| fixtures::signed(10_002, second, &[]));
    let deletion = fixtures::signed(5, 3, &[&["e", &deleted.id.to_hex()]]);
    for event in [&stored, &deleted, &deletion, &newer] {
        assert_eq!(bench.publish(ALICE, event), [(ALICE, ok(event, true, ""))]);
    }
    for (event, answer) in [(&stored, "duplicate: "), (&deleted, "blocked: "), (&older, "a newer version")] {
        assert!(both_ways(&mut bench, event).contains(answer));
        for forged in forgeries(event) {
            let answers = [bench.say(ALICE, &forged), messages(bench.verified_text(ALICE, &forged))];
            assert_eq!(answers[0], answers[1]);
            let refused = |text: &str| text.contains("invalid: the id") || text.contains("invalid: the sig");
            assert!(refused(&answers[0][0].1), "{forged}: {answers:?}");
        }
    }
}

#[test]
fn an_id_that_is_banned_is_not_betrayed_by_a_forgery() {
    let banned = fixtures::signed(1, 1, &[]);
    let lists = Lists { blocked_events: [banned.id].into(), ..Lists::default() };
    let mut bench = relay(Admission { lists, ..Admission::default() });
    bench.open(ALICE);
    assert!(both_ways(&mut bench, &banned).contains("blocked: this event is banned"));
    for forged in &forgeries(&banned)[..4] {
        assert!(bench.say(ALICE, forged)[0].1.contains("invalid: the id"), "{forged}");
        assert!(messages(bench.verified_text(ALICE, forged))[0].1.contains("invalid: the id"), "{forged}");
    }
}

#[test]
fn requests_have_a_rate_and_a_refused_one_ends_its_subscription() {
    let rates = RateLimits { requests_per_minute: 1, ..RateLimits::default() };
    let mut bench = relay(Admission { rates, ..Admission::default() });
    open_from(&mut bench, ALICE, "192.0.2.1");
    bench.open(BOB);
    assert_eq!(bench.say(ALICE, r#"["REQ","s",{}]"#).len(), 1);
    for verb in ["COUNT", "REQ"] {
        let answer = bench.say(ALICE, &format!("[\"{verb}\",\"s\",{{}}]"));
        assert!(answer[0].1.starts_with(r#"["CLOSED","s","rate-limited: too many requests"#), "{answer:?}");
    }
    let reconcile = bench.say(ALICE, r#"["NEG-OPEN","n",{},"61"]"#);
    assert!(reconcile[0].1.starts_with(r#"["NEG-ERR","n","rate-limited: "#), "{reconcile:?}");
    let event = fixtures::signed(1, 1, &[]);
    assert_eq!(bench.publish(BOB, &event), [(BOB, ok(&event, true, ""))], "nobody listens any more");
    // Ending something is never limited, and forgetting does not reset rates.
    assert_eq!(bench.say(ALICE, r#"["CLOSE","s"]"#), []);
    bench.relay.forget(bench.now);
    assert!(bench.say(ALICE, r#"["REQ","s",{}]"#)[0].1.contains("rate-limited"));
}

#[test]
fn counts_open_connections() {
    let connections = ConnectionLimits {
        max_connections: 3,
        max_connections_per_address: 2,
        ..ConnectionLimits::default()
    };
    let mut bench = relay(Admission { connections, ..Admission::default() });
    let from = |address: &str| Some(address.parse().unwrap());
    for (number, address) in ["192.0.2.1", "192.0.2.1"].into_iter().enumerate() {
        assert_eq!(bench.relay.may_connect(from(address)), Ok(()));
        open_from(&mut bench, ConnectionId::new(number as u64), address);
    }
    assert_eq!(bench.relay.may_connect(from("192.0.2.1")), Err(ConnectionRefusal::TooManyFromNetwork));
    bench.relay.forget(bench.now);
    assert_eq!(bench.relay.may_connect(from("192.0.2.1")), Err(ConnectionRefusal::TooManyFromNetwork));
    open_from(&mut bench, ConnectionId::new(9), "192.0.2.2");
    assert_eq!(bench.relay.may_connect(from("192.0.2.3")), Err(ConnectionRefusal::Full));
    bench.handle(Input::Close(ConnectionId::new(0)));
    assert_eq!(bench.relay.may_connect(from("192.0.2.1")), Ok(()));
}

/// Refuses one kind, panics at another, and counts its calls.
#[derive(Default)]
struct CountingPolicy(AtomicUsize);

impl WritePolicy for CountingPolicy {
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
        self.0.fetch_add(1, Ordering::Relaxed);
        match submission.event.kind.0 {
            7 => Err(Reason::restricted("no reactions")),
            8 => Err(Reason::auth_required("who are you?")),
            9 => panic!("a policy that panics"),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_policy_decides_about_events_that_pass_all_else() {
    let policy = Arc::new(CountingPolicy::default());
    let mut bench = relay(Admission { policy: Some(policy.clone()), ..Admission::default() });
    bench.open(ALICE);
    assert!(both_ways(&mut bench, &fixtures::signed(7, 1, &[])).contains("false,\"restricted: no reactions"));
    assert!(
        both_ways(&mut bench, &fixtures::signed(9, 1, &[]))
            .contains("error: the relay's write policy failed")
    );
    let asked = policy.0.load(Ordering::Relaxed);
    bench.say(ALICE, &forged(1));
    assert_eq!(policy.0.load(Ordering::Relaxed), asked, "a forged event is none");
    let taken = fixtures::signed(1, 5, &[]);
    assert_eq!(bench.publish(ALICE, &taken), [(ALICE, ok(&taken, true, ""))]);
    assert!(both_ways(&mut bench, &taken).contains("duplicate: "));
    assert_eq!(policy.0.load(Ordering::Relaxed), asked + 1, "what is stored is not asked about again");
    // A policy can require authentication, and is not called for publications from inside the process.
    let answers = bench.publish(ALICE, &fixtures::signed(8, 1, &[]));
    assert!(answers[0].1.starts_with("[\"AUTH\"") && answers[1].1.contains("auth-required: who are you?"));
    let inside = fixtures::signed(7, 2, &[]);
    let effects = bench.handle(Input::Publish { ticket: Ticket(1), event: inside });
    assert!(matches!(&effects[..], [Effect::Published { outcome, .. }] if outcome.is_accepted()));
}

struct Nobody;

impl WritePolicy for Nobody {
    fn admit(&self, _: &Submission<'_>) -> Result<(), Reason> {
        Err(Reason::restricted("nobody writes here"))
    }
}

#[test]
fn an_author_who_may_not_publish_can_vanish_without_broadcast() {
    let banned = fixtures::keys(0);
    let lists = Lists { blocked_pubkeys: [banned.public_key()].into(), ..Lists::default() };
    for admission in [
        Admission { lists, ..Admission::default() },
        Admission { policy: Some(Arc::new(Nobody)), ..Admission::default() },
    ] {
        let mut bench = relay(admission);
        bench.open(ALICE);
        bench.open(BOB);
        bench.say(BOB, r#"["REQ","s",{}]"#);
        let old = fixtures::signed_by(&banned, 1, 5, &[], "");
        bench.handle(Input::Publish { ticket: Ticket(1), event: old.clone() });
        let tags: &[&[&str]] = &[&["relay", "ALL_RELAYS"]];
        let request = |content: &str| fixtures::signed_by(&banned, 62, 10, tags, content);
        let long = bench.publish(ALICE, &request(&"x".repeat(1_024)));
        assert!(long[0].1.contains("false,\"invalid: a request to vanish by an author"), "{long:?}");
        let padded = fixtures::signed_by(&banned, 62, 10, &[tags[0], &["x", &"x".repeat(1_024)]], "");
        assert!(bench.publish(ALICE, &padded)[0].1.contains("false,\"invalid: "));
        let request = request("please");
        assert_eq!(bench.publish(ALICE, &request), [(ALICE, ok(&request, true, ""))], "nobody else is told");
        let found = bench.say(BOB, &format!("[\"REQ\",\"t\",{{\"ids\":[\"{}\"]}}]", old.id));
        assert_eq!(found.len(), 1, "{found:?}");
    }
    // If everybody may publish, the request is broadcast.
    let mut bench = relay(Admission::default());
    bench.open(ALICE);
    bench.open(BOB);
    bench.say(BOB, r#"["REQ","s",{}]"#);
    let request = fixtures::signed_by(&banned, 62, 10, &[&["relay", "ALL_RELAYS"]], &"x".repeat(2_000));
    assert_eq!(bench.publish(ALICE, &request).len(), 2);
}
