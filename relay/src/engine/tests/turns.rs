//! How much a host with one thread reads in a turn, and that a network's reads are charged to it.

use openagents_host::Engine;
use openagents_host::sql::Sql;

use super::{Bench, messages};
use crate::engine::{Effect, Input, TurnQueue};
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

/// Lets a message wait; returns the answer if it is refused.
fn enqueue(bench: &mut Bench, queue: &mut TurnQueue, connection: u64, text: &str) -> Option<String> {
    let connection = ConnectionId::new(connection);
    let message = bench.relay.admit(bench.now, connection, text);
    let mut effects = Vec::new();
    bench.relay.enqueue(queue, connection, message, text.len(), &mut effects);
    messages(effects).pop().map(|(_, answer)| answer)
}

/// The senders and the answers of a turn, and how much was read in it.
#[derive(Debug, Default)]
struct Turn {
    heard: Vec<u64>,
    answers: Vec<(ConnectionId, String)>,
    look_ups: u64,
}

/// Handles what waits until the turn is over, as the Durable Object does.
fn turn(bench: &mut Bench, queue: &mut TurnQueue) -> Turn {
    let mut turn = Turn::default();
    bench.relay.prepare(bench.now, queue.inputs.make_contiguous());
    bench.relay.begin_turn();
    while !bench.relay.is_turn_over()
        && let Some(input) = queue.inputs.pop_front()
    {
        turn.heard.push(input.sender().unwrap().number());
        let effects = bench.handle(input);
        let continued = effects.iter().find_map(|effect| match effect {
            Effect::Continue(connection) => Some(Input::Continue(*connection)),
            _ => None,
        });
        continued.into_iter().for_each(|input| queue.inputs.push_front(input));
        turn.answers.extend(messages(effects));
    }
    turn.look_ups = bench.relay.sessions.turn.look_ups;
    bench.relay.take_turns(queue);
    turn
}

const COUNT: &str = r##"["COUNT","c",{"#t":["common"]}]"##;

#[test]
fn between_two_turns_little_is_read_and_others_come_next() {
    let mut bench = bench(&["192.0.2.1", "192.0.2.1", "192.0.2.2"], 0);
    let mut queue = TurnQueue::default();
    for number in 0..150 {
        assert_eq!(enqueue(&mut bench, &mut queue, 11 + number % 2, COUNT), None);
    }
    let event = fixtures::signed(1, 1_000, &[]);
    enqueue(&mut bench, &mut queue, 13, &format!("[\"EVENT\",{}]", event.json()));
    enqueue(&mut bench, &mut queue, 13, r#"["REQ","feed",{"kinds":[1],"limit":9}]"#);
    let mut turns: Vec<Vec<u64>> = Vec::new();
    while !queue.inputs.is_empty() {
        let turn = turn(&mut bench, &mut queue);
        assert!(turn.look_ups < 11_000, "{} look-ups in a turn", turn.look_ups);
        turns.push(turn.heard);
    }
    assert!(turns.len() > 2 && turns[0].len() < 100, "{turns:?}");
    // The other network is heard first in the next turn, and again after one message.
    assert_eq!((turns[1][0], turns[1][2]), (13, 13));
    assert!(turns[0].iter().zip(&turns[0][1..]).all(|(one, next)| one != next), "each in order");
    assert_eq!(turns.iter().map(Vec::len).sum::<usize>(), 152);
}

/// So many events that a `COUNT` of them, or a reconciliation, takes several turns.
const MANY: u64 = 60_000;

/// A relay with [`MANY`] events of a topic.
fn with_many_events() -> Bench {
    let bench = bench(&["192.0.2.1", "192.0.2.1", "192.0.2.2"], 0);
    let sql = bench.relay.store().sql();
    sql.batch(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
         INSERT INTO event (seq, id, pubkey, created_at, kind, json)
         SELECT (1000 + i) << 20, randomblob(32), randomblob(32), 1000 + i, 1, '{{}}' FROM n;
         INSERT INTO tag (key, seq, kind)
         SELECT (SELECT key FROM tag LIMIT 1), seq, 1 FROM event WHERE seq > 1000 << 20"
    ))
    .unwrap();
    bench
}

