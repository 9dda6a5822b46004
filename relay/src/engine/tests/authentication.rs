//! Authentication (NIP-42), and permissions to read and write.

use std::sync::Arc;

use openagents_host::{Engine as _, Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};

use super::{ALICE, BOB, Bench, NOW, messages, ok, sent};
use crate::admission::access::{AUTHENTICATION, Access};
use crate::admission::{Admission, Submission, WritePolicy};
use crate::engine::{Effect, Input, RelayConfig};
use crate::fixtures;
use crate::reason::Reason;
use crate::session::Origin;
use crate::session::{ConnectionId, Ticket};

const CHALLENGE: &str = "a challenge";
const URL: &str = "wss://relay.example.com/";

fn relay(access: Access) -> Bench {
    let access = Access { hosts: ["relay.example.com".to_owned()].into(), ..access };
    Bench::empty(RelayConfig { access, ..RelayConfig::default() })
}

impl Bench {
    fn open_with(&mut self, connection: ConnectionId, origin: Origin) -> Vec<(ConnectionId, String)> {
        messages(self.handle(Input::Open { connection, origin }))
    }

    fn connect(&mut self, connection: ConnectionId) -> Vec<(ConnectionId, String)> {
        let origin = Origin { challenge: CHALLENGE.to_owned(), ..Origin::default() };
        self.open_with(connection, origin)
    }

    /// The answer to an `AUTH`.
    fn auth(&mut self, connection: ConnectionId, event: &VerifiedEvent) -> String {
        match &self.say(connection, &format!("[\"AUTH\",{}]", event.json()))[..] {
            [(to, answer)] if *to == connection => answer.clone(),
            answers => panic!("{answers:?}"),
        }
    }

    fn authenticate(&mut self, connection: ConnectionId, key: usize) {
        let event = identification(&fixtures::keys(key), URL, CHALLENGE, NOW);
        assert_eq!(self.auth(connection, &event), ok(&event, true, ""));
    }
}

fn identification(keys: &Keys, relay: &str, challenge: &str, at: Timestamp) -> VerifiedEvent {
    let event = UnsignedEvent::new(AUTHENTICATION, "").tag(["relay", relay]).tag(["challenge", challenge]);
    event.sign(keys, at)
}

fn auth_message() -> String {
    format!("[\"AUTH\",\"{CHALLENGE}\"]")
}

fn closed(answers: &[(ConnectionId, String)], prefix: &str) -> bool {
    answers.last().is_some_and(|(_, text)| text.starts_with(&format!("[\"CLOSED\",\"s\",\"{prefix}: ")))
}

#[test]
fn the_challenge_is_sent_once_when_a_connection_opens() {
    for (read, write) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = relay(Access { auth_to_read: read, auth_to_write: write, ..Access::default() });
        assert_eq!(bench.connect(ALICE), [(ALICE, auth_message())]);
        let refused = bench.say(ALICE, r#"["REQ","s",{"kinds":[4]}]"#);
        assert!(refused.len() == 1 && closed(&refused, "auth-required"), "{refused:?}");
    }
    // On Cloudflare the host is known from the request.
    let mut bench = Bench::empty(RelayConfig::default());
    let host = Some("relay.example.com".to_owned());
    let origin = Origin { challenge: CHALLENGE.to_owned(), host, ..Origin::default() };
    assert_eq!(bench.open_with(ALICE, origin), [(ALICE, auth_message())]);
}

