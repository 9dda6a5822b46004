//! Tests of batches: the answers are the same as for single messages.

#![allow(clippy::arithmetic_side_effects)]

use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, values};
use openagents_host::{Engine, Kind, Timestamp, VerifiedEvent};
use proptest::prelude::*;

use crate::admission::{Admission, AdmittedMessage, RateLimits};
use crate::engine::{Effect, Input, Relay, RelayConfig};
use crate::fixtures;
use crate::session::Origin;
use crate::session::{ConnectionId, Ticket};
use crate::{Access, Filter};

const NOW: Timestamp = Timestamp::from_seconds(8);
const CONNECTIONS: u64 = 2;

fn relay(config: &RelayConfig) -> Relay<Sqlite> {
    let mut relay = Relay::open(Sqlite::in_memory().unwrap(), config.clone()).unwrap();
    for number in 0..CONNECTIONS {
        let origin = Origin { challenge: "challenge".into(), ..Origin::default() };
        let input = Input::Open { connection: ConnectionId::new(number), origin };
        relay.handle(NOW, &input, &mut Vec::new());
    }
    relay
}

/// A message and its connection.
type Text = (ConnectionId, String);

fn admitted(relay: &mut Relay<Sqlite>, (connection, text): &Text) -> Input {
    Input::Message { connection: *connection, message: relay.admit(NOW, *connection, text) }
}

fn one_after_another(relay: &mut Relay<Sqlite>, texts: &[Text]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for text in texts {
        let input = admitted(relay, text);
        relay.handle(NOW, &input, &mut effects);
    }
    effects
}

fn together(relay: &mut Relay<Sqlite>, texts: &[Text]) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut inputs: Vec<Input> = texts.iter().map(|text| admitted(relay, text)).collect();
    relay.prepare(NOW, &mut inputs);
    for input in inputs {
        relay.handle_once(NOW, input, &mut effects);
    }
    effects
}

fn everything(relay: &mut Relay<Sqlite>) -> Vec<Effect> {
    let mut effects = Vec::new();
    relay.handle(NOW, &Input::Query { ticket: Ticket(1), filters: vec![Filter::new()] }, &mut effects);
    effects
}

fn event(event: &VerifiedEvent) -> String {
    format!("[\"EVENT\",{}]", event.json())
}

/// The event with another signature.
fn forged(one: &VerifiedEvent) -> String {
    let other = fixtures::signed(1, 77, &[]).sig.to_string();
    event(one).replace(&one.sig.to_string(), &other)
}

fn texts(texts: impl IntoIterator<Item = String>) -> Vec<Text> {
    texts.into_iter().map(|text| (ConnectionId::new(0), text)).collect()
}

/// The answers to the events of a batch.
fn answers(relay: &mut Relay<Sqlite>, events: &[&VerifiedEvent]) -> Vec<String> {
    let effects = together(relay, &texts(events.iter().map(|one| event(one))));
    let answer = |effect| match effect {
        Effect::Send { message, .. } => {
            let message: serde_json::Value = serde_json::from_str(&message.to_json()).unwrap();
            format!("{} {}", message[2], message[3].as_str().unwrap().split(':').next().unwrap())
        }
        effect => panic!("{effect:?}"),
    };
    effects.into_iter().map(answer).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => fixtures::pooled().prop_map(|number| event(&fixtures::pool()[number])),
        1 => fixtures::pooled().prop_map(|number| forged(&fixtures::pool()[number])),
        1 => (1..4_u64).prop_map(|at| event(&fixtures::signed(20_001, at, &[&["t", "a"]]))),
        1 => (0..3_usize).prop_map(|key| {
            let tags: [&[&str]; 2] = [&["challenge", "challenge"], &["relay", "wss://relay.example"]];
            let event = fixtures::signed_by(&fixtures::keys(key), 22_242, 5, &tags, "");
            format!("[\"AUTH\",{}]", event.json())
        }),
        1 => fixtures::filter().prop_map(|filter| {
            format!("[\"REQ\",\"a\",{}]", serde_json::to_string(&filter).unwrap())
        }),
        1 => Just("[\"CLOSE\",\"a\"]".to_owned()),
        1 => Just("[\"EVENT\",{}]".to_owned()),
    ]
}