#[test]
fn what_reads_much_is_done_in_slices_and_others_come_in_between() {
    let mut bench = with_many_events();
    for (request, answer) in [
        (COUNT, format!(r#"["COUNT","c",{{"count":{}"#, MANY + 300)),
        (r#"["COUNT","c",{}]"#, format!(r#"["COUNT","c",{{"count":{}}}]"#, MANY + 300)),
        (r#"["COUNT","c",{"kinds":[1,2,3]},{}]"#, format!(r#"["COUNT","c",{{"count":{}}}]"#, MANY + 300)),
        (r#"["NEG-OPEN","c",{},"6100000200"]"#, r#"["NEG-MSG","c","61"#.to_owned()),
    ] {
        let mut queue = TurnQueue::default();
        enqueue(&mut bench, &mut queue, 11, request);
        // It comes before what the same client sends later.
        enqueue(&mut bench, &mut queue, 11, r#"["REQ","later",{"kinds":[9]}]"#);
        let (mut turns, mut answers) = (0, Vec::new());
        while !queue.inputs.is_empty() {
            enqueue(&mut bench, &mut queue, 13, r#"["REQ","other",{"kinds":[9]}]"#);
            let turn = turn(&mut bench, &mut queue);
            assert!(turn.look_ups < 25_000, "{request}: {} look-ups in a turn", turn.look_ups);
            assert!(turns == 0 || turn.heard[0] == 13, "{request}: {:?}", turn.heard);
            turns += 1;
            answers.extend(turn.answers);
        }
        assert!(turns > 3, "{request}: {turns}");
        let own: Vec<&String> =
            answers.iter().filter(|(to, _)| to.number() == 11).map(|(_, answer)| answer).collect();
        assert!(own[0].starts_with(&answer), "{request}: {own:?}");
        assert!(own[1].starts_with(r#"["EOSE","later""#), "{own:?}");
    }
    assert!(bench.relay.unfinished.is_empty());
}

#[test]
fn what_is_unfinished_counts_as_memory_and_ends_with_its_connection() {
    let mut bench = with_many_events();
    let mut queue = TurnQueue::default();
    let memory = |bench: &Bench| bench.relay.connections_by_memory()[0].1;
    let before = memory(&bench);
    enqueue(&mut bench, &mut queue, 11, r#"["NEG-OPEN","n",{},"6100000200"]"#);
    for _ in 0..2 {
        turn(&mut bench, &mut queue);
    }
    assert!(memory(&bench) > before + 100_000, "{}", memory(&bench));
    bench.handle(Input::Close(ConnectionId::new(11)));
    assert!(bench.relay.unfinished.is_empty() && memory(&bench) == before);
    let turn = turn(&mut bench, &mut queue);
    assert!(turn.answers.is_empty() && queue.inputs.is_empty());
}

#[test]
fn only_so_much_waits_of_a_network_and_the_rest_is_refused() {
    let mut bench = bench(&["192.0.2.1", "192.0.2.1", "192.0.2.2"], 0);
    let mut queue = TurnQueue::default();
    for number in 0..1_024 {
        assert_eq!(enqueue(&mut bench, &mut queue, 11 + number % 2, COUNT), None);
    }
    let event = fixtures::signed(1, 1_000, &[]);
    for (text, answer) in [
        (COUNT, r#"["CLOSED","c","rate-limited: too many messages wait"#.to_owned()),
        (r#"["REQ","r",{}]"#, r#"["CLOSED","r","rate-limited: "#.to_owned()),
        (r#"["NEG-OPEN","n",{},"61"]"#, r#"["NEG-ERR","n","rate-limited: "#.to_owned()),
        (&*format!("[\"EVENT\",{}]", event.json()), format!(r#"["OK","{}",false,"rate-limited: "#, event.id)),
        // What is refused for another reason does not wait either.
        ("nonsense", r#"["NOTICE","invalid: "#.to_owned()),
    ] {
        let refused = enqueue(&mut bench, &mut queue, 12, text).unwrap();
        assert!(refused.starts_with(&answer), "{refused}");
    }
    assert_eq!(enqueue(&mut bench, &mut queue, 13, COUNT), None, "the others have room");
    while !queue.inputs.is_empty() {
        turn(&mut bench, &mut queue);
    }
    assert_eq!(enqueue(&mut bench, &mut queue, 11, COUNT), None, "and so has it afterwards");
}

#[test]
fn only_so_many_bytes_wait_of_a_network_and_in_all() {
    let addresses: Vec<String> = (0..20).map(|number| format!("192.0.2.{number}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut bench = bench(&addresses, 0);
    let mut queue = TurnQueue::default();
    let long = format!(r##"["COUNT","c",{{"#t":["{}"]}}]"##, "a".repeat(200_000));
    let mut waiting = |connection: u64| {
        (0..100).filter(|_| enqueue(&mut bench, &mut queue, connection, &long).is_none()).count()
    };
    assert_eq!(waiting(11), 20, "4 MiB");
    let all: usize = (12..31).map(waiting).sum();
    assert_eq!(20 + all, 83, "16 MiB");
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