#[test]
fn a_relay_that_could_accept_no_answer_or_does_not_list_the_nip_challenges_only_those_it_refuses() {
    let unlisted = Access { challenges_at_once: false, ..Access::default() };
    for mut bench in [Bench::empty(RelayConfig::default()), relay(unlisted)] {
        assert_eq!(bench.connect(ALICE), []);
        let refused = bench.say(ALICE, r#"["REQ","s",{"kinds":[4]}]"#);
        assert_eq!(refused[0].1, auth_message());
        assert!(refused.len() == 2 && closed(&refused, "auth-required"), "{refused:?}");
        let refused = bench.say(ALICE, r#"["REQ","s",{"kinds":[4]}]"#);
        assert!(refused.len() == 1 && closed(&refused, "auth-required"), "{refused:?}");
    }
}

#[test]
fn an_identification_names_relay_challenge_and_time() {
    let keys = fixtures::keys(0);
    let at = |seconds: i64| Timestamp::from_seconds(NOW.as_seconds().checked_add_signed(seconds).unwrap());
    for (event, refusal) in [
        (identification(&keys, URL, CHALLENGE, NOW), None),
        (identification(&keys, "ws://RELAY.example.com:8787/x", CHALLENGE, NOW), None),
        (identification(&keys, URL, CHALLENGE, at(-600)), None),
        (identification(&keys, URL, CHALLENGE, at(600)), None),
        (identification(&keys, URL, CHALLENGE, at(-601)), Some("created_at")),
        (identification(&keys, URL, CHALLENGE, at(601)), Some("created_at")),
        (identification(&keys, URL, "another", NOW), Some("challenge")),
        (identification(&keys, URL, "", NOW), Some("challenge")),
        (identification(&keys, "wss://other.example.com", CHALLENGE, NOW), Some("another relay")),
        (
            identification(&keys, "wss://relay.example.com.evil.example", CHALLENGE, NOW),
            Some("another relay"),
        ),
        (identification(&keys, "relay.example.com", CHALLENGE, NOW), Some("this relay's address")),
        (UnsignedEvent::new(AUTHENTICATION, "").tag(["relay", URL]).sign(&keys, NOW), Some("challenge")),
        (
            UnsignedEvent::new(AUTHENTICATION, "").tag(["challenge", CHALLENGE]).sign(&keys, NOW),
            Some("address"),
        ),
        (fixtures::signed(1, NOW.as_seconds(), &[&["relay", URL], &["challenge", CHALLENGE]]), Some("22242")),
    ] {
        let mut bench = relay(Access { auth_to_write: true, ..Access::default() });
        bench.connect(ALICE);
        let answer = bench.auth(ALICE, &event);
        let taken = answer.contains(",true,");
        assert_eq!(taken, refusal.is_none(), "{answer}");
        assert!(
            refusal.is_none_or(|within| answer.contains("invalid: ") && answer.contains(within)),
            "{answer}"
        );
        let note = fixtures::signed(1, 1, &[]);
        assert_eq!(bench.publish(ALICE, &note) == [(ALICE, ok(&note, true, ""))], taken);
    }
}

#[test]
fn a_relay_that_does_not_know_its_address_says_so() {
    let mut bench = Bench::empty(RelayConfig::default());
    bench.connect(ALICE);
    let event = identification(&fixtures::keys(0), URL, CHALLENGE, NOW);
    assert!(bench.auth(ALICE, &event).contains("restricted: this relay does not know its own address"));
    // A host name from the platform is as good as a configured one.
    let host = Some("relay.example.com".to_owned());
    bench.open_with(BOB, Origin { challenge: CHALLENGE.to_owned(), host, ..Origin::default() });
    assert_eq!(bench.auth(BOB, &event), ok(&event, true, ""));
}

#[test]
fn a_forged_identification_is_refused() {
    let mut bench = relay(Access::default());
    bench.connect(ALICE);
    let event = identification(&fixtures::keys(0), URL, CHALLENGE, NOW);
    let forged = event.json().replace(&event.pubkey.to_hex(), &fixtures::keys(1).public_key().to_hex());
    let answer = &bench.say(ALICE, &format!("[\"AUTH\",{forged}]"))[0].1;
    assert!(answer.contains("false,\"invalid: "), "{answer}");
}

#[test]
fn an_identification_is_never_published() {
    let mut bench = relay(Access::default());
    bench.connect(ALICE);
    bench.connect(BOB);
    bench.say(BOB, r#"["REQ","s",{"kinds":[22242]}]"#);
    let event = identification(&fixtures::keys(0), URL, CHALLENGE, NOW);
    let answers = bench.publish(ALICE, &event);
    assert!(answers.len() == 1 && answers[0].1.contains("invalid: an event of kind 22242 is sent with AUTH"));
    // It is neither broadcast nor stored.
    bench.auth(ALICE, &event);
    assert_eq!(bench.query(vec![crate::Filter::new()]).unwrap(), [""; 0]);
}

#[test]
fn several_people_can_be_identified_but_not_any_number() {
    let mut bench = relay(Access::default());
    bench.connect(ALICE);
    for number in 1..=17 {
        let keys = Keys::from_secret(&[number; 32]).unwrap();
        let event = identification(&keys, URL, CHALLENGE, NOW);
        let answer = bench.auth(ALICE, &event);
        assert_eq!(answer.contains(",true,"), number <= 16, "{answer}");
        assert_eq!(answer.contains("restricted: a connection can authenticate as at most 16"), number > 16);
    }
    // A key that is already authenticated can authenticate again.
    let known = identification(&Keys::from_secret(&[1; 32]).unwrap(), URL, CHALLENGE, NOW);
    assert_eq!(bench.auth(ALICE, &known), ok(&known, true, ""));
}

#[test]
fn an_identification_and_its_challenge_outlive_the_memory() {
    let mut bench = relay(Access { auth_to_read: true, ..Access::default() });
    bench.connect(ALICE);
    bench.connect(BOB);
    bench.authenticate(ALICE, 0);
    bench.relay.forget(NOW);
    assert_eq!(bench.say(ALICE, r#"["REQ","s",{}]"#), [(ALICE, r#"["EOSE","s",["finish"]]"#.into())]);
    let refused = bench.say(BOB, r#"["REQ","s",{}]"#);
    assert!(refused.len() == 1 && closed(&refused, "auth-required"), "{refused:?}");
    bench.authenticate(BOB, 1);
    assert_eq!(bench.say(BOB, r#"["REQ","s",{}]"#), [(BOB, r#"["EOSE","s",["finish"]]"#.into())]);
}

#[test]
fn saves_a_session_after_authentication_or_a_challenge() {
    let mut bench = Bench::empty(RelayConfig::default());
    bench.connect(ALICE);
    let text = r#"["REQ","s",{"kinds":[4]}]"#.to_owned();
    let effects = bench.text(ALICE, &text);
    assert!(effects.contains(&Effect::SessionChanged(ALICE)));
    let mut bench = relay(Access::default());
    let origin = Origin { challenge: CHALLENGE.to_owned(), ..Origin::default() };
    let effects = bench.handle(Input::Open { connection: ALICE, origin });
    assert_eq!(effects.len(), 2);
    assert_eq!(effects[1], Effect::SessionChanged(ALICE), "after the challenge was sent");
    let event = identification(&fixtures::keys(0), URL, CHALLENGE, NOW);
    let effects = bench.text(ALICE, &format!("[\"AUTH\",{}]", event.json()));
    assert!(effects.contains(&Effect::SessionChanged(ALICE)));
}

#[test]
fn private_kinds_are_for_their_parties() {
    let key = |number: usize| fixtures::keys(number).public_key().to_hex();
    let mut bench = relay(Access::default());
    bench.connect(ALICE);
    let wrap = fixtures::signed_by(&fixtures::keys(2), 1_059, 1, &[&["p", &key(0)], &["p", &key(1)]], "");
    bench.publish(ALICE, &wrap);
    let ask = |filter: String| format!("[\"REQ\",\"s\",{filter}]");
    let to = |number| ask(format!("{{\"kinds\":[1059],\"#p\":[\"{}\"]}}", key(number)));
    for request in [to(0), ask("{\"kinds\":[1,1059]}".into()), ask("{\"kinds\":[21059]}".into())] {
        assert!(closed(&bench.say(ALICE, &request), "auth-required"), "{request}");
        let count = request.replace("REQ", "COUNT");
        assert!(closed(&bench.say(ALICE, &count), "auth-required"), "{count}");
    }
    bench.authenticate(ALICE, 0);
    assert_eq!(bench.say(ALICE, &to(0))[0], (ALICE, sent("s", &wrap)));
    assert!(closed(&bench.say(ALICE, &to(1)), "restricted"));
    assert!(closed(&bench.say(ALICE, &to(1).replace("REQ", "COUNT")), "restricted"));
    let of_another = ask(format!("{{\"kinds\":[4],\"authors\":[\"{}\"]}}", key(1)));
    assert!(closed(&bench.say(ALICE, &of_another), "restricted"));
    // One private filter among several suffices for a refusal.
    let both = format!("[\"REQ\",\"s\",{{}},{{\"kinds\":[4],\"authors\":[\"{}\"]}}]", key(1));
    assert!(closed(&bench.say(ALICE, &both), "restricted"));
    // Queries from inside the process see everything.
    assert_eq!(bench.query(vec![crate::Filter::new().kinds([1_059])]).unwrap().len(), 1);
}

struct RefusesByContent;

impl WritePolicy for RefusesByContent {
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
        match submission.event.content.as_str() {
            "refused" => Err(Reason::restricted("not here")),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_private_event_is_unknown_to_those_who_may_not_read_it() {
    let policies: [Option<Arc<dyn WritePolicy>>; 2] = [None, Some(Arc::new(RefusesByContent))];
    for policy in policies {
        let access = Access {
            hosts: ["relay.example.com".to_owned()].into(),
            private_kinds: [Kind(4), Kind(1_059), Kind(30_078)].into_iter().collect(),
            ..Access::default()
        };
        let has_policy = policy.is_some();
        let admission = Admission { policy, ..Admission::default() };
        let mut bench = Bench::empty(RelayConfig { access, admission, ..RelayConfig::default() });
        let stranger = ConnectionId::new(3);
        for connection in [ALICE, BOB, stranger] {
            bench.connect(connection);
        }
        bench.authenticate(ALICE, 0);
        bench.authenticate(BOB, 1);
        bench.authenticate(stranger, 2);
        let to_bob = fixtures::keys(1).public_key().to_hex();
        let by_alice = |kind, at, content| {
            fixtures::signed_by(&fixtures::keys(0), kind, at, &[&["p", &to_bob]], content)
        };
        let [older, newer] = [1, 2].map(|at| by_alice(30_078, at, ""));
        for event in [&by_alice(4, 1, ""), &by_alice(1_059, 1, ""), &newer, &older] {
            let is_new = event.id != older.id;
            let first = if is_new { "" } else { "invalid: a newer version" };
            let again = if is_new { "duplicate: " } else { "invalid: a newer version" };
            let mut said = |connection, verified: bool| {
                let text = format!("[\"EVENT\",{}]", event.json());
                let effects = match verified {
                    true => bench.verified_text(connection, &text),
                    false => bench.text(connection, &text),
                };
                messages(effects).pop().unwrap().1
            };
            assert!(said(ALICE, false).contains(first));
            for connection in [ALICE, BOB] {
                assert!(said(connection, false).contains(again) && said(connection, true).contains(again));
            }
            for verified in [false, true] {
                assert_eq!(said(stranger, verified), ok(event, true, ""), "as if it were new");
            }
        }
        if has_policy {
            // What the policy says of unknown events, it also says of those that seem unknown.
            let refused = by_alice(4, 5, "refused");
            let inside = Input::Publish { ticket: Ticket(1), event: refused.clone() };
            bench.handle(inside);
            assert!(bench.publish(stranger, &refused)[0].1.contains("restricted: not here"));
            assert!(bench.publish(BOB, &refused)[0].1.contains("duplicate: "));
        }
    }
}

#[test]
fn private_events_are_sent_to_their_parties() {
    let key = |number: usize| fixtures::keys(number).public_key().to_hex();
    let mut bench = relay(Access::default());
    for (number, connection) in
        [ALICE, BOB, ConnectionId::new(3), ConnectionId::new(4)].into_iter().enumerate()
    {
        bench.connect(connection);
        if number < 3 {
            bench.authenticate(connection, number);
        }
        bench.say(connection, r#"["REQ","s",{}]"#);
    }
    for kind in [4, 1_059, 21_059] {
        let wrap = fixtures::signed_by(&fixtures::keys(0), kind, 1, &[&["p", &key(1)], &["p", "nobody"]], "");
        let mut told = bench.publish(ConnectionId::new(4), &wrap);
        assert_eq!(told.remove(0), (ConnectionId::new(4), ok(&wrap, true, "")));
        told.sort();
        assert_eq!(told, [(ALICE, sent("s", &wrap)), (BOB, sent("s", &wrap))], "{kind}");
    }
    let note = fixtures::signed(1, 1, &[]);
    assert_eq!(bench.publish(ALICE, &note).len(), 1 + 4);
}

#[test]
fn a_protected_event_is_taken_after_authentication() {
    let mut bench = relay(Access::default());
    bench.connect(ALICE);
    let event = fixtures::signed(1, 1, &[&["-"]]);
    let refused = bench.publish(ALICE, &event);
    assert!(refused[0].1.contains("false,\"auth-required: "), "{refused:?}");
    bench.authenticate(ALICE, 0);
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, ""))]);
    // Anybody else is refused, although the event is stored.
    bench.connect(BOB);
    assert!(bench.publish(BOB, &event).last().unwrap().1.contains("auth-required: "));
}