#[test]
fn answers_a_batch_as_its_messages_one_by_one() {
    let input = (0..CONNECTIONS + 1, text()).prop_map(|(number, text)| (ConnectionId::new(number), text));
    let batches = prop::collection::vec(prop::collection::vec(input, 1..24), 1..12);
    let config = (any::<bool>(), prop::option::of(5..40_u32));
    fixtures::try_many("batches", 96, &(config, batches), |((auth_to_write, events_per_minute), batches)| {
        let rates = RateLimits {
            events_per_minute: events_per_minute.unwrap_or(0),
            limits_loopback: true,
            ..RateLimits::default()
        };
        let config = RelayConfig {
            access: Access { hosts: ["relay.example".to_owned()].into(), auth_to_write, ..Access::default() },
            admission: Admission { rates, ..Admission::default() },
            handover: [Kind(5_050)].into_iter().collect(),
            ..RelayConfig::default()
        };
        let (mut first, mut second) = (relay(&config), relay(&config));
        for batch in &batches {
            let effects = one_after_another(&mut first, batch);
            prop_assert_eq!(&effects, &together(&mut second, batch));
            // The agent confirms some of what it is given.
            for event in handed_over(effects).iter().filter(|event| event.id.as_bytes()[0] % 3 > 0) {
                confirm(&mut first, std::slice::from_ref(event));
                confirm(&mut second, std::slice::from_ref(event));
            }
        }
        for seconds in [2, 6, 14] {
            prop_assert_eq!(due_at(&mut first, seconds), due_at(&mut second, seconds));
        }
        prop_assert_eq!(everything(&mut first), everything(&mut second));
        Ok(())
    });
}

/// Sixteen events, of which one is forged, as inputs of a batch.
fn sixteen_with_a_forged_one(first: u64, connection: u64) -> Vec<Text> {
    let texts = (0..16).map(|number| {
        let one = fixtures::signed(1, first + number, &[]);
        if number == 5 { forged(&one) } else { event(&one) }
    });
    texts.map(|text| (ConnectionId::new(connection), text)).collect()
}

fn prepared(relay: &mut Relay<Sqlite>, texts: &[Text]) -> Vec<Input> {
    let mut inputs: Vec<Input> = texts.iter().map(|text| admitted(relay, text)).collect();
    relay.prepare(NOW, &mut inputs);
    inputs
}

fn is_prepared(input: &Input) -> bool {
    matches!(input, Input::Message { message: AdmittedMessage::Prepared { .. }, .. })
}

#[test]
fn a_forged_event_is_refused_alone_and_its_sender_is_verified_alone_afterwards() {
    let mut relay = relay(&RelayConfig::default());
    let batch = prepared(&mut relay, &sixteen_with_a_forged_one(1, 0));
    assert_eq!(batch.iter().filter(|input| is_prepared(input)).count(), 15);
    let mut effects = Vec::new();
    for input in batch {
        relay.handle_once(NOW, input, &mut effects);
    }
    let accepted = effects.iter().map(|effect| match effect {
        Effect::Send { message, .. } => message.to_json().contains(",true,"),
        effect => panic!("{effect:?}"),
    });
    assert_eq!(accepted.collect::<Vec<_>>(), (0..16).map(|number| number != 5).collect::<Vec<_>>());

    // The events of another connection are still verified together.
    let mut both = sixteen_with_a_forged_one(100, 0);
    both.extend((200..216).map(|second| (ConnectionId::new(1), event(&fixtures::signed(1, second, &[])))));
    let are_prepared: Vec<bool> = prepared(&mut relay, &both).iter().map(is_prepared).collect();
    assert_eq!(are_prepared, [[false; 16], [true; 16]].concat());
}

#[test]
fn few_events_and_those_that_may_not_be_published_are_not_verified_together() {
    let events = |count| texts((0..count).map(|second| event(&fixtures::signed(1, second, &[]))));
    let mut open = relay(&RelayConfig::default());
    assert!(!prepared(&mut open, &events(7)).iter().any(is_prepared));
    assert!(prepared(&mut open, &events(8)).iter().all(is_prepared));
    let access = Access { auth_to_write: true, ..Access::default() };
    let mut guarded = relay(&RelayConfig { access, ..RelayConfig::default() });
    assert!(!prepared(&mut guarded, &events(16)).iter().any(is_prepared));
}

#[test]
fn stores_an_event_that_is_twice_in_a_batch_once() {
    let mut relay = relay(&RelayConfig::default());
    let (one, other) = (fixtures::signed(1, 1, &[]), fixtures::signed(1, 2, &[]));
    assert_eq!(
        answers(&mut relay, &[&one, &one, &other, &one]),
        ["true ", "true duplicate", "true ", "true duplicate"]
    );
}

