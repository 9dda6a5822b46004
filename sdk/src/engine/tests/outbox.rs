//! Delivery of answers to their relays.

use std::time::Duration;

use openagents_host::nostr::reason::Reason;
use openagents_host::{Engine, EventId, Keys, Kind, UnsignedEvent, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::engine::{
    Changes, Delivery, DeliveryLimits, Destination, Effect, Input, Output, Publication, RunOutcome,
};

fn unreachable() -> Delivery {
    Delivery::Unreachable("away".into())
}

fn deliver(bench: &mut Bench, delivery: Delivery) -> u64 {
    let entry = bench.delivering.remove(0);
    bench.give(&Input::Delivered { entry, delivery });
    entry
}

fn destinations(bench: &Bench) -> Vec<Destination> {
    bench.published.iter().map(|(_, to)| to.clone()).collect()
}

#[test]
fn answers_on_the_relays_that_the_request_names() {
    let mut bench = Bench::new();
    let relays =
        ["relays", "wss://a.example/", "wss://own.example/", "https://no.example", "wss://a.example"];
    bench.ask_from(&tagged(SHARED, 1, &[&relays]), Some(EXTERNAL));
    assert_eq!(
        destinations(&bench),
        [Destination::Own, Destination::Relay("wss://a.example".into())],
        "and not where it came from"
    );
}

#[test]
fn answers_where_the_customer_reads_if_the_request_names_nothing() {
    let mut bench = Bench::new();
    bench.ask_from(&request(SHARED, 1), Some(EXTERNAL));
    let customer_relays = Destination::ReadBy { customer: customer().public_key(), source: EXTERNAL.into() };
    assert_eq!(
        destinations(&bench),
        [Destination::Own, Destination::Relay(EXTERNAL.into()), customer_relays]
    );
    bench.crash();
    assert_eq!(destinations(&bench)[..3], destinations(&bench)[3..6], "the queues survive a crash");
}

#[test]
fn answers_on_five_relays_of_a_customers_choice_at_most() {
    let mut bench = Bench::new();
    let relays: Vec<String> = (0..20).map(|number| format!("wss://{number}.example")).collect();
    let tag: Vec<&str> = std::iter::once("relays").chain(relays.iter().map(String::as_str)).collect();
    bench.ask(&tagged(SHARED, 1, &[&tag]));
    assert_eq!(bench.published.len(), 6);
}

#[test]
fn delivers_again_while_the_own_relay_is_away_and_does_not_give_up() {
    let mut bench = Bench::new();
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"]]));
    let first = bench.own()[0].id;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let left = bench.now;
        deliver(&mut bench, unreachable());
        while bench.delivering.is_empty() {
            bench.seconds(1);
        }
        pauses.push(left.until(bench.now).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]);
    let ids: std::collections::BTreeSet<EventId> =
        bench.published.iter().map(|(event, _)| event.id).collect();
    assert_eq!(ids, [first].into(), "it is one event");
}

#[test]
fn drops_what_a_relay_refuses_and_says_so() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    deliver(&mut bench, Delivery::Refused("blocked: no".into()));
    assert_eq!(bench.count("outbox"), 0);
    assert!(bench.warnings[0].contains("the agent's own relay rejected"), "{:?}", bench.warnings);
}

#[test]
fn tells_a_refusal_for_now_from_one_for_good() {
    for (reason, is_temporary) in [
        ("rate-limited: slow down", true),
        ("error: disk full", true),
        ("auth-required: who are you?", true),
        ("blocked: you", false),
        ("restricted: not you", false),
        ("invalid: too long", false),
        ("pow: 20 bits", false),
        ("mute: nobody listens", false),
        ("unsupported: kind", false),
        ("go away", false),
        ("", false),
    ] {
        let delivery = Delivery::refused(&Reason::parse(reason));
        let text = reason.to_owned();
        let expected = if is_temporary { Delivery::Postponed(text) } else { Delivery::Refused(text) };
        assert_eq!(delivery, expected);
    }
}

