//! Querying (NIP-01): which stored events a filter returns, and in which order.

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, note, now};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    finds_by_id,
    finds_by_author,
    finds_by_kind,
    finds_by_single_letter_tag,
    tells_upper_case_tags_from_lower_case,
    indexes_only_the_first_value_of_a_tag,
    since_and_until_include_their_ends,
    conditions_of_one_filter_all_have_to_hold,
    two_filters_return_an_event_once,
    returns_newest_first_and_ties_by_lowest_id,
    limit_keeps_the_newest,
    limit_zero_returns_nothing_stored,
    each_filter_has_its_own_limit,
    an_empty_list_matches_nothing,
    a_filter_with_hundreds_of_authors_works,
    a_filter_may_have_every_letter,
    refuses_a_filter_that_is_not_one,
];

async fn a_filter_may_have_every_letter(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
    let value = fresh_author().public_key().to_hex();
    let tags: Vec<Vec<&str>> = letters.iter().map(|letter| vec![letter.as_str(), &value]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    let all = event(&author, 1, &tags, "all letters");
    published(&mut client, &[all.clone(), event(&author, 1, &tags[1..], "all but one")]).await;
    let filter: serde_json::Map<String, Value> =
        letters.iter().map(|letter| (format!("#{letter}"), json!([value]))).collect();
    expect(&mut client, Value::Object(filter), &[&all]).await;
}

async fn published(client: &mut Client, events: &[Event]) {
    for event in events {
        client.publish_accepted(event).await;
    }
}

fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id)));
    events
}

async fn expect(client: &mut Client, filter: Value, expected: &[&Event]) {
    let found = client.query(std::slice::from_ref(&filter)).await;
    let expected = sorted(expected.iter().map(|event| (*event).clone()).collect());
    assert_eq!(found, expected, "for the filter {filter}");
}

async fn finds_by_id(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let [a, b, c] = ["a", "b", "c"].map(|content| note(&author, content));
    published(&mut client, &[a.clone(), b.clone(), c]).await;
    expect(&mut client, json!({"ids": [a.id]}), &[&a]).await;
    expect(&mut client, json!({"ids": [a.id, b.id, "00".repeat(32)]}), &[&a, &b]).await;
}

async fn finds_by_author(servers: &Servers) {
    let mut client = servers.client().await;
    let (ada, grace) = (fresh_author(), fresh_author());
    let (a, b) = (note(&ada, "a"), note(&grace, "b"));
    published(&mut client, &[a.clone(), b.clone()]).await;
    expect(&mut client, json!({"authors": [ada.public_key()]}), &[&a]).await;
    expect(&mut client, json!({"authors": [ada.public_key(), grace.public_key()]}), &[&a, &b]).await;
    expect(&mut client, json!({"authors": [fresh_author().public_key()]}), &[]).await;
}

async fn finds_by_kind(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let (one, two) = (event(&author, 1, &[], ""), event(&author, 9000, &[], ""));
    published(&mut client, &[one.clone(), two.clone()]).await;
    let authors = json!([author.public_key()]);
    expect(&mut client, json!({"authors": authors, "kinds": [1]}), &[&one]).await;
    expect(&mut client, json!({"authors": authors, "kinds": [1, 9000]}), &[&one, &two]).await;
    expect(&mut client, json!({"authors": authors, "kinds": [2]}), &[]).await;
}

async fn finds_by_single_letter_tag(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let topic = fresh_author().public_key().to_hex();
    let tagged = event(&author, 1, &[&["t", &topic], &["t", "second"]], "");
    let referring = event(&author, 1, &[&["e", &topic], &["p", &topic, "wss://hint"]], "");
    let plain = note(&author, "");
    published(&mut client, &[tagged.clone(), referring.clone(), plain]).await;
    expect(&mut client, json!({"#t": [topic]}), &[&tagged]).await;
    expect(&mut client, json!({"#t": ["second"], "authors": [author.public_key()]}), &[&tagged]).await;
    expect(&mut client, json!({"#e": [topic]}), &[&referring]).await;
    expect(&mut client, json!({"#p": [topic, "00".repeat(32)]}), &[&referring]).await;
    expect(&mut client, json!({"#p": [topic], "#t": [topic]}), &[]).await;
}

