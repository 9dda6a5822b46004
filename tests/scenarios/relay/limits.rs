//! Limits: what NIP-11 publishes under `limitation` is enforced exactly.

use std::sync::Arc;

use openagents_tests::events::{as_json, event, event_at, fresh_author, now};
use openagents_tests::http::request;
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    refuses_an_oversized_message,
    refuses_a_message_of_many_megabytes,
    refuses_content_that_is_too_long,
    refuses_an_event_with_too_many_tags,
    refuses_an_event_from_the_future,
    refuses_a_subscription_too_many,
    refuses_a_subscription_id_that_is_too_long,
    refuses_a_filter_too_many,
    refuses_a_filter_with_too_many_values,
    refuses_too_many_values_of_a_connection,
    clamps_the_limit_of_a_filter,
    ends_an_answer_before_it_gets_too_long,
    keeps_as_many_subscriptions_as_it_says,
    keeps_several_subscriptions_to_eight_hundred_authors,
];

struct Limited {
    server: Arc<Server>,
    client: Client,
    limits: Value,
}

impl Limited {
    async fn new(servers: &Servers) -> Self {
        let server = servers.hello_world();
        let headers = [("Accept", "application/nostr+json")];
        let document = request(server.address(), "GET", "/", &headers).await.expect("an answer").json();
        let client = Client::connect(&server.url()).await;
        Self { server, client, limits: document["limitation"].clone() }
    }

    /// The published limit; fails if the relay publishes none.
    fn limit(&self, name: &str) -> usize {
        let limit = self.limits[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.limits));
        usize::try_from(limit).expect("a sensible limit")
    }
}

async fn refuses_an_oversized_message(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let length = limited.limit("max_message_length");
    // As long as allowed: accepted.
    let frame = |text: &str| json!(["NO-SUCH-VERB", text]).to_string();
    let room = length - frame("").len();
    limited.client.send_text(&frame(&"x".repeat(room))).await;
    assert!(matches!(limited.client.receive().await, Frame::Notice(_)));
    limited.client.expect_alive().await;
    // Longer: the event is rejected, and the connection stays open.
    let oversized = event(&fresh_author(), 1, &[], &"x".repeat(length + 1));
    let answer = limited.client.publish(&oversized).await;
    assert!(answer.refused_as("invalid") || answer.refused_as("restricted"), "{answer:?}");
    limited.client.expect_alive().await;
    assert_eq!(limited.client.query(&[json!({"ids": [oversized.id]})]).await, []);
}

async fn refuses_a_message_of_many_megabytes(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let megabyte = "x".repeat(1024 * 1024);
    limited.client.send_text(&json!(["EVENT", megabyte]).to_string()).await;
    let answer = limited.client.receive().await;
    assert!(matches!(answer, Frame::Notice(_) | Frame::Ok(_, false, _)), "{answer:?}");
    limited.client.expect_alive().await;
    // For extreme lengths a server may close the connection, but it must not crash.
    let mut reckless = Client::connect(&limited.server.url()).await;
    reckless.try_send_text("x".repeat(24 * 1024 * 1024)).await;
    let answer = reckless.receive_within(openagents_tests::wire::PATIENCE).await;
    assert!(matches!(answer, None | Some(Frame::Notice(_))), "{answer:?}");
    limited.client.expect_alive().await;
    Client::connect(&limited.server.url()).await.expect_alive().await;
}

async fn refuses_content_that_is_too_long(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let length = limited.limit("max_content_length");
    let author = fresh_author();
    let longest = event(&author, 1, &[], &"y".repeat(length));
    limited.client.publish_accepted(&longest).await;
    assert_eq!(limited.client.query(&[json!({"ids": [longest.id]})]).await, [longest]);
    let too_long = event(&author, 1, &[], &"y".repeat(length + 1));
    assert!(limited.client.publish(&too_long).await.refused_as("invalid"));
}

