//! Full-text search (NIP-50).

use nostr_sdk::nostr::Event;
use openagents_tests::events::{event, event_at, fresh_author, now};
use openagents_tests::server::{Host, Object};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    finds_events_by_their_words,
    the_best_come_first_and_the_limit_is_for_them,
    finds_profiles_articles_and_topics,
    other_conditions_hold_as_well,
    several_searches_bring_each_event_once,
    what_comes_later_is_found_by_the_same_query,
    extensions_are_ignored_and_a_query_of_nothing_else_is_refused,
    private_and_encrypted_texts_are_not_found,
    finds_old_and_new_events_when_many_were_indexed,
    what_was_replaced_or_deleted_is_not_found,
    a_connection_has_only_so_many_searches,
];

async fn a_connection_has_only_so_many_searches(servers: &Servers) {
    let mut client = servers.client().await;
    for number in 0..16 {
        client.subscribe(&format!("s{number}"), &[json!({"search": word()})]).await;
    }
    client.send(&json!(["REQ", "one more", {"search": word()}])).await;
    match client.receive().await {
        Frame::Closed(of, reason) => {
            assert!(of == "one more" && reason.starts_with("restricted: "), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    client.send(&json!(["CLOSE", "s0"])).await;
    client.subscribe("one more", &[json!({"search": word()})]).await;
}

/// A word that occurs nowhere else.
fn word() -> String {
    format!("w{}", &fresh_author().public_key().to_hex()[..16])
}

async fn found(client: &mut Client, filter: Value) -> Vec<String> {
    client.query(&[filter]).await.into_iter().map(|event| event.content).collect()
}

async fn published(client: &mut Client, events: &[Event]) {
    for event in events {
        client.publish_accepted(event).await;
    }
}

async fn finds_events_by_their_words(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, word) = (fresh_author(), word());
    let content = format!("The Best {} apps: Crème brûlée, 東京タワー", word.to_uppercase());
    published(&mut client, &[event(&author, 1, &[], &content), event(&author, 1, &[], "nothing of it")])
        .await;
    for (query, is_found) in [
        (word.clone(), true),
        (format!("apps {word} best"), true),
        (format!("{word} creme brulee"), true),
        (format!("{word} 東京"), true),
        (format!("\"best {word} apps\""), true),
        (format!("\"apps {word} best\""), false),
        (format!("{word} -creme"), false),
        (format!("{word} missing"), false),
        (word[..12].to_owned(), true),
        (format!("{} ", &word[..12]), false),
        (format!("{word} AND OR NOT NEAR( * ^ ' \\ content:"), false),
    ] {
        assert_eq!(
            found(&mut client, json!({ "search": query })).await.len(),
            usize::from(is_found),
            "{query}"
        );
    }
}

async fn the_best_come_first_and_the_limit_is_for_them(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, word) = (fresh_author(), word());
    let texts = [
        format!("{word} is one of very many words that somebody has written in this rather long text"),
        format!("{word} {word} {word}"),
        format!("{word} and little else"),
    ];
    let events: Vec<Event> =
        (0..).zip(&texts).map(|(age, text)| event_at(&author, now() - age, 1, &[], text)).collect();
    published(&mut client, &events).await;
    let best = [1, 2, 0].map(|index| texts[index].clone());
    assert_eq!(found(&mut client, json!({ "search": word })).await, best);
    assert_eq!(found(&mut client, json!({ "search": word, "limit": 2 })).await, best[..2]);
    assert_eq!(found(&mut client, json!({ "search": word, "limit": 0 })).await, [""; 0]);
}

async fn finds_profiles_articles_and_topics(servers: &Servers) {
    let mut client = servers.client().await;
    let word = word();
    let profile = json!({"name": word, "about": "counts", "picture": "https://picture.example"}).to_string();
    let events = [
        event(&fresh_author(), 0, &[], &profile),
        event(&fresh_author(), 30_023, &[&["d", "a"], &["title", &word]], "an article"),
        event(&fresh_author(), 1, &[&["t", &word]], "a topic"),
        event(&fresh_author(), 31_990, &[&["d", "a"]], &profile),
    ];
    published(&mut client, &events).await;
    assert_eq!(found(&mut client, json!({ "search": word })).await.len(), 4);
    assert_eq!(found(&mut client, json!({ "search": format!("{word} counts") })).await.len(), 2);
    assert_eq!(found(&mut client, json!({ "search": format!("{word} picture") })).await.len(), 0);
}

async fn other_conditions_hold_as_well(servers: &Servers) {
    let mut client = servers.client().await;
    let ([ada, bob], word) = ([fresh_author(), fresh_author()], word());
    let events = [
        event_at(&ada, now() - 100, 1, &[&["t", "a"]], &format!("{word} one")),
        event_at(&ada, now(), 9_000, &[], &format!("{word} two")),
        event_at(&bob, now(), 1, &[], &format!("{word} three")),
    ];
    published(&mut client, &events).await;
    for (filter, count) in [
        (json!({ "search": word, "kinds": [1] }), 2),
        (json!({ "search": word, "authors": [ada.public_key()] }), 2),
        (json!({ "search": word, "#t": ["a"] }), 1),
        (json!({ "search": word, "since": now() - 50 }), 2),
        (json!({ "search": word, "until": now() - 50 }), 1),
        (json!({ "search": word, "ids": [events[2].id] }), 1),
        (json!({ "search": word, "kinds": [] }), 0),
    ] {
        assert_eq!(found(&mut client, filter.clone()).await.len(), count, "{filter}");
    }
}

async fn several_searches_bring_each_event_once(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, [one, two]) = (fresh_author(), [word(), word()]);
    let texts = [format!("{one} x"), format!("{one} {two}"), format!("{two} x"), "neither".to_owned()];
    for text in &texts {
        client.publish_accepted(&event(&author, 1, &[], text)).await;
    }
    let searches = [json!({ "search": one }), json!({ "search": two })];
    assert_eq!(client.query(&searches).await.len(), 3);
    let mixed = [json!({ "search": one }), json!({ "authors": [author.public_key()] })];
    let stored = client.query(&mixed).await;
    assert_eq!(stored.len(), 4);
    assert!(
        stored[..2].iter().all(|event| event.content.contains(&one)),
        "what was searched for comes first"
    );
}