#[test]
fn refuses_an_event_that_is_deleted_earlier_in_its_batch() {
    let mut relay = relay(&RelayConfig::default());
    let events: Vec<_> = (1..4).map(|second| fixtures::signed(1, second, &[])).collect();
    let id = events[1].id.to_hex();
    let deletion = fixtures::signed(5, 4, &[&["e", &id]]);
    let batch = [&events[0], &deletion, &events[1], &events[2]];
    assert_eq!(answers(&mut relay, &batch), ["true ", "true ", "false blocked", "true "]);
}

#[test]
fn refuses_events_of_an_author_who_vanishes_earlier_in_the_batch() {
    let mut relay = relay(&RelayConfig::default());
    let events: Vec<_> = (1..4).map(|second| fixtures::signed(1, second, &[])).collect();
    let request = fixtures::signed(62, 2, &[&["relay", "ALL_RELAYS"]]);
    let batch = [&request, &events[0], &events[1], &events[2]];
    assert_eq!(answers(&mut relay, &batch), ["true ", "false blocked", "false blocked", "true "]);
}

#[test]
fn refuses_events_that_were_deleted_or_vanished_before_the_batch() {
    let mut relay = relay(&RelayConfig::default());
    let [kept, deleted] = [1, 2].map(|second| fixtures::signed(1, second, &[]));
    let gone = fixtures::signed_by(&fixtures::keys(1), 1, 2, &[], "");
    let deletion = fixtures::signed(5, 4, &[&["e", &deleted.id.to_hex()]]);
    let request = fixtures::signed_by(&fixtures::keys(1), 62, 2, &[&["relay", "ALL_RELAYS"]], "");
    assert_eq!(answers(&mut relay, &[&deletion, &request]), ["true ", "true "]);
    assert_eq!(answers(&mut relay, &[&kept, &deleted, &gone]), ["true ", "false blocked", "false blocked"]);
}

#[test]
fn stores_an_event_whose_row_key_was_taken_earlier_in_its_batch() {
    let mut relay = relay(&RelayConfig::default());
    let mut events: Vec<VerifiedEvent> = (0..4_000)
        .map(|number| fixtures::signed_by(&fixtures::keys(0), 1, 1, &[], &number.to_string()))
        .collect();
    // Its row key contains 20 bits of its id.
    let begins = |event: &VerifiedEvent| match *event.id.as_bytes() {
        [a, b, c, ..] => u32::from_be_bytes([0, a, b, c]) >> 4,
    };
    events.sort_by_key(begins);
    // The lower the id, the greater the row key.
    let pair = events.windows(2).find(|pair| begins(&pair[0]) + 1 == begins(&pair[1]));
    let Some([upper, lower]) = pair else { panic!("no two stand beside each other") };
    let place = (1 << 20) | u64::from(0xf_ffff - begins(upper));
    relay
        .store()
        .sql()
        .execute(
            "INSERT INTO event (seq, id, pubkey, created_at, kind, json) VALUES (?, x'00', x'00', 1, 1, '')",
            values![place],
        )
        .unwrap();
    let other = fixtures::signed(1, 2, &[]);
    assert_eq!(answers(&mut relay, &[&other, upper, lower]), ["true "; 3]);
    let stored = |event: &VerifiedEvent| {
        let row =
            relay.store().sql().first::<(u64,)>("SELECT seq FROM event WHERE id = ?", values![&event.id]);
        row.unwrap().unwrap().0
    };
    assert_eq!(stored(upper), place - 1, "the place of the lower one");
    assert_ne!(stored(lower), place - 1);
}

fn handed_over(effects: Vec<Effect>) -> Vec<VerifiedEvent> {
    let handed = |effect| if let Effect::HandOver(event) = effect { Some(event) } else { None };
    effects.into_iter().filter_map(handed).collect()
}

fn relay_with_agent(rates: RateLimits) -> Relay<Sqlite> {
    relay(&RelayConfig {
        admission: Admission { rates, ..Admission::default() },
        handover: [Kind(5_050)].into_iter().collect(),
        ..RelayConfig::default()
    })
}

fn jobs(count: u64) -> Vec<VerifiedEvent> {
    (0..count).map(|second| fixtures::signed(5_050, second, &[])).collect()
}