async fn refuses_an_event_with_too_many_tags(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let count = limited.limit("max_event_tags");
    let author = fresh_author();
    let values: Vec<String> = (0..=count).map(|number| number.to_string()).collect();
    let tags: Vec<[&str; 2]> = values.iter().map(|value| ["t", value.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(<[&str; 2]>::as_slice).collect();
    let most = event(&author, 1, &tags[..count], "");
    limited.client.publish_accepted(&most).await;
    let found =
        limited.client.query(&[json!({"authors": [author.public_key()], "#t": [values[count - 1]]})]).await;
    assert_eq!(found, [most]);
    let too_many = event(&author, 1, &tags, "");
    assert!(limited.client.publish(&too_many).await.refused_as("invalid"));
}

async fn refuses_an_event_from_the_future(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let ahead = limited.limit("created_at_upper_limit") as u64;
    let author = fresh_author();
    limited.client.publish_accepted(&event_at(&author, now() + ahead - 60, 1, &[], "a fast clock")).await;
    let answer = limited.client.publish(&event_at(&author, now() + ahead + 60, 1, &[], "the future")).await;
    assert!(answer.refused_as("invalid"), "{answer:?}");
    let answer =
        limited.client.publish(&event_at(&author, u64::from(u32::MAX) * 1000, 1, &[], "far off")).await;
    assert!(answer.refused_as("invalid"), "{answer:?}");
}

async fn refuses_a_subscription_too_many(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let count = limited.limit("max_subscriptions");
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()]});
    for number in 0..count {
        limited.client.subscribe(&format!("number-{number}"), std::slice::from_ref(&filter)).await;
    }
    limited.client.send(&json!(["REQ", "one-too-many", filter])).await;
    match limited.client.receive().await {
        Frame::Closed(id, message) => {
            assert_eq!(id, "one-too-many");
            assert!(message.contains(": "), "{message}");
        }
        other => panic!("expected CLOSED, got {other:?}"),
    }
    // Replacing a subscription does not add one, and closing one makes room.
    limited.client.subscribe("number-0", std::slice::from_ref(&filter)).await;
    limited.client.close("number-1").await;
    limited.client.subscribe("one-too-many", std::slice::from_ref(&filter)).await;
}

async fn refuses_a_subscription_id_that_is_too_long(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let length = limited.limit("max_subid_length");
    assert!(length >= 64, "NIP-01 allows 64 characters, this relay {length}");
    let nobody = json!({"ids": ["00".repeat(32)]});
    limited.client.subscribe(&"s".repeat(64), std::slice::from_ref(&nobody)).await;
    limited.client.subscribe(&"é".repeat(32), std::slice::from_ref(&nobody)).await;
    limited.client.send(&json!(["REQ", "s".repeat(length + 1), nobody])).await;
    let answer = limited.client.receive().await;
    assert!(matches!(answer, Frame::Closed(..) | Frame::Notice(_)), "{answer:?}");
    limited.client.expect_alive().await;
}

async fn refuses_a_filter_too_many(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let count = limited.limit("max_filters");
    let nobody = json!({"ids": ["00".repeat(32)]});
    assert_eq!(limited.client.subscribe("most", &vec![nobody.clone(); count]).await, []);
    let mut message = vec![json!("REQ"), json!("too-many")];
    message.extend(vec![nobody; count + 1]);
    limited.client.send(&Value::Array(message)).await;
    let answer = limited.client.receive().await;
    assert!(matches!(&answer, Frame::Closed(id, _) if id == "too-many"), "{answer:?}");
}

async fn refuses_a_filter_with_too_many_values(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let most = limited.limit("max_filter_values");
    // None of these kinds is private.
    let filter =
        |count| json!({"kinds": (10_000..10_000 + count).collect::<Vec<_>>(), "ids": ["00".repeat(32)]});
    assert_eq!(limited.client.subscribe("most", &[filter(most - 1)]).await, []);
    for verb in ["REQ", "COUNT"] {
        limited.client.send(&json!([verb, "too-many", {}, filter(most)])).await;
        let answer = limited.client.receive().await;
        let is_refused = |id: &str, reason: &str| id == "too-many" && reason.starts_with("invalid: ");
        assert!(matches!(&answer, Frame::Closed(id, reason) if is_refused(id, reason)), "{answer:?}");
    }
    limited.client.expect_alive().await;
}

async fn refuses_too_many_values_of_a_connection(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let (each, most) = (limited.limit("max_filter_values"), limited.limit("max_connection_values"));
    let author = fresh_author();
    let filter = |count: usize| json!({"kinds": (10_001..10_000 + count).collect::<Vec<_>>(), "authors": [author.public_key()]});
    for number in 0..most / each {
        limited.client.subscribe(&format!("number-{number}"), &[filter(each)]).await;
    }
    limited.client.send(&json!(["REQ", "too-many", filter(1)])).await;
    let answer = limited.client.receive().await;
    let is_refused = |id: &str, reason: &str| id == "too-many" && reason.starts_with("restricted: ");
    assert!(matches!(&answer, Frame::Closed(id, reason) if is_refused(id, reason)), "{answer:?}");
    // The others go on, and closing one makes room.
    let event = event(&author, 10_001, &[], "");
    let mut publisher = Client::connect(&limited.server.url()).await;
    publisher.publish_accepted(&event).await;
    assert_eq!(limited.client.next_event("number-0").await, event);
    limited.client.close("number-0").await;
    limited.client.subscribe("too-many", &[filter(each)]).await;
}