#[test]
fn sends_again_what_a_relay_refuses_for_now_with_growing_pauses() {
    let mut bench = Bench::new();
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"], &["relays", "wss://busy.example"]]));
    deliver(&mut bench, Delivery::Accepted);
    bench.ask(&tagged(PAID, 2, &[&["bid", "1"], &["relays", "wss://busy.example"]]));
    let own = bench.delivering.remove(1);
    bench.give(&Input::Delivered { entry: own, delivery: Delivery::Accepted });
    let (refused, other) = (bench.delivering[0], bench.delivering[1]);
    let busy = Delivery::Postponed("rate-limited: slow down".into());
    let mut pauses = Vec::new();
    for attempt in 1..10 {
        let left = bench.now;
        while let Some(entry) = bench.delivering.first().copied() {
            // Both events are on their way; the relay refuses one of them, and at first the other.
            let delivery = if entry == other && attempt > 1 { Delivery::Accepted } else { busy.clone() };
            deliver(&mut bench, delivery);
        }
        if attempt == 4 {
            bench.crash();
        }
        while bench.delivering.is_empty() {
            bench.seconds(1);
        }
        assert_eq!(bench.delivering[0], refused, "in order");
        pauses.push(left.until(bench.now).as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert_eq!(bench.count("outbox"), 1);
    deliver(&mut bench, busy);
    assert_eq!(bench.count("outbox"), 0);
    assert!(
        bench.warnings.last().unwrap().contains("refused an event of this agent 10 times"),
        "{:?}",
        bench.warnings
    );
    bench.ask(&tagged(PAID, 3, &[&["bid", "1"], &["relays", "wss://busy.example"]]));
    assert_eq!(
        destinations(&bench).last(),
        Some(&Destination::Relay("wss://busy.example".into())),
        "not given up"
    );
}

#[test]
fn sends_again_what_the_own_relay_refuses_for_now() {
    let mut bench = Bench::new();
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"]]));
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let left = bench.now;
        deliver(&mut bench, Delivery::Postponed("error: the disk is full".into()));
        while bench.delivering.is_empty() {
            bench.seconds(1);
        }
        pauses.push(left.until(bench.now).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4]);
    deliver(&mut bench, Delivery::Accepted);
    assert_eq!(bench.count("outbox"), 0);
}

#[test]
fn gives_up_an_outside_relay_that_is_away_for_long_also_across_a_crash() {
    let mut bench = Bench::new();
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"], &["relays", "wss://dead.example"]]));
    deliver(&mut bench, Delivery::Accepted);
    let mut tries = 0;
    while bench.count("outbox") == 1 {
        if tries == 4 {
            bench.crash();
        }
        if bench.delivering.is_empty() {
            bench.seconds(1);
        } else {
            deliver(&mut bench, unreachable());
            tries += 1;
        }
    }
    assert_eq!(tries, 10);
    assert!(bench.now > START + Duration::from_secs(900) && bench.now < START + Duration::from_secs(1_200));
    assert!(bench.warnings.last().unwrap().contains("dropped for now"), "{:?}", bench.warnings);
    assert_eq!(bench.engine.next_alarm(), None);
    bench.ask(&tagged(PAID, 2, &[&["bid", "1"], &["relays", "wss://dead.example"]]));
    assert_eq!(destinations(&bench).last(), Some(&Destination::Own), "nothing is tried there for a while");
}

#[test]
fn dead_outside_relays_do_not_hold_up_the_own_one() {
    let worker = DeliveryLimits::WORKER;
    for (limits, hosts, customers, at_once) in [
        (DeliveryLimits::default(), 1, 100, 8),
        (DeliveryLimits::default(), 100, 1, 12),
        (DeliveryLimits::default(), 100, 100, 48),
        (worker, 1, 100, 1),
        (worker, 100, 1, 1),
        (worker, 100, 100, 2),
    ] {
        let mut bench = Bench::with_limits(limits);
        for number in 0..100 {
            // One host can have any number of URLs.
            let relay = format!("wss://{}.example:{}/{number}", number % hosts, 4_000 + number);
            bench.ask(&answered_on(&relay, number, number % customers));
        }
        assert_eq!(external(&bench).len(), at_once, "to {hosts} hosts for {customers} customers");
        assert_eq!(bench.own().len(), limits.own.min(100));
        bench.deliver_all();
        assert_eq!(bench.count("outbox"), 0, "the others follow");
    }
}

#[test]
fn silent_outside_relays_hold_up_neither_other_customers_nor_relays_that_have_answered() {
    for limits in [DeliveryLimits::default(), DeliveryLimits::WORKER] {
        let mut bench = Bench::with_limits(limits);
        bench.ask(&answered_on("wss://good.example/1", 900, 0));
        bench.deliver_all();
        bench.published.clear();
        // One customer names 200 silent relays.
        for number in 0..200 {
            bench.ask(&answered_on(&format!("wss://{number}.silent.example"), number, 1));
        }
        assert_eq!(external(&bench).len(), limits.unproven_of_customer);
        bench.ask(&answered_on("wss://new.example", 901, 2));
        assert_eq!(external(&bench).last().unwrap(), "wss://new.example", "for another customer");
        // Many keys do.
        for number in 200..300 {
            bench.ask(&answered_on(&format!("wss://{number}.silent.example"), number, number));
        }
        assert_eq!(external(&bench).len(), limits.unproven);
        bench.ask(&answered_on("wss://good.example/2", 902, 1));
        assert_eq!(external(&bench).last().unwrap(), "wss://good.example/2", "it has answered before");
    }
}

#[test]
fn a_host_that_becomes_silent_loses_its_place() {
    let mut bench = Bench::with_limits(DeliveryLimits::WORKER);
    bench.ask(&answered_on("wss://good.example", 1, 0));
    bench.deliver_all();
    bench.published.clear();
    for number in 2..6 {
        bench.ask(&answered_on(&format!("wss://{number}.silent.example"), number, number));
    }
    assert_eq!(external(&bench).len(), 2);
    bench.ask(&answered_on("wss://good.example", 6, 6));
    assert_eq!(external(&bench).len(), 3);
    let entry = *bench.delivering.last().unwrap();
    bench.delivering.retain(|other| *other != entry);
    bench.give(&Input::Delivered { entry, delivery: unreachable() });
    bench.seconds(600);
    assert_eq!(external(&bench).len(), 3, "it waits like the others");
}

/// A request of the customer with this number, whose answer goes to this relay.
fn answered_on(relay: &str, number: u64, customer: u64) -> VerifiedEvent {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(customer + 1).to_be_bytes());
    UnsignedEvent::new(Kind(SHARED), "")
        .tag(["i", &number.to_string(), "text"])
        .tag(["relays", relay])
        .sign(&Keys::from_secret(&secret).unwrap(), START)
}