/// The rows of `handover` and `handover_batch`.
fn handover_rows(relay: &Relay<Sqlite>) -> (u64, u64) {
    let count = |table| {
        let statement = format!("SELECT count(*) FROM {table}");
        relay.store().sql().first::<(u64,)>(&statement, &[]).unwrap().unwrap().0
    };
    (count("handover"), count("handover_batch"))
}

fn confirm(relay: &mut Relay<Sqlite>, events: &[VerifiedEvent]) {
    for event in events {
        let mut effects = Vec::new();
        relay.handle(NOW, &Input::Delivered(event.id), &mut effects);
        assert_eq!(effects, []);
    }
}

fn due_at(relay: &mut Relay<Sqlite>, seconds: u64) -> Vec<VerifiedEvent> {
    let mut effects = Vec::new();
    relay.alarm(Timestamp::from_seconds(8 + seconds), &mut effects);
    let mut events = handed_over(effects);
    events.sort_by_key(|event| event.created_at);
    events
}

#[test]
fn events_that_are_handed_over_together_share_a_row() {
    let mut relay = relay_with_agent(RateLimits::default());
    let jobs = jobs(16);
    let effects = together(&mut relay, &texts(jobs.iter().map(event)));
    assert_eq!(handed_over(effects), jobs);
    assert_eq!(handover_rows(&relay), (0, 1));
    confirm(&mut relay, &jobs[..15]);
    assert_eq!(handover_rows(&relay), (0, 1));
    confirm(&mut relay, &jobs[15..]);
    assert_eq!(handover_rows(&relay), (0, 0));
    assert!(due_at(&mut relay, 100).is_empty());
}

#[test]
fn what_the_agent_has_not_confirmed_is_handed_over_again() {
    for loses_memory in [false, true] {
        let mut relay = relay_with_agent(RateLimits::default());
        let jobs = jobs(16);
        together(&mut relay, &texts(jobs.iter().map(event)));
        confirm(&mut relay, &jobs[..10]);
        assert!(due_at(&mut relay, 1).is_empty());
        assert_eq!(due_at(&mut relay, 2), jobs[10..]);
        if loses_memory {
            relay.forget(NOW);
        }
        assert!(due_at(&mut relay, 5).is_empty());
        assert_eq!(due_at(&mut relay, 6), jobs[10..], "after twice the time");
        confirm(&mut relay, &jobs[10..]);
        assert_eq!(handover_rows(&relay), (0, 0));
    }
}

#[test]
fn a_removed_event_is_not_handed_over_again() {
    let mut relay = relay_with_agent(RateLimits::default());
    let jobs = jobs(16);
    together(&mut relay, &texts(jobs.iter().map(event)));
    let id = jobs[3].id.to_hex();
    let deletion = fixtures::signed(5, 100, &[&["e", &id]]);
    together(&mut relay, &texts([event(&deletion)]));
    confirm(&mut relay, &jobs[4..]);
    assert_eq!(due_at(&mut relay, 2), jobs[..3]);
    confirm(&mut relay, &jobs[..3]);
    assert_eq!(handover_rows(&relay), (0, 0));
}

#[test]
fn refused_events_leave_no_handover() {
    let rates = RateLimits { events_per_minute: 5, limits_loopback: true, ..RateLimits::default() };
    let mut relay = relay_with_agent(rates);
    let jobs = jobs(24);
    let inputs = prepared(&mut relay, &texts(jobs.iter().map(event)));
    let mut effects = Vec::new();
    for input in inputs {
        relay.handle_once(NOW, input, &mut effects);
    }
    let accepted = handed_over(effects);
    assert!(accepted.len() < jobs.len());
    confirm(&mut relay, &accepted);
    assert_eq!(handover_rows(&relay), (0, 0));
}

#[test]
fn while_the_agent_confirms_nothing_batches_are_bounded() {
    let mut relay = relay_with_agent(RateLimits::default());
    let job = |number: u64| fixtures::signed(5_050, 1, &[&["i", &number.to_string()]]);
    let many: Vec<VerifiedEvent> = (0..258 * 8).map(job).collect();
    for eight in many.chunks(8) {
        together(&mut relay, &texts(eight.iter().map(event)));
    }
    assert_eq!(handover_rows(&relay), (16, 256));
    confirm(&mut relay, &many);
    assert_eq!(handover_rows(&relay), (0, 0));
}