async fn clamps_the_limit_of_a_filter(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let most = limited.limit("max_limit");
    assert!(most <= 5000, "this scenario publishes {most} events");
    let author = fresh_author();
    let start = now() - 10_000;
    let events: Vec<_> =
        (0..=most as u64).map(|later| event_at(&author, start + later, 1, &[], "one of many")).collect();
    for some in events.chunks(50) {
        for event in some {
            limited.client.send(&json!(["EVENT", as_json(event)])).await;
        }
        for event in some {
            assert!(limited.client.answer_to(&event.id.to_hex()).await.accepted);
        }
    }
    let filter = json!({"authors": [author.public_key()], "limit": most + 1000});
    let found = limited.client.query(&[filter]).await;
    assert_eq!(found.len(), most);
    assert_eq!(found.first(), events.last());
    // Without a limit in the filter, the published default applies.
    let found = limited.client.query(&[json!({"authors": [author.public_key()]})]).await;
    assert_eq!(found.len(), limited.limit("default_limit"));
    assert_eq!(found.first(), events.last());
}

async fn ends_an_answer_before_it_gets_too_long(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let (most, length) = (limited.limit("max_answer_length"), limited.limit("max_content_length"));
    let author = fresh_author();
    let (start, content) = (now() - 1_000, "z".repeat(length));
    let count = most / length + 2;
    let mut events: Vec<_> =
        (0..count as u64).map(|later| event_at(&author, start + later, 1, &[], &content)).collect();
    for event in &events {
        limited.client.publish_accepted(event).await;
    }
    events.reverse();
    let filter = json!({"authors": [author.public_key()]});
    let found = limited.client.query(std::slice::from_ref(&filter)).await;
    let size = |event| as_json(event).to_string().len();
    assert!(found.iter().map(size).sum::<usize>() <= most && found.len() + 3 >= count, "{}", found.len());
    assert_eq!(found, events[..found.len()], "the newest");
    // The rest is found with further queries.
    let until = found.last().expect("some events").created_at;
    let rest = limited.client.query(&[json!({"authors": [author.public_key()], "until": until})]).await;
    assert_eq!(rest, events[found.len() - 1..]);
}

async fn keeps_as_many_subscriptions_as_it_says(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let author = fresh_author();
    let count = limited.limit("max_subscriptions");
    for number in 0..count {
        let filter = json!({"authors": [author.public_key()], "kinds": [2000 + number]});
        limited.client.subscribe(&format!("number-{number}"), &[filter]).await;
    }
    let mut publisher = Client::connect(&limited.server.url()).await;
    for number in [0, count / 2, count - 1] {
        let kind = u16::try_from(2000 + number).expect("a kind");
        let event = event(&author, kind, &[], "");
        publisher.publish_accepted(&event).await;
        assert_eq!(limited.client.next_event(&format!("number-{number}")).await, event);
    }
    limited.client.expect_silence().await;
}

/// As clients subscribe to those whom somebody follows: notes, reactions, profiles and so on.
async fn keeps_several_subscriptions_to_eight_hundred_authors(servers: &Servers) {
    let mut limited = Limited::new(servers).await;
    let author = fresh_author();
    let mut follows: Vec<String> = (0..799).map(|_| fresh_author().public_key().to_hex()).collect();
    follows.push(author.public_key().to_hex());
    let kinds = [1, 3, 6, 7, 9735, 30_023];
    let filter = |kind: u16| json!({"kinds": [kind], "authors": follows});
    for kind in kinds {
        limited.client.subscribe(&format!("of-kind-{kind}"), &[filter(kind)]).await;
    }
    let bytes = kinds.iter().map(|kind| json!([filter(*kind)]).to_string().len()).sum::<usize>();
    assert!(bytes <= limited.limit("max_filters_length"), "{bytes}");
    let mut publisher = servers.client().await;
    for kind in kinds {
        let event = event(&author, kind, &[], "heard");
        publisher.publish_accepted(&event).await;
        assert_eq!(limited.client.next_event(&format!("of-kind-{kind}")).await, event);
    }
}