async fn what_comes_later_is_found_by_the_same_query(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, word) = (fresh_author(), word());
    let query = json!({ "search": format!("\"{word} apps\" -spam") });
    assert_eq!(client.subscribe("s", std::slice::from_ref(&query)).await, []);
    for (text, matches) in [
        (format!("best {word}, apps"), true),
        (format!("{word} spam apps"), false),
        (format!("{word} apps are spam"), false),
        ("something else".to_owned(), false),
    ] {
        let event = event(&author, 1, &[], &text);
        client.publish_accepted(&event).await;
        if matches {
            assert_eq!(client.next_event("s").await, event);
        }
        client.expect_silence().await;
    }
    assert_eq!(found(&mut client, query).await.len(), 1);
}

async fn extensions_are_ignored_and_a_query_of_nothing_else_is_refused(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, word) = (fresh_author(), word());
    client.publish_accepted(&event(&author, 1, &[], &word)).await;
    let query = format!("include:spam {word} domain:example.com language:en sentiment:positive nsfw:false");
    assert_eq!(found(&mut client, json!({ "search": query })).await, [word]);
    for query in ["", "include:spam", "!", "-word", &"a ".repeat(33)] {
        client.send(&json!(["REQ", "s", { "search": query }])).await;
        let closed = |frame: &Frame| match frame {
            Frame::Closed(of, why) if of == "s" => Some(why.clone()),
            Frame::Event(..) | Frame::EndOfStored(_) => panic!("{query:?} was answered"),
            _ => None,
        };
        let why = client.find(closed, "CLOSED").await;
        assert!(why.starts_with("invalid: \"search\" must be a text"), "{query:?}: {why}");
    }
}

async fn private_and_encrypted_texts_are_not_found(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, word) = (fresh_author(), word());
    let addressee = fresh_author().public_key().to_hex();
    let events = [
        event(&author, 4, &[&["p", &addressee]], &word),
        event(&author, 1_059, &[&["p", &addressee]], &word),
        event(&author, 5_999, &[&["encrypted"], &["p", &addressee]], &word),
        event(&author, 7, &[], &word),
    ];
    published(&mut client, &events).await;
    assert_eq!(found(&mut client, json!({ "search": word })).await, [""; 0]);
}

async fn finds_old_and_new_events_when_many_were_indexed(servers: &Servers) {
    let server = servers.own("hello-world");
    let mut client = Client::connect(&server.url()).await;
    let (author, word) = (fresh_author(), word());
    let text = |number: u64| format!("number {number} of {word}");
    // Enough for the index to be updated, and a few that arrive too late for it.
    for number in 0..700_u64 {
        let event = event_at(&author, now() - 1_000 + number, 1, &[], &text(number));
        client.send(&json!(["EVENT", event])).await;
    }
    client.expect_alive().await;
    let exactly = |number: u64| json!({ "search": format!("\"number {number} of {word}\"") });
    for number in [0, 1, 350, 699] {
        assert_eq!(found(&mut client, exactly(number)).await, [text(number)]);
    }
    if servers.host() == Host::Workerd {
        server.hibernate(Object::Relay).unwrap_or_else(|error| panic!("{error}"));
    }
    client.publish_accepted(&event_at(&author, now() - 2_000, 1, &[], &text(1_000))).await;
    client.publish_accepted(&event_at(&author, now(), 1, &[], &text(1_001))).await;
    for number in [0, 699, 1_000, 1_001] {
        assert_eq!(found(&mut client, exactly(number)).await, [text(number)]);
    }
    assert_eq!(found(&mut client, json!({ "search": word, "limit": 1_000 })).await.len(), 702);
}

async fn what_was_replaced_or_deleted_is_not_found(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, [old, new]) = (fresh_author(), [word(), word()]);
    let profile =
        |age: u64, word: &str| event_at(&author, now() - age, 0, &[], &json!({ "name": word }).to_string());
    client.publish_accepted(&profile(2, &old)).await;
    assert_eq!(found(&mut client, json!({ "search": old })).await.len(), 1);
    client.publish_accepted(&profile(1, &new)).await;
    assert_eq!(found(&mut client, json!({ "search": old })).await.len(), 0);
    assert_eq!(found(&mut client, json!({ "search": new })).await.len(), 1);
    let note = event(&author, 1, &[], &new);
    client.publish_accepted(&note).await;
    client.publish_accepted(&event(&author, 5, &[&["e", &note.id.to_hex()]], "")).await;
    assert_eq!(found(&mut client, json!({ "search": new })).await.len(), 1);
}