async fn tells_upper_case_tags_from_lower_case(servers: &Servers) {
    let mut client = servers.client().await;
    let value = fresh_author().public_key().to_hex();
    let lower = event(&fresh_author(), 1, &[&["k", &value]], "");
    let upper = event(&fresh_author(), 1, &[&["K", &value]], "");
    published(&mut client, &[lower.clone(), upper.clone()]).await;
    expect(&mut client, json!({"#k": [value]}), &[&lower]).await;
    expect(&mut client, json!({"#K": [value]}), &[&upper]).await;
}

async fn indexes_only_the_first_value_of_a_tag(servers: &Servers) {
    let mut client = servers.client().await;
    let value = fresh_author().public_key().to_hex();
    let event = event(&fresh_author(), 1, &[&["t", "first", &value], &["title", &value]], "");
    published(&mut client, &[event]).await;
    expect(&mut client, json!({"#t": [value]}), &[]).await;
}

async fn since_and_until_include_their_ends(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let start = now() - 1000;
    let [first, second, third] = [0, 10, 20].map(|later| event_at(&author, start + later, 1, &[], ""));
    published(&mut client, &[second.clone(), first.clone(), third.clone()]).await;
    let authors = json!([author.public_key()]);
    expect(&mut client, json!({"authors": authors, "since": start + 10}), &[&second, &third]).await;
    expect(&mut client, json!({"authors": authors, "until": start + 10}), &[&first, &second]).await;
    expect(&mut client, json!({"authors": authors, "since": start + 10, "until": start + 10}), &[&second])
        .await;
    expect(&mut client, json!({"authors": authors, "since": start + 11, "until": start + 19}), &[]).await;
}

async fn conditions_of_one_filter_all_have_to_hold(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let both = event(&author, 1, &[&["t", "x"], &["r", "y"]], "");
    let only_tag = event(&author, 1, &[&["t", "x"]], "");
    published(&mut client, &[both.clone(), only_tag.clone()]).await;
    let authors = json!([author.public_key()]);
    expect(&mut client, json!({"authors": authors, "#t": ["x"]}), &[&both, &only_tag]).await;
    expect(&mut client, json!({"authors": authors, "#t": ["x"], "#r": ["y"]}), &[&both]).await;
    expect(&mut client, json!({"authors": authors, "#t": ["x"], "#r": ["y"], "kinds": [2]}), &[]).await;
    expect(&mut client, json!({"ids": [both.id], "authors": [fresh_author().public_key()]}), &[]).await;
}

async fn two_filters_return_an_event_once(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let start = now() - 1000;
    let events: Vec<Event> = (0..4).map(|later| event_at(&author, start + later, 1, &[], "")).collect();
    published(&mut client, &events).await;
    let everything = json!({"authors": [author.public_key()]});
    let newer = json!({"authors": [author.public_key()], "since": start + 2});
    let one = json!({"ids": [events[0].id]});
    let found = client.query(&[newer, everything, one]).await;
    assert_eq!(found, sorted(events), "each once, newest first over all filters");
}

async fn returns_newest_first_and_ties_by_lowest_id(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let start = now() - 1000;
    let events: Vec<Event> =
        (0..12).map(|number| event_at(&author, start + number % 3, 1, &[], &number.to_string())).collect();
    published(&mut client, &events).await;
    let found = client.query(&[json!({"authors": [author.public_key()]})]).await;
    assert_eq!(found, sorted(events));
}

fn ladder(author: &Keys, length: u64) -> Vec<Event> {
    let start = now() - 1000;
    (0..length).map(|later| event_at(author, start + later, 1, &[&["t", "ladder"]], "")).collect()
}

