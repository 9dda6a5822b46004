//! Deletion requests (NIP-09): who may delete, which events are covered, and that deleted events do not come back.

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, note, now};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    an_author_deletes_by_id_and_the_request_stays,
    nobody_deletes_what_others_wrote,
    what_was_deleted_does_not_come_back,
    what_comes_after_its_deletion_is_refused,
    an_address_deletes_the_versions_up_to_its_second,
    a_newer_version_than_the_deletion_is_welcome,
    an_address_of_somebody_else_deletes_nothing,
    a_deletion_cannot_be_deleted,
    kind_tags_decide_nothing,
    a_deletion_reaches_subscribers,
    a_gift_wrap_is_deleted_by_whom_it_is_for,
];

fn deletion(author: &Keys, events: &[&Event]) -> Event {
    let ids: Vec<String> = events.iter().map(|event| event.id.to_hex()).collect();
    let tags: Vec<[&str; 2]> = ids.iter().map(|id| ["e", id.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    event(author, 5, &tags, "a mistake")
}

fn article(author: &Keys, second: u64) -> Event {
    event_at(author, second, 30_023, &[&["d", "page:one"]], &format!("as of {second}"))
}

fn deletion_of_article(author: &Keys, second: u64, of: &Keys) -> Event {
    let address = format!("30023:{}:page:one", of.public_key());
    event_at(author, second, 5, &[&["a", &address]], "")
}

async fn is_stored(client: &mut Client, event: &Event) -> bool {
    client.query(&[json!({"ids": [event.id]})]).await == std::slice::from_ref(event)
}

async fn expect_blocked(client: &mut Client, event: &Event) {
    let answer = client.publish(event).await;
    assert!(answer.refused_as("blocked"), "{answer:?}");
    assert!(!is_stored(client, event).await);
}

async fn a_gift_wrap_is_deleted_by_whom_it_is_for(servers: &Servers) {
    let mut client = servers.client().await;
    let [sender, recipient, stranger] = [fresh_author(), fresh_author(), fresh_author()];
    let wrap = event(&sender, 1059, &[&["p", &recipient.public_key().to_hex()]], "sealed");
    client.publish_accepted(&wrap).await;
    client.publish_accepted(&deletion(&stranger, &[&wrap])).await;
    assert!(client.publish(&wrap).await.accepted);
    client.publish_accepted(&deletion(&recipient, &[&wrap])).await;
    assert!(client.publish(&wrap).await.refused_as("blocked"));
}

async fn an_author_deletes_by_id_and_the_request_stays(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let [first, second, other] = ["first", "second", "other"].map(|content| note(&author, content));
    for event in [&first, &second, &other] {
        client.publish_accepted(event).await;
    }
    let request = deletion(&author, &[&first, &second]);
    client.publish_accepted(&request).await;
    let mut left = client.query(&[json!({"authors": [author.public_key()]})]).await;
    left.sort_by_key(|event| event.kind);
    assert_eq!(left, [other, request]);
}

async fn nobody_deletes_what_others_wrote(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, stranger) = (fresh_author(), fresh_author());
    let event = note(&author, "mine");
    client.publish_accepted(&event).await;
    client.publish_accepted(&deletion(&stranger, &[&event])).await;
    assert!(is_stored(&mut client, &event).await);
    // Nor if the deletion arrives before the event.
    let next = note(&author, "mine, too");
    client.publish_accepted(&deletion(&stranger, &[&next])).await;
    client.publish_accepted(&next).await;
}

async fn what_was_deleted_does_not_come_back(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "gone");
    client.publish_accepted(&event).await;
    client.publish_accepted(&deletion(&author, &[&event])).await;
    expect_blocked(&mut client, &event).await;
    expect_blocked(&mut client, &event).await;
}

async fn what_comes_after_its_deletion_is_refused(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "too late");
    client.publish_accepted(&deletion(&author, &[&event])).await;
    expect_blocked(&mut client, &event).await;
}

async fn an_address_deletes_the_versions_up_to_its_second(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    client.publish_accepted(&article(&author, time - 10)).await;
    client.publish_accepted(&deletion_of_article(&author, time - 5, &author)).await;
    let filter = json!({"authors": [author.public_key()], "kinds": [30_023]});
    assert_eq!(client.query(&[filter]).await, []);
    for second in [time - 10, time - 7, time - 5] {
        expect_blocked(&mut client, &article(&author, second)).await;
    }
}

async fn a_newer_version_than_the_deletion_is_welcome(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let newer = article(&author, time - 4);
    client.publish_accepted(&newer).await;
    // It only covers older versions, even if it arrives later.
    client.publish_accepted(&deletion_of_article(&author, time - 5, &author)).await;
    assert!(is_stored(&mut client, &newer).await);
    let newest = article(&author, time - 3);
    client.publish_accepted(&newest).await;
    assert!(is_stored(&mut client, &newest).await);
}

async fn an_address_of_somebody_else_deletes_nothing(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, stranger, time) = (fresh_author(), fresh_author(), now());
    let event = article(&author, time - 10);
    client.publish_accepted(&event).await;
    client.publish_accepted(&deletion_of_article(&stranger, time, &author)).await;
    assert!(is_stored(&mut client, &event).await);
}

async fn a_deletion_cannot_be_deleted(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "gone");
    let request = deletion(&author, &[&event]);
    client.publish_accepted(&request).await;
    client.publish_accepted(&deletion(&author, &[&request])).await;
    assert!(is_stored(&mut client, &request).await);
    expect_blocked(&mut client, &event).await;
    // Nor if the deletion arrives before the event.
    let early = deletion(&author, &[&note(&author, "another")]);
    client.publish_accepted(&deletion(&author, &[&early])).await;
    client.publish_accepted(&early).await;
}

async fn kind_tags_decide_nothing(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let kept = note(&author, "of the kind, but not named");
    let gone = note(&author, "named, of another kind");
    for event in [&kept, &gone] {
        client.publish_accepted(event).await;
    }
    let id = gone.id.to_hex();
    client.publish_accepted(&event(&author, 5, &[&["e", &id], &["k", "7"]], "")).await;
    client.publish_accepted(&event(&author, 5, &[&["k", "1"]], "")).await;
    assert!(is_stored(&mut client, &kept).await && !is_stored(&mut client, &gone).await);
}

async fn a_deletion_reaches_subscribers(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "soon gone");
    client.publish_accepted(&event).await;
    client.subscribe("deletions", &[json!({"#e": [event.id], "kinds": [5]})]).await;
    let request = deletion(&author, &[&event]);
    client.publish_accepted(&request).await;
    assert_eq!(client.next_event("deletions").await, request);
}
