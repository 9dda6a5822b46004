//! Ten thousand subscriptions on a thousand sockets: each gets its next event exactly once, whatever the relay has
//! forgotten meanwhile.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, fresh_author};
use openagents_tests::server::{Host, Object, Server, raise_open_files};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    ten_thousand_subscriptions_hear_their_next_event_once,
    subscriptions_too_long_for_an_attachment_survive,
];

const SOCKETS: usize = 1_000;
const SUBSCRIPTIONS_OF_EACH: usize = 10;
/// The number of subscriptions that an event matches.
const ADDRESSEES: usize = 100;

/// Many sockets with subscriptions.
struct Crowd {
    server: Server,
    sockets: Vec<Client>,
    of_each: usize,
    /// Separates this test's topics from all others.
    name: String,
}

impl Crowd {
    /// Connects and subscribes. Each filter has the topic of its subscription, and `padding` that matches nothing.
    async fn gather(servers: &Servers, sockets: usize, of_each: usize, padding: usize) -> Self {
        raise_open_files();
        // No agent takes part. The relay of this example refuses many hashtags, so topics are labels (NIP-32).
        let server = servers.own("relay");
        let name = fresh_author().public_key().to_hex()[..8].to_owned();
        let mut crowd = Self { server, sockets: Vec::new(), of_each, name };
        for _ in 0..sockets {
            crowd.sockets.push(Client::connect(&crowd.server.url()).await);
        }
        // All send before anyone is answered, so that the relay has much to do at once.
        for number in 0..sockets {
            for own in 0..of_each {
                let topic = crowd.topic(number * of_each + own);
                let padding = (0..padding).map(|n| format!("{topic} padding {n}"));
                let topics: Vec<String> = std::iter::once(topic.clone()).chain(padding).collect();
                let request = json!(["REQ", own.to_string(), {"#l": topics, "limit": 0}]);
                crowd.sockets[number].send(&request).await;
            }
        }
        for (number, socket) in crowd.sockets.iter_mut().enumerate() {
            for own in 0..of_each {
                let answer = socket.receive_text_within(PATIENCE * 4).await.expect("an answer");
                let answer: Value = serde_json::from_str(&answer).expect("JSON");
                assert_eq!((&answer[0], &answer[1]), (&json!("EOSE"), &json!(own.to_string())), "{number}");
            }
        }
        crowd
    }

    fn topic(&self, subscription: usize) -> String {
        format!("{} {subscription}", self.name)
    }

    /// One event for every hundred subscriptions, which are spread as far apart as possible.
    fn events(&self, author: &Keys, round: &str) -> Vec<Event> {
        let subscriptions = self.sockets.len() * self.of_each;
        let events = subscriptions.div_ceil(ADDRESSEES);
        let for_each = |number: usize| {
            let topics: Vec<String> = (number..subscriptions)
                .step_by(events)
                .map(|subscription| self.topic(subscription))
                .collect();
            let tags: Vec<[&str; 2]> = topics.iter().map(|topic| ["l", topic.as_str()]).collect();
            let tags: Vec<&[&str]> = tags.iter().map(<[&str; 2]>::as_slice).collect();
            event(author, 1, &tags, round)
        };
        (0..events).map(for_each).collect()
    }

    fn forget(&self) {
        if self.server.host() == Host::Workerd {
            self.server.hibernate(Object::Relay).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Publishes, lets the relay forget halfway, and expects each subscription to get its event once.
    async fn hears(&mut self, round: &str) {
        let events = self.events(&fresh_author(), round);
        let (first, second) = events.split_at(events.len() / 2);
        for half in [first, second] {
            self.forget();
            let mut publisher = Client::connect(&self.server.url()).await;
            for event in half {
                publisher.send(&json!(["EVENT", as_json(event)])).await;
            }
            for event in half {
                assert!(publisher.answer_to(&event.id.to_hex()).await.accepted);
            }
        }
        for (number, socket) in self.sockets.iter_mut().enumerate() {
            let mut heard = HashSet::new();
            for _ in 0..self.of_each {
                let received = socket.receive_text_within(PATIENCE).await;
                let received = received.unwrap_or_else(|| panic!("socket {number} heard only {heard:?}"));
                let message: Value = serde_json::from_str(&received).expect("JSON");
                assert_eq!((&message[0], &message[2]["content"]), (&json!("EVENT"), &json!(round)));
                let own: usize =
                    message[1].as_str().and_then(|own| own.parse().ok()).expect("a subscription");
                let topic = json!(["l", format!("{} {}", self.name, number * self.of_each + own)]);
                assert!(message[2]["tags"].as_array().expect("tags").contains(&topic), "not for {topic}");
                assert!(heard.insert(own), "socket {number} heard {own} twice");
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        for (number, socket) in self.sockets.iter_mut().enumerate() {
            let more = socket.receive_text_within(Duration::from_millis(1)).await;
            assert_eq!(more, None, "socket {number} heard something once more");
        }
    }
}

async fn ten_thousand_subscriptions_hear_their_next_event_once(servers: &Servers) {
    let started = Instant::now();
    let mut crowd = Crowd::gather(servers, SOCKETS, SUBSCRIPTIONS_OF_EACH, 0).await;
    let gathered = started.elapsed();
    for round in ["first", "second"] {
        crowd.hears(round).await;
    }
    println!(
        "{}: {SOCKETS} sockets with {SUBSCRIPTIONS_OF_EACH} subscriptions each in {gathered:?}, 2 events each in {:?}",
        servers.host().name(),
        started.elapsed() - gathered
    );
}

async fn subscriptions_too_long_for_an_attachment_survive(servers: &Servers) {
    // 10 filters of 2.4 KB each: more than the 16 KiB that can be attached to a Durable Object's socket.
    let mut crowd = Crowd::gather(servers, 20, SUBSCRIPTIONS_OF_EACH, 80).await;
    crowd.hears("long").await;
    // And back: short filters are attached again.
    for socket in &mut crowd.sockets {
        for own in 3..SUBSCRIPTIONS_OF_EACH {
            socket.close(&own.to_string()).await;
        }
        socket.expect_alive().await;
    }
    crowd.forget();
    let events = crowd.events(&fresh_author(), "short");
    let mut publisher = Client::connect(&crowd.server.url()).await;
    for event in &events {
        publisher.publish_accepted(event).await;
    }
    for socket in &mut crowd.sockets {
        let mut heard = HashSet::new();
        while let Some(received) = socket.receive_text_within(Duration::from_millis(500)).await {
            let message: Value = serde_json::from_str(&received).expect("JSON");
            assert!(heard.insert(message[1].as_str().expect("a name").to_owned()), "{message}");
        }
        assert_eq!(heard, ["0", "1", "2"].map(str::to_owned).into());
    }
}
