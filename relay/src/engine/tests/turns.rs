//! How much a host with one thread reads in a turn, and that a network's reads are charged to it.

use std::collections::VecDeque;

use openagents_host::Engine;

use super::{Bench, messages};
use crate::engine::Input;
use crate::fixtures;
use crate::session::{ConnectionId, Origin};

/// A relay with some hundred events, and connections from these addresses with the numbers from 1.
fn bench(addresses: &[&str], look_ups_per_minute: u32) -> Bench {
    let mut bench =
        Bench::configured(|config| config.admission.rates.look_ups_per_minute = look_ups_per_minute);
    for second in 0..300 {
        bench.publish(super::ALICE, &fixtures::signed(1, second, &[&["t", "common"]]));
    }
    for (number, address) in (11..).zip(addresses) {
        let address = Some(address.parse().unwrap());
        let origin = Origin { challenge: "c".into(), address, ..Origin::default() };
        bench.handle(Input::Open { connection: ConnectionId::new(number), origin });
    }
    bench
}

fn input(bench: &mut Bench, connection: u64, text: &str) -> Input {
    let connection = ConnectionId::new(connection);
    Input::Message { connection, message: bench.relay.admit(bench.now, connection, text) }
}

const COUNT: &str = r##"["COUNT","c",{"#t":["common"]}]"##;

#[test]
fn between_two_turns_little_is_read_and_others_come_next() {
    let mut bench = bench(&["192.0.2.1", "192.0.2.1", "192.0.2.2"], 0);
    let mut inputs: VecDeque<Input> = (0..150).map(|n| input(&mut bench, 11 + n % 2, COUNT)).collect();
    let event = fixtures::signed(1, 1_000, &[]);
    inputs.push_back(input(&mut bench, 13, &format!("[\"EVENT\",{}]", event.json())));
    inputs.push_back(input(&mut bench, 13, r#"["REQ","feed",{"kinds":[1],"limit":9}]"#));
    let mut turns: Vec<Vec<u64>> = Vec::new();
    while !inputs.is_empty() {
        let mut heard = Vec::new();
        bench.relay.prepare(bench.now, inputs.make_contiguous());
        bench.relay.begin_turn();
        while !bench.relay.is_turn_over()
            && let Some(input) = inputs.pop_front()
        {
            heard.push(input.sender().unwrap().number());
            bench.handle(input);
        }
        let read = bench.relay.sessions.turn.look_ups;
        assert!(read < 11_000, "{read} look-ups in a turn");
        bench.relay.take_turns(&mut inputs);
        turns.push(heard);
    }
    assert!(turns.len() > 2 && turns[0].len() < 100, "{turns:?}");
    // The other network is heard first in the next turn, and again after one message.
    assert_eq!((turns[1][0], turns[1][2]), (13, 13));
    assert!(turns[0].iter().zip(&turns[0][1..]).all(|(one, next)| one != next), "each in order");
    assert_eq!(turns.iter().map(Vec::len).sum::<usize>(), 152);
}

#[test]
fn a_network_that_has_read_too_much_is_refused_and_others_are_not() {
    let mut bench = bench(&["192.0.2.1", "192.0.2.1", "192.0.2.2"], 2_000);
    let mut ask = |connection: u64| {
        let effects = bench.text(ConnectionId::new(connection), COUNT);
        messages(effects).remove(0).1
    };
    let answers: Vec<String> = (0..50).map(|number| ask(11 + number % 2)).collect();
    let refused = answers.iter().position(|answer| answer.starts_with("[\"CLOSED\"")).unwrap();
    assert!((3..20).contains(&refused), "{answers:?}");
    assert!(
        answers[refused..].iter().all(|answer| answer.contains("rate-limited: your requests read too much"))
    );
    assert!(ask(13).starts_with("[\"COUNT\""));
}
