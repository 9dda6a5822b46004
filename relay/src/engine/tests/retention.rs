//! Retention rules through the engine: storage, broadcast and handover.

use std::time::Duration;

use openagents_host::{Engine, VerifiedEvent};

use super::{ALICE, BOB, Bench, ok, sent};
use crate::engine::{Effect, Input};
use crate::fixtures;

fn bench(rules: &str) -> Bench {
    Bench::configured(|config| config.retention = rules.parse().unwrap())
}

/// Runs the alarm after this many seconds; returns the events handed over.
fn ring(bench: &mut Bench, seconds: u64) -> Vec<VerifiedEvent> {
    bench.now = bench.now + Duration::from_secs(seconds);
    let mut effects = Vec::new();
    bench.relay.alarm(bench.now, &mut effects);
    let handed = |effect| if let Effect::HandOver(event) = effect { Some(event) } else { None };
    effects.into_iter().filter_map(handed).collect()
}

fn stored(bench: &Bench) -> u64 {
    bench.relay.store().statistics(1).unwrap().events
}

#[test]
fn a_kind_that_is_not_stored_is_treated_as_ephemeral() {
    let mut bench = bench("1=0,5050=0");
    let note = fixtures::signed(1, 1, &[]);
    let muted = ok(&note, false, "mute: nobody was listening to this ephemeral event");
    assert_eq!(bench.publish(ALICE, &note), [(ALICE, muted)]);
    bench.say(BOB, r#"["REQ","s",{"kinds":[1]}]"#);
    assert_eq!(bench.publish(ALICE, &note), [(ALICE, ok(&note, true, "")), (BOB, sent("s", &note))]);
    let expired = fixtures::signed(1, 1, &[&["expiration", "5"]]);
    assert!(bench.publish(ALICE, &expired)[0].1.contains("invalid: the event is expired"));

    let request = fixtures::signed(5_050, 1, &[]);
    assert_eq!(bench.publish(ALICE, &request), [(ALICE, ok(&request, true, ""))]);
    bench.relay.forget(bench.now);
    assert_eq!(ring(&mut bench, 100), std::slice::from_ref(&request));
    assert!(bench.handle(Input::Delivered(request.id)).is_empty());
    assert_eq!((stored(&bench), ring(&mut bench, 100).len(), bench.relay.next_alarm()), (0, 0, None));
}

#[test]
fn a_kind_with_a_retention_time_is_kept_until_then() {
    let mut bench = bench("7000=30s,20001=30s");
    for kind in [7_000, 20_001] {
        let event = fixtures::signed(kind, 1, &[]);
        let request = format!("[\"REQ\",\"s\",{{\"kinds\":[{kind}]}}]");
        let end = r#"["EOSE","s",["finish"]]"#.to_owned();
        bench.say(BOB, &request);
        assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, "")), (BOB, sent("s", &event))]);
        assert!(bench.publish(ALICE, &event)[0].1.contains("duplicate"));
        bench.now = bench.now + Duration::from_secs(29);
        assert_eq!(bench.say(BOB, &request), [(BOB, sent("s", &event)), (BOB, end.clone())]);
        bench.now = bench.now + Duration::from_secs(1);
        assert_eq!(bench.say(BOB, &request), [(BOB, end)]);
        assert_eq!(stored(&bench), 1);
        bench.relay.forget(bench.now);
        while bench.relay.next_alarm().is_some_and(|due| due <= bench.now + Duration::from_secs(60)) {
            ring(&mut bench, 60);
        }
        assert_eq!(stored(&bench), 0, "{kind}");
    }
}

#[test]
fn a_request_is_handed_over_even_after_its_retention() {
    let mut bench = bench("5000-5999=5s");
    let request = fixtures::signed(5_050, 1, &[]);
    bench.publish(ALICE, &request);
    assert_eq!(stored(&bench), 1);
    assert_eq!(ring(&mut bench, 100), std::slice::from_ref(&request));
    assert_eq!(stored(&bench), 0);
    bench.relay.forget(bench.now);
    assert_eq!(ring(&mut bench, 100), [request]);
}
