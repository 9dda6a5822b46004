//! Tests which notes the agent recommends.

use std::time::Duration;

use content_discovery::ContentDiscovery;
use openagents_sdk::nostr::{EventId, Kind, PublicKey, UnsignedEvent, VerifiedEvent};
use openagents_sdk::serde_json;
use openagents_sdk::testing::{Job, TestAgent, customer};

fn publish(agent: &mut TestAgent<ContentDiscovery>, author: u8, event: UnsignedEvent) -> VerifiedEvent {
    let event = event.sign(&customer(author), agent.now());
    agent.publish(&event);
    event
}

fn recommended(agent: &mut TestAgent<ContentDiscovery>, job: Job) -> Vec<EventId> {
    let job = agent.submit(job);
    let tags: Vec<[String; 2]> = serde_json::from_str(&agent.result(&job).content).unwrap();
    tags.iter().map(|tag| EventId::from_hex(&tag[1]).unwrap()).collect()
}

fn follows(key: PublicKey) -> UnsignedEvent {
    UnsignedEvent::new(Kind(3), "").tag(["p".to_owned(), key.to_hex()])
}

#[test]
fn recommends_what_is_discussed_before_what_is_new_and_nothing_of_yesterday() {
    let mut agent = TestAgent::<ContentDiscovery>::start();
    publish(&mut agent, 2, UnsignedEvent::new(Kind(1), "yesterday's"));
    agent.advance(Duration::from_secs(25 * 60 * 60));
    let discussed = publish(&mut agent, 2, UnsignedEvent::new(Kind(1), "discussed"));
    agent.advance(Duration::from_secs(600));
    let new = publish(&mut agent, 3, UnsignedEvent::new(Kind(1), "new"));
    assert_eq!(recommended(&mut agent, Job::of(5300)), [new.id, discussed.id]);
    for author in 4..7 {
        publish(
            &mut agent,
            author,
            UnsignedEvent::new(Kind(7), "+").tag(["e".to_owned(), discussed.id.to_hex()]),
        );
    }
    assert_eq!(recommended(&mut agent, Job::of(5300)), [discussed.id, new.id]);
    assert_eq!(recommended(&mut agent, Job::of(5300).param("max_results", "1")), [discussed.id]);
}

#[test]
fn recommends_to_a_user_what_those_write_whom_they_follow() {
    let mut agent = TestAgent::<ContentDiscovery>::start();
    let (friend, user) = (customer(2).public_key(), customer(9).public_key().to_hex());
    let theirs = publish(&mut agent, 2, UnsignedEvent::new(Kind(1), "a friend's"));
    publish(&mut agent, 3, UnsignedEvent::new(Kind(1), "a stranger's"));
    let job = || Job::of(5300).param("user", &user);
    assert_eq!(recommended(&mut agent, job()).len(), 2, "nobody knows whom they follow");
    publish(&mut agent, 9, follows(friend));
    assert_eq!(recommended(&mut agent, job()), [theirs.id]);
}

#[test]
fn recommends_nothing_where_nothing_is() {
    let mut agent = TestAgent::<ContentDiscovery>::start();
    let job = agent.submit(Job::of(5300));
    assert_eq!(agent.result(&job).content, "[]");
}
