//! Replaceable, addressable and ephemeral events (NIP-01, "Kinds").

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, now};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    a_newer_replaceable_event_replaces_the_older,
    an_older_replaceable_event_does_not_return,
    of_two_in_the_same_second_the_lowest_id_stays,
    replaceable_kinds_and_authors_do_not_mix,
    addressable_events_are_replaced_by_their_d_tag,
    addressable_kinds_begin_and_end_where_nip01_has_them,
    a_missing_d_tag_is_an_empty_one,
    a_replacement_reaches_subscribers,
    an_ephemeral_event_is_sent_but_not_stored,
    an_ephemeral_event_survives_no_second_subscription,
];

async fn stored(client: &mut Client, author: &Keys, kind: u16) -> Vec<Event> {
    client.query(&[json!({"authors": [author.public_key()], "kinds": [kind]})]).await
}

async fn a_newer_replaceable_event_replaces_the_older(servers: &Servers) {
    let mut client = servers.client().await;
    for kind in [0, 3, 10_000, 19_999] {
        let author = fresh_author();
        let older = event_at(&author, now() - 10, kind, &[], "older");
        let newer = event_at(&author, now(), kind, &[], "newer");
        client.publish_accepted(&older).await;
        client.publish_accepted(&newer).await;
        assert_eq!(stored(&mut client, &author, kind).await, [newer], "kind {kind}");
        assert_eq!(client.query(&[json!({"ids": [older.id]})]).await, []);
    }
}

async fn an_older_replaceable_event_does_not_return(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let older = event_at(&author, now() - 10, 10_002, &[], "older");
    let newer = event_at(&author, now(), 10_002, &[], "newer");
    client.publish_accepted(&newer).await;
    let answer = client.publish(&older).await;
    assert!(!answer.accepted || answer.message.starts_with("duplicate: "), "{answer:?}");
    assert_eq!(stored(&mut client, &author, 10_002).await, [newer]);
}

async fn of_two_in_the_same_second_the_lowest_id_stays(servers: &Servers) {
    let mut client = servers.client().await;
    for lowest_first in [true, false] {
        let author = fresh_author();
        let time = now();
        let mut pair = ["a", "b"].map(|content| event_at(&author, time, 0, &[], content));
        pair.sort_by_key(|event| event.id);
        let lowest = pair[0].clone();
        if !lowest_first {
            pair.reverse();
        }
        for event in &pair {
            client.publish(event).await;
        }
        assert_eq!(stored(&mut client, &author, 0).await, [lowest]);
    }
}

async fn replaceable_kinds_and_authors_do_not_mix(servers: &Servers) {
    let mut client = servers.client().await;
    let (ada, grace) = (fresh_author(), fresh_author());
    for author in [&ada, &grace] {
        client.publish_accepted(&event(author, 0, &[], "profile")).await;
        client.publish_accepted(&event(author, 10_002, &[], "relays")).await;
    }
    for author in [&ada, &grace] {
        assert_eq!(stored(&mut client, author, 0).await.len(), 1);
        assert_eq!(stored(&mut client, author, 10_002).await.len(), 1);
    }
}

async fn addressable_events_are_replaced_by_their_d_tag(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let time = now();
    let first = event_at(&author, time - 2, 30_023, &[&["d", "page"]], "first version");
    let other = event_at(&author, time - 1, 30_023, &[&["d", "another"]], "another page");
    let second = event_at(&author, time, 30_023, &[&["d", "page"]], "second version");
    for event in [&first, &other, &second] {
        client.publish_accepted(event).await;
    }
    assert_eq!(stored(&mut client, &author, 30_023).await, [second.clone(), other]);
    let by_address = json!({"authors": [author.public_key()], "kinds": [30_023], "#d": ["page"]});
    assert_eq!(client.query(&[by_address]).await, [second]);
}

async fn addressable_kinds_begin_and_end_where_nip01_has_them(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    for (kind, versions) in [(30_000, 1), (39_999, 1), (40_000, 2), (9_999, 2)] {
        for (age, content) in [(2, "older"), (1, "newer")] {
            client.publish_accepted(&event_at(&author, now() - age, kind, &[&["d", "page"]], content)).await;
        }
        assert_eq!(stored(&mut client, &author, kind).await.len(), versions, "kind {kind}");
    }
    // Of two events in the same second, the one with the lowest id stays, as for replaceable events.
    for lowest_first in [true, false] {
        let time = now();
        let page = [["d", if lowest_first { "a" } else { "b" }]];
        let tags: Vec<&[&str]> = page.iter().map(<[&str; 2]>::as_slice).collect();
        let mut pair = ["a", "b"].map(|content| event_at(&author, time, 30_001, &tags, content));
        pair.sort_by_key(|event| event.id);
        let lowest = pair[0].clone();
        if !lowest_first {
            pair.reverse();
        }
        for event in &pair {
            client.publish(event).await;
        }
        let address = json!({"authors": [author.public_key()], "kinds": [30_001], "#d": [page[0][1]]});
        assert_eq!(client.query(&[address]).await, [lowest]);
    }
}

async fn a_missing_d_tag_is_an_empty_one(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let time = now();
    let missing = event_at(&author, time - 3, 30_001, &[], "no d tag");
    let empty = event_at(&author, time - 2, 30_001, &[&["d", ""]], "an empty d tag");
    let bare = event_at(&author, time - 1, 30_001, &[&["d"]], "a d tag without value");
    for event in [&missing, &empty, &bare] {
        client.publish_accepted(event).await;
    }
    assert_eq!(stored(&mut client, &author, 30_001).await, [bare]);
}

async fn a_replacement_reaches_subscribers(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.publish_accepted(&event_at(&author, now() - 5, 0, &[], "older")).await;
    client.subscribe("profile", &[json!({"authors": [author.public_key()], "kinds": [0]})]).await;
    let newer = event(&author, 0, &[], "newer");
    client.publish_accepted(&newer).await;
    assert_eq!(client.next_event("profile").await, newer);
}

async fn an_ephemeral_event_is_sent_but_not_stored(servers: &Servers) {
    let mut subscriber = servers.client().await;
    let mut publisher = servers.client().await;
    for kind in [20_000, 29_999] {
        let author = fresh_author();
        let filter = json!({"authors": [author.public_key()]});
        subscriber.subscribe("passing", std::slice::from_ref(&filter)).await;
        let event = event(&author, kind, &[], "passing by");
        publisher.publish_accepted(&event).await;
        assert_eq!(subscriber.next_event("passing").await, event);
        assert_eq!(publisher.query(&[filter]).await, []);
    }
}

async fn an_ephemeral_event_survives_no_second_subscription(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = event(&author, 20_001, &[], "to nobody");
    let answer = client.publish(&event).await;
    // Without subscribers, the relay may accept it, or say that nobody received it.
    assert!(answer.accepted || answer.refused_as("mute"), "{answer:?}");
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, []);
}