async fn limit_keeps_the_newest(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let events = ladder(&author, 6);
    published(&mut client, &events).await;
    let authors = json!([author.public_key()]);
    expect(&mut client, json!({"authors": authors, "limit": 2}), &[&events[5], &events[4]]).await;
    expect(&mut client, json!({"authors": authors, "#t": ["ladder"], "limit": 1}), &[&events[5]]).await;
    expect(
        &mut client,
        json!({"authors": authors, "until": events[2].created_at, "limit": 1}),
        &[&events[2]],
    )
    .await;
}

async fn limit_zero_returns_nothing_stored(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    published(&mut client, &ladder(&author, 2)).await;
    let filter = json!({"authors": [author.public_key()], "limit": 0});
    assert_eq!(client.subscribe("new-only", &[filter]).await, []);
    let live = note(&author, "live");
    client.publish_accepted(&live).await;
    assert_eq!(client.next_event("new-only").await, live);
}

async fn each_filter_has_its_own_limit(servers: &Servers) {
    let mut client = servers.client().await;
    let (ada, grace) = (fresh_author(), fresh_author());
    let (of_ada, of_grace) = (ladder(&ada, 3), ladder(&grace, 3));
    published(&mut client, &of_ada).await;
    published(&mut client, &of_grace).await;
    let found = client
        .query(&[
            json!({"authors": [ada.public_key()], "limit": 1}),
            json!({"authors": [grace.public_key()], "limit": 2}),
        ])
        .await;
    let expected = vec![of_ada[2].clone(), of_grace[2].clone(), of_grace[1].clone()];
    assert_eq!(found, sorted(expected));
}

async fn an_empty_list_matches_nothing(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    published(&mut client, &ladder(&author, 1)).await;
    for empty in ["ids", "authors", "kinds", "#t"] {
        let mut filter = json!({"authors": [author.public_key()]});
        filter[empty] = json!([]);
        client.send(&json!(["REQ", empty, filter])).await;
        // Either an empty answer or a rejection; never "everything".
        match client.receive().await {
            Frame::EndOfStored(_) => {}
            Frame::Closed(_, message) => assert!(message.contains(": "), "{message}"),
            other => panic!("for an empty {empty}: {other:?}"),
        }
    }
}

async fn a_filter_with_hundreds_of_authors_works(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "found among hundreds");
    client.publish_accepted(&event).await;
    // A Durable Object's SQL binds at most a hundred values.
    let mut authors: Vec<String> = (0..300).map(|number| format!("{number:064x}")).collect();
    authors.push(author.public_key().to_hex());
    expect(&mut client, json!({"authors": authors, "kinds": [1]}), &[&event]).await;
    let mut ids: Vec<String> = (0..300).map(|number| format!("{number:064x}")).collect();
    ids.push(event.id.to_hex());
    expect(&mut client, json!({"ids": ids}), &[&event]).await;
}

async fn refuses_a_filter_that_is_not_one(servers: &Servers) {
    let mut client = servers.client().await;
    let wrong = [
        json!({"ids": ["abc"]}),
        json!({"ids": ["AB".repeat(32)]}),
        json!({"authors": ["zz".repeat(32)]}),
        json!({"#e": ["not hexadecimal"]}),
        json!({"#p": ["00".repeat(31)]}),
        json!({"kinds": ["1"]}),
        json!({"kinds": [1.5]}),
        json!({"ids": "00".repeat(32)}),
        json!({"since": "yesterday"}),
        json!({"until": -1}),
        json!({"limit": -1}),
        json!({"limit": 1.5}),
        json!({"#t": [1]}),
        json!([]),
        json!("filter"),
        json!(null),
    ];
    for filter in wrong {
        client.send(&json!(["REQ", "wrong", filter])).await;
        match client.receive().await {
            Frame::Closed(id, message) => {
                assert_eq!(id, "wrong");
                assert!(
                    message.starts_with("invalid: ") || message.starts_with("unsupported: "),
                    "{message}"
                );
            }
            other => panic!("for {filter}: expected CLOSED, got {other:?}"),
        }
    }
    client.expect_alive().await;
}