/// The external relays to which events were sent, in order.
fn external(bench: &Bench) -> Vec<String> {
    let relays = bench.published.iter().filter_map(|(_, to)| match to {
        Destination::Relay(url) => Some(url.clone()),
        Destination::Own | Destination::ReadBy { .. } | Destination::Inbox { .. } => None,
    });
    relays.collect()
}

#[test]
fn hands_out_so_many_at_once_and_in_order() {
    for (limits, at_once) in [(DeliveryLimits::default(), 256), (DeliveryLimits::WORKER, 64)] {
        let mut bench = Bench::with_limits(limits);
        let asked: Vec<EventId> = (0..300)
            .map(|number| {
                let event = request(SHARED, number);
                bench.ask(&event);
                event.id
            })
            .collect();
        assert_eq!(bench.delivering.len(), at_once);
        bench.deliver_all();
        let told: Vec<EventId> = bench.feedback().into_iter().map(|feedback| feedback.request).collect();
        assert_eq!(told, asked);
        assert_eq!(bench.count("outbox"), 0);
    }
}

#[test]
fn hands_out_no_more_bytes_at_once_than_allowed_and_a_longer_event_alone() {
    let mut bench = Bench::with_limits(DeliveryLimits { own_bytes: 6_000, ..DeliveryLimits::WORKER });
    for number in 0..6 {
        bench.ask(&request(SHARED, number));
    }
    bench.deliver_all();
    for length in [10, 8_000, 10, 3_000, 2_000, 10] {
        let lease = bench.next_run();
        bench.done(lease, &"x".repeat(length));
    }
    let mut at_once = Vec::new();
    while !bench.delivering.is_empty() {
        let entries = std::mem::take(&mut bench.delivering);
        at_once.push(entries.len());
        bench.give_all(&accepted(&entries));
    }
    assert_eq!(at_once, [1, 1, 2, 2], "each has some hundred bytes more than its content");
    assert_eq!(bench.count("outbox"), 0);
    assert_eq!(bench.engine.next_alarm(), None);
}

#[test]
fn what_is_in_flight_is_not_read_again() {
    let mut bench = Bench::with_limits(DeliveryLimits::default());
    let mut rows_read = |number| {
        let event = request(SHARED, number);
        let before = bench.sql.rows_read();
        let mut effects = Vec::new();
        bench.engine.handle(bench.now, &Input::Request { event, source: None, ticket: 0 }, &mut effects);
        bench.engine.alarm(bench.now, &mut effects);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })));
        bench.sql.rows_read() - before
    };
    let alone = rows_read(0);
    for number in 1..200 {
        rows_read(number);
    }
    assert_eq!(rows_read(200), alone);
}

#[test]
fn an_event_is_sent_although_the_clock_was_set_back() {
    for delivery in [None, Some(Delivery::Accepted), Some(unreachable())] {
        let mut bench = Bench::new();
        for number in 0..2 {
            bench.ask(&request(SHARED, number));
        }
        bench.now = bench.now - Duration::from_secs(60);
        if let Some(delivery) = delivery {
            deliver(&mut bench, delivery);
        }
        bench.ask(&request(SHARED, 2));
        let told: std::collections::BTreeSet<EventId> =
            bench.feedback().into_iter().map(|feedback| feedback.request).collect();
        assert_eq!(told, [0, 1, 2].map(|number| request(SHARED, number).id).into());
        bench.seconds(2);
        bench.deliver_all();
        assert_eq!(bench.count("outbox"), 0);
    }
}

