//! Whether `EOSE` says that an answer is complete (NIP-67).

use std::collections::BTreeSet;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, now};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    an_answer_with_everything_says_so,
    an_answer_that_was_cut_says_that_there_is_more,
    an_answer_to_several_filters_is_whole_if_all_parts_are,
    an_answer_to_a_search_never_asks_to_go_on_by_time,
    pages_that_end_within_a_second_bring_everything,
];

/// What `EOSE` says, and how many events came before it.
async fn end_of_stored(client: &mut Client, filters: &[Value]) -> (Value, usize) {
    let mut request = vec![json!("REQ"), json!("s")];
    request.extend_from_slice(filters);
    client.send(&Value::Array(request)).await;
    let mut events = 0;
    loop {
        let text = client.receive_text_within(PATIENCE).await.expect("an answer");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        match message[0].as_str() {
            Some("EVENT") => events += 1,
            Some("EOSE") => return (message.get(2).cloned().unwrap_or_default(), events),
            _ => panic!("{text}"),
        }
    }
}

/// Published notes of different ages. Notes of one age would be one event.
async fn publish_notes(client: &mut Client, author: &Keys, number: u64, content: &str) -> Vec<Event> {
    let now = now();
    let notes: Vec<Event> = (1..=number).map(|age| event_at(author, now - age, 1, &[], content)).collect();
    for note in &notes {
        client.publish_accepted(note).await;
    }
    notes
}

async fn an_answer_with_everything_says_so(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let filter = |limit: usize| json!({"authors": [author.public_key()], "limit": limit});
    assert_eq!(end_of_stored(&mut client, &[filter(1)]).await, (json!(["finish"]), 0));
    client.close("s").await;
    let events = publish_notes(&mut client, &author, 3, "x").await;
    assert_eq!(end_of_stored(&mut client, &[filter(10)]).await, (json!(["finish"]), 3));
    // As many as requested, and there are no others.
    assert_eq!(end_of_stored(&mut client, &[filter(3)]).await, (json!(["finish"]), 3));
    let by_id = json!({"ids": [events[0].id]});
    assert_eq!(end_of_stored(&mut client, &[by_id]).await, (json!(["finish"]), 1));
}

async fn an_answer_that_was_cut_says_that_there_is_more(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    publish_notes(&mut client, &author, 3, "x").await;
    let filter = |limit: usize| json!({"authors": [author.public_key()], "limit": limit});
    assert_eq!(end_of_stored(&mut client, &[filter(2)]).await, (json!(["more"]), 2));
    // The relay's own limit has the same effect as the client's.
    let topic = author.public_key().to_hex();
    let large = "x".repeat(120_000);
    for number in 0..40 {
        let content = format!("{number}{large}");
        client.publish_accepted(&event(&author, 1, &[&["t", &topic]], &content)).await;
    }
    let (hint, events) = end_of_stored(&mut client, &[json!({"#t": [topic]})]).await;
    assert_eq!(hint, json!(["more"]));
    assert!(events < 40, "{events}");
}

async fn an_answer_to_several_filters_is_whole_if_all_parts_are(servers: &Servers) {
    let mut client = servers.client().await;
    let [ada, bob] = [fresh_author(), fresh_author()];
    for author in [&ada, &bob] {
        publish_notes(&mut client, author, 2, "x").await;
    }
    let filter = |author: &Keys, limit: usize| json!({"authors": [author.public_key()], "limit": limit});
    let whole = [filter(&ada, 2), filter(&bob, 3)];
    assert_eq!(end_of_stored(&mut client, &whole).await, (json!(["finish"]), 4));
    let cut = [filter(&ada, 1), filter(&bob, 3)];
    assert_eq!(end_of_stored(&mut client, &cut).await, (json!(["more"]), 3));
}

async fn an_answer_to_a_search_never_asks_to_go_on_by_time(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let word = format!("w{}", &author.public_key().to_hex()[..16]);
    publish_notes(&mut client, &author, 3, &word).await;
    let search = |limit: usize| json!({"search": format!("{word} "), "limit": limit});
    assert_eq!(end_of_stored(&mut client, &[search(3)]).await, (json!(["finish"]), 3));
    assert_eq!(end_of_stored(&mut client, &[search(2)]).await, (Value::Null, 2));
    let both = [search(2), json!({"authors": [author.public_key()], "limit": 1})];
    assert_eq!(end_of_stored(&mut client, &both).await.0, Value::Null);
}

async fn pages_that_end_within_a_second_bring_everything(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let second = now() - 100;
    let mut published = BTreeSet::new();
    for number in 0..12 {
        let event = event_at(&author, second + number / 3, 1, &[], &number.to_string());
        client.publish_accepted(&event).await;
        published.insert(event.id);
    }
    // No page ends at the end of a second.
    let (mut found, mut until) = (BTreeSet::new(), now());
    for _ in 0..12 {
        let filter = json!({"authors": [author.public_key()], "limit": 4, "until": until});
        let page = client.query(&[filter]).await;
        found.extend(page.iter().map(|event| event.id));
        match page.last() {
            Some(oldest) if page.len() == 4 => until = oldest.created_at.as_secs(),
            _ => break,
        }
    }
    assert_eq!(found, published);
}
