//! What the examples promise to their customers.

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, note, now};
use openagents_tests::http;
use openagents_tests::jobs::{ask, request, status_text};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    a_text_is_summarised_by_its_own_sentences,
    a_text_is_written_in_latin_letters,
    a_language_that_is_not_known_is_refused_with_those_that_are,
    discussed_notes_come_before_new_ones,
    notes_are_those_of_the_people_whom_a_user_follows,
    a_relay_serves_without_agents,
];

const STORY: &str = "The lighthouse stood on the rock. It was a windy day. The keeper of the lighthouse lit the lamp. \
                     Ships saw the lamp of the lighthouse! Nobody was cold.";

async fn a_text_is_summarised_by_its_own_sentences(servers: &Servers) {
    let server = servers.example("text");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5001, Some(server.agent()), STORY, &[("length", "2")]);
    let said = ask(&mut client, &request).await;
    assert_eq!(
        said.result().content,
        "The lighthouse stood on the rock. Ships saw the lamp of the lighthouse!"
    );
}

async fn a_text_is_written_in_latin_letters(servers: &Servers) {
    let server = servers.example("text");
    let mut client = Client::connect(&server.url()).await;
    for (language, text, written) in
        [("ru-Latn", "Щука, ёж и я!", "shchuka, yozh i ya!"), ("el-Latn", "Η Ψυχή", "i psychi")]
    {
        let request = request(&fresh_author(), 5002, Some(server.agent()), text, &[("language", language)]);
        assert_eq!(ask(&mut client, &request).await.result().content, written);
    }
}

async fn a_language_that_is_not_known_is_refused_with_those_that_are(servers: &Servers) {
    let server = servers.example("text");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5002, Some(server.agent()), "да", &[("language", "en")]);
    let said = ask(&mut client, &request).await;
    let told = status_text(said.error());
    assert!(["language", "ru-Latn", "el-Latn"].iter().all(|word| told.contains(word)), "{told}");
}

/// The ids in the output of kind 5300.
async fn discover(
    client: &mut Client,
    agent: nostr_sdk::nostr::PublicKey,
    params: &[(&str, &str)],
) -> Vec<String> {
    let request = request(&fresh_author(), 5300, Some(agent), "", params);
    let said = ask(client, &request).await;
    let tags: Vec<(String, String)> = serde_json::from_str(&said.result().content).expect("a list of tags");
    tags.into_iter().map(|(name, id)| if name == "e" { id } else { panic!("a tag {name}") }).collect()
}

/// Publishes a follow list with these people, so that notes of other scenarios are left out.
async fn follower_of(client: &mut Client, people: &[&Keys]) -> String {
    let follower = fresh_author();
    let keys: Vec<String> = people.iter().map(|person| person.public_key().to_hex()).collect();
    let tags: Vec<[&str; 2]> = keys.iter().map(|key| ["p", key.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    client.publish_accepted(&event(&follower, 3, &tags, "")).await;
    follower.public_key().to_hex()
}

fn about(author: &Keys, kind: u16, note: &Event) -> Event {
    event(author, kind, &[&["e", &note.id.to_hex()], &["p", &note.pubkey.to_hex()]], "+")
}

async fn discussed_notes_come_before_new_ones(servers: &Servers) {
    let server = servers.example("content-discovery");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let user = follower_of(&mut client, &[&author]).await;
    let (new, discussed) = (note(&author, "new"), event_at(&author, now() - 600, 1, &[], "discussed"));
    let yesterday = event_at(&author, now() - 25 * 60 * 60, 1, &[], "yesterday's");
    for event in [&new, &discussed, &yesterday] {
        client.publish_accepted(event).await;
    }
    let before = discover(&mut client, server.agent(), &[("user", &user)]).await;
    assert_eq!(before, [new.id.to_hex(), discussed.id.to_hex()]);
    for kind in [7, 1, 7] {
        client.publish_accepted(&about(&fresh_author(), kind, &discussed)).await;
    }
    let after = discover(&mut client, server.agent(), &[("user", &user)]).await;
    assert_eq!(after, [discussed.id.to_hex(), new.id.to_hex()]);
    let one = discover(&mut client, server.agent(), &[("user", &user), ("max_results", "1")]).await;
    assert_eq!(one, [discussed.id.to_hex()]);
}

async fn notes_are_those_of_the_people_whom_a_user_follows(servers: &Servers) {
    let server = servers.example("content-discovery");
    let mut client = Client::connect(&server.url()).await;
    let (friend, stranger) = (fresh_author(), fresh_author());
    let (theirs, other) = (note(&friend, "a friend's"), note(&stranger, "a stranger's"));
    client.publish_accepted(&theirs).await;
    client.publish_accepted(&other).await;
    let user = follower_of(&mut client, &[&friend]).await;
    assert_eq!(discover(&mut client, server.agent(), &[("user", &user)]).await, [theirs.id.to_hex()]);
    let all = discover(&mut client, server.agent(), &[("max_results", "200")]).await;
    assert!(all.contains(&theirs.id.to_hex()) && all.contains(&other.id.to_hex()));
}

async fn a_relay_serves_without_agents(servers: &Servers) {
    let server = servers.example("relay");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    client.publish_accepted(&note(&author, "good morning")).await;
    // Nobody is there to do the job, so it is an event like any other.
    client.publish_accepted(&request(&author, 5050, None, "Ada", &[])).await;
    let hashtags: Vec<[&str; 2]> = (0..6).map(|_| ["t", "spam"]).collect();
    let hashtags: Vec<&[&str]> = hashtags.iter().map(|tag| &tag[..]).collect();
    let answer = client.publish(&event(&author, 1, &hashtags, "buy this")).await;
    assert!(!answer.accepted && answer.message.contains("5 hashtags"), "{answer:?}");
    let stored = client.query(&[json!({ "authors": [author.public_key().to_hex()] })]).await;
    assert_eq!(stored.len(), 2);

    let (status, health) = get(&server, "/health").await;
    assert_eq!((status, health.contains(r#""status":"ok""#)), (200, true), "{health}");
    let (status, page) = get(&server, "/").await;
    assert!(status == 200 && page.contains("This is a Nostr relay (NIP-01)"), "{page}");
    let (status, metrics) = get(&server, "/metrics").await;
    let memory = "\nopenagents_relay_client_memory_limit_bytes ";
    assert!(status == 200 && metrics.contains(memory), "{status}: {metrics}");
    let information =
        http::request(server.address(), "GET", "/", &[("accept", "application/nostr+json")]).await;
    let information: Value = serde_json::from_slice(&information.expect("NIP-11").body).expect("JSON");
    let nips = information["supported_nips"].as_array().expect("a list");
    assert!(nips.contains(&json!(1)) && !nips.contains(&json!(90)), "{nips:?}");
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = http::request(server.address(), "GET", path, &[]).await.expect(path);
    (answer.status, String::from_utf8(answer.body).expect("text"))
}