#[test]
fn deliveries_that_end_together_are_recorded_in_one_statement() {
    let mut bench = Bench::with_limits(DeliveryLimits::default());
    for number in 0..100 {
        bench.ask(&request(SHARED, number));
    }
    let entries = std::mem::take(&mut bench.delivering);
    assert_eq!(entries.len(), 100);
    let before = bench.sql.statements_run();
    let mut inputs = accepted(&entries);
    inputs.insert(50, Input::Delivered { entry: entries[0], delivery: unreachable() });
    bench.engine.handle_all(bench.now, &inputs, &mut Vec::new());
    let statements = bench.sql.statements_run() - before;
    assert!(statements < 20, "{statements} statements");
    assert_eq!(bench.count("outbox"), 0);
}

#[test]
fn deliveries_to_an_outside_relay_that_end_together_show_that_it_is_back() {
    let mut bench = Bench::new();
    let relay = &["relays", "wss://a.example"];
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"], relay]));
    deliver(&mut bench, Delivery::Accepted);
    deliver(&mut bench, unreachable());
    assert_eq!(bench.count("unreached"), 1);
    bench.ask(&tagged(PAID, 2, &[&["bid", "1"], relay]));
    bench.seconds(2);
    let entries = std::mem::take(&mut bench.delivering);
    assert_eq!(entries.len(), 3);
    bench.give_all(&accepted(&entries));
    assert_eq!((bench.count("outbox"), bench.count("unreached")), (0, 0));
}

fn accepted(entries: &[u64]) -> Vec<Input> {
    entries.iter().map(|entry| Input::Delivered { entry: *entry, delivery: Delivery::Accepted }).collect()
}

#[test]
fn drops_what_is_damaged() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    bench.sql.damage("UPDATE outbox SET event = '{}'");
    bench.crash();
    assert!(bench.warnings[0].contains("damaged"));
    assert_eq!(bench.count("outbox WHERE event = '{}'"), 0);
}

#[test]
fn publishes_again_what_a_transaction_that_was_undone_had_handed_out() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    deliver(&mut bench, unreachable());
    bench.now = bench.now + Duration::from_secs(1);
    bench.give_and_undo(&[]);
    bench.seconds(0);
    assert_eq!(bench.delivering.len(), 1, "it has not left");
}

#[test]
fn never_takes_the_report_on_one_event_for_that_on_another() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let entry = deliver(&mut bench, Delivery::Accepted);
    bench.ask(&request(SHARED, 2));
    bench.give(&Input::Delivered { entry, delivery: Delivery::Accepted });
    assert_eq!(bench.count("outbox"), 1);
}

#[test]
fn an_event_is_delivered_although_the_answer_about_it_was_lost() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let entry = bench.delivering.remove(0);
    let input = Input::Delivered { entry, delivery: unreachable() };
    bench.sql.fail_after(0);
    bench.give(&input);
    bench.seconds(5);
    assert_eq!(bench.delivering, [entry]);
}

#[test]
fn publishes_what_a_run_wants_published_in_its_order() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    let own =
        |text: &str| Publication { event: UnsignedEvent::new(Kind(1), text).into(), to: Destination::Own };
    let events = ["one", "two"].map(own).into();
    bench.finish(lease, RunOutcome::Done(Output::new("Hello")), Changes { events, ..Changes::default() });
    let contents: Vec<_> = bench.own().iter().map(|event| event.content.clone()).collect();
    assert_eq!(contents, ["", "one", "two", "Hello"]);
}

#[test]
fn hands_nothing_out_twice_while_it_is_on_its_way() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let mut effects = Vec::new();
    bench.engine.alarm(bench.now, &mut effects);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })));
}

#[test]
fn publishes_on_another_relay_what_a_run_wants_published_there_and_as_it_was_signed() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    let signed = UnsignedEvent::new(Kind(1), "signed").sign(&customer(), START);
    let there = Destination::Relay(EXTERNAL.to_owned());
    let events = vec![
        Publication { event: signed.clone().into(), to: there.clone() },
        Publication { event: UnsignedEvent::new(Kind(1), "unsigned").into(), to: there.clone() },
    ];
    bench.finish(lease, RunOutcome::Done(Output::new("Hello")), Changes { events, ..Changes::default() });
    bench.deliver_all();
    let sent: Vec<_> =
        bench.published.iter().filter(|(_, to)| *to == there).map(|(event, _)| event).collect();
    assert_eq!(sent[0], &signed);
    assert_eq!((sent[1].content.as_str(), sent[1].pubkey), ("unsigned", agent().public_key()));
}
