//! Direct messages to the agent (NIP-17), and its replies.

use std::time::Duration;

use openagents_host::{Keys, Kind, PublicKey, Rumor, Timestamp, UnsignedEvent, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::declaration::DirectMessageDeclaration;
use crate::engine::{
    Changes, Delivery, Destination, DirectMessageSpec, Input, Lease, Output, RequestAdmission, RunOutcome,
    Task,
};

fn bench() -> Bench {
    Bench::with(|spec| {
        let declaration =
            DirectMessageDeclaration { name: "answer", about: "", timeout: Duration::from_secs(60) };
        spec.direct_message = Some(DirectMessageSpec { declaration, exclusive: false });
    })
}

fn rumor(author: &Keys, kind: u16, to: &[PublicKey], text: &str, at: Timestamp) -> Rumor {
    let tags = to.iter().map(|to| vec!["p".to_owned(), to.to_hex()]);
    Rumor::new(UnsignedEvent::new(kind, text).tags(tags), author.public_key(), at)
}

/// A message from the customer to the agent, wrapped anew each time.
fn message(text: &str) -> VerifiedEvent {
    let to = agent().public_key();
    rumor(&customer(), 14, &[to], text, START).wrap(&customer(), &to, START).unwrap()
}

fn answering(bench: &mut Bench) -> (Lease, Rumor) {
    assert!(!bench.runs.is_empty(), "nothing runs");
    let started = bench.runs.remove(0);
    match started.task {
        Task::DirectMessage(message) => (started.lease, message),
        other => panic!("{other:?}"),
    }
}

fn reply(bench: &mut Bench, lease: Lease, text: Option<&str>) {
    let changes = Changes { reply: text.map(str::to_owned), ..Changes::default() };
    bench.finish(lease, RunOutcome::Done(Output::default()), changes);
}

/// The wraps that were published, with their destinations.
fn wraps(bench: &Bench) -> Vec<(VerifiedEvent, Destination)> {
    bench.published.iter().filter(|(event, _)| event.kind == Kind::GIFT_WRAP).cloned().collect()
}

#[test]
fn is_answered_once_although_it_is_wrapped_twice() {
    let mut bench = bench();
    assert_eq!(bench.ask(&message("hi")), RequestAdmission::Received);
    assert_eq!(bench.ask(&message("hi")), RequestAdmission::Duplicate);
    let (lease, asked) = answering(&mut bench);
    assert_eq!((asked.content.as_str(), asked.pubkey), ("hi", customer().public_key()));
    reply(&mut bench, lease, Some("hello"));
    assert!(bench.runs.is_empty());
    let [(wrap, to)] = wraps(&bench).try_into().unwrap();
    assert_eq!(to, Destination::Inbox { receiver: customer().public_key() });
    let answer = Rumor::unwrap(&wrap, &customer()).unwrap();
    assert_eq!((answer.kind, answer.content.as_str()), (Kind(14), "hello"));
    assert_eq!(answer.pubkey, agent().public_key());
    let expected = [["p", &customer().public_key().to_hex()], ["e", &asked.id.to_hex()]];
    assert_eq!(answer.tags, expected);
    bench.crash();
    assert_eq!(bench.ask(&message("hi")), RequestAdmission::Duplicate);
}

#[test]
fn may_have_no_answer() {
    let mut bench = bench();
    bench.ask(&message("hi"));
    let (lease, _) = answering(&mut bench);
    reply(&mut bench, lease, None);
    assert!(wraps(&bench).is_empty());
}

#[test]
fn goes_to_the_relays_that_its_receiver_names_or_else_to_the_own_one() {
    let own = "wss://own.example".to_owned();
    let inbox = "wss://inbox.example".to_owned();
    for (named, expected) in [
        (vec![], vec![Destination::Own]),
        (vec![inbox.clone()], vec![Destination::Relay(inbox.clone())]),
        (vec![own.clone()], vec![Destination::Own]),
        (vec![inbox.clone(), own], vec![Destination::Own, Destination::Relay(inbox)]),
    ] {
        let mut bench = bench();
        bench.ask(&message("hi"));
        let (lease, _) = answering(&mut bench);
        reply(&mut bench, lease, Some("hello"));
        let entry = *bench.delivering.last().unwrap();
        bench.published.clear();
        bench.give(&Input::Delivered { entry, delivery: Delivery::ReadFrom(named) });
        let destinations: Vec<_> = wraps(&bench).into_iter().map(|(_, to)| to).collect();
        assert_eq!(destinations, expected);
    }
}

#[test]
fn is_not_the_agents_unless_all_fits() {
    let (mut bench, me) = (bench(), agent().public_key());
    let to_me = [me];
    let wrapped = |rumor: Rumor, by: &Keys| rumor.wrap(by, &me, START).unwrap();
    let elsewhere = stranger().public_key();
    let group = [me, elsewhere];
    for wrap in [
        // The agent's own copy of what it has sent.
        wrapped(rumor(&agent(), 14, &[customer().public_key()], "", START), &agent()),
        // Said to be by somebody else.
        wrapped(rumor(&customer(), 14, &to_me, "", START), &stranger()),
        // Not a message, or not for the agent alone.
        wrapped(rumor(&customer(), 7, &to_me, "+", START), &customer()),
        wrapped(rumor(&customer(), 14, &group, "", START), &customer()),
        // For another key.
        rumor(&customer(), 14, &[elsewhere], "", START).wrap(&customer(), &elsewhere, START).unwrap(),
        // Too old.
        wrapped(rumor(&customer(), 14, &to_me, "", START - Duration::from_secs(8 * 86_400)), &customer()),
    ] {
        assert_eq!(bench.ask(&wrap), RequestAdmission::NotOurs);
    }
    assert_eq!(bench.count("received_event"), 0);
}

#[test]
fn is_kept_encrypted_and_forgotten_with_its_author() {
    let mut bench = bench();
    bench.ask(&message("my diagnosis"));
    assert_eq!(bench.count("received_event WHERE instr(json, 'diagnosis')"), 0);
    bench.ask(&UnsignedEvent::new(Kind::VANISH, "").sign(&customer(), START));
    assert_eq!(bench.count("received_event"), 0);
}
