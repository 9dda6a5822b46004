//! Authentication (NIP-42), and what only some clients may read (NIP-17, NIP-59) or write (NIP-70).

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, event_at, fresh_author, identification, note, now};
use openagents_tests::server::{Host, Object, Server};
use openagents_tests::wire::{Answer, Client, SILENCE};
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    an_event_is_taken_after_identification_where_writing_needs_it,
    a_request_is_answered_after_identification_where_reading_needs_it,
    an_identification_that_does_not_fit_is_refused,
    a_challenge_is_of_one_connection_only,
    several_people_can_share_a_connection,
    an_identification_is_neither_stored_nor_passed_on,
    an_identification_outlives_the_relays_memory,
    a_private_message_is_found_by_its_parties_only,
    a_private_message_is_heard_by_its_parties_only,
    nobody_else_learns_that_a_private_message_is_stored,
    an_ephemeral_gift_wrap_is_heard_by_its_recipient_only,
    an_open_relay_sends_its_challenge_and_demands_nothing,
    a_relay_that_does_not_list_the_nip_sends_no_challenge_at_once,
    a_protected_event_is_taken_from_its_author_only,
    a_repost_that_embeds_a_protected_event_is_refused,
];

/// Authenticates a client that has the challenge or triggers it with a request.
async fn identify(server: &Server, client: &mut Client, author: &Keys, challenge: &str) {
    let answer = client.authenticate(&identification(author, &server.url(), challenge)).await;
    assert!(answer.accepted, "{answer:?}");
}

/// An authenticated connection.
async fn identified(server: &Server, authors: &[&Keys]) -> Client {
    let mut client = Client::connect(&server.url()).await;
    let refused = client.refusal("private", &json!({"kinds": [4]})).await;
    assert!(refused.starts_with("auth-required: "), "{refused}");
    let challenge = client.challenge().await;
    for author in authors {
        identify(server, &mut client, author, &challenge).await;
    }
    client
}

fn gift_wrap(kind: u16, recipients: &[&Keys]) -> Event {
    let recipients: Vec<String> = recipients.iter().map(|keys| keys.public_key().to_hex()).collect();
    let tags: Vec<[&str; 2]> = recipients.iter().map(|recipient| ["p", recipient.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    event(&fresh_author(), kind, &tags, "sealed")
}

async fn an_event_is_taken_after_identification_where_writing_needs_it(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("RELAY_AUTH", "write".to_owned())]);
    let mut client = Client::connect(&server.url()).await;
    let challenge = client.challenge().await;
    let note = note(&fresh_author(), "from somebody who is known");
    assert!(client.publish(&note).await.refused_as("auth-required"));
    assert_eq!(client.query(&[json!({"ids": [note.id]})]).await, [], "reading needs nothing");
    identify(&server, &mut client, &fresh_author(), &challenge).await;
    client.publish_accepted(&note).await;
}

async fn a_request_is_answered_after_identification_where_reading_needs_it(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("RELAY_AUTH", "read".to_owned())]);
    let mut client = Client::connect(&server.url()).await;
    let challenge = client.challenge().await;
    let note = note(&fresh_author(), "for those who are known");
    client.publish_accepted(&note).await;
    let refused = client.refusal("s", &json!({"ids": [note.id]})).await;
    assert!(refused.starts_with("auth-required: "), "{refused}");
    identify(&server, &mut client, &fresh_author(), &challenge).await;
    assert_eq!(client.subscribe("s", &[json!({"ids": [note.id]})]).await, [note]);
}

async fn an_identification_that_does_not_fit_is_refused(servers: &Servers) {
    let server = servers.hello_world();
    let (mut client, author) = (Client::connect(&server.url()).await, fresh_author());
    client.refusal("private", &json!({"kinds": [1059]})).await;
    let (challenge, url) = (client.challenge().await, server.url());
    let at = |created_at, kind, relay: &str, challenge: &str| {
        event_at(&author, created_at, kind, &[&["relay", relay], &["challenge", challenge]], "")
    };
    for (wrong, within) in [
        (at(now() - 700, 22_242, &url, &challenge), "within 600 seconds"),
        (at(now() + 700, 22_242, &url, &challenge), "within 600 seconds"),
        (at(now(), 22_242, "wss://relay.example.com", &challenge), "another relay"),
        (at(now(), 22_242, "", &challenge), "this relay's address"),
        (at(now(), 22_242, &url, "another"), "the challenge is not the one"),
        (at(now(), 22_242, &url, ""), "the challenge is not the one"),
        (at(now(), 27_235, &url, &challenge), "kind 22242"),
    ] {
        let answer = client.authenticate(&wrong).await;
        assert!(answer.refused_as("invalid") && answer.message.contains(within), "{answer:?}");
    }
    let mut forged = as_json(&at(now(), 22_242, &url, &challenge));
    forged["pubkey"] = json!(fresh_author().public_key());
    client.send(&json!(["AUTH", forged])).await;
    assert!(client.answer_to(forged["id"].as_str().expect("an id")).await.refused_as("invalid"));
    let refused = client.refusal("private", &json!({"kinds": [1059]})).await;
    assert!(refused.starts_with("auth-required: "), "{refused}");
    client.expect_alive().await;
}

async fn a_challenge_is_of_one_connection_only(servers: &Servers) {
    let server = servers.hello_world();
    let mut others = Client::connect(&server.url()).await;
    others.refusal("private", &json!({"kinds": [4]})).await;
    let stolen = others.challenge().await;
    let mut client = Client::connect(&server.url()).await;
    client.refusal("private", &json!({"kinds": [4]})).await;
    assert_ne!(client.challenge().await, stolen);
    let answer = client.authenticate(&identification(&fresh_author(), &server.url(), &stolen)).await;
    assert!(answer.refused_as("invalid"), "{answer:?}");
}

async fn several_people_can_share_a_connection(servers: &Servers) {
    let server = servers.hello_world();
    let [one, other] = [fresh_author(), fresh_author()];
    let wraps = [gift_wrap(1059, &[&one]), gift_wrap(1059, &[&other])];
    let mut client = identified(&server, &[&one, &other]).await;
    for wrap in &wraps {
        client.publish_accepted(wrap).await;
    }
    for (author, wrap) in [one, other].iter().zip(wraps) {
        let filter = json!({"kinds": [1059], "#p": [author.public_key()]});
        assert_eq!(client.query(&[filter]).await, [wrap]);
    }
}

async fn nobody_else_learns_that_a_private_message_is_stored(servers: &Servers) {
    let server = servers.hello_world();
    let [recipient, other] = [fresh_author(), fresh_author()];
    let wrap = gift_wrap(1059, &[&recipient]);
    let mut client = identified(&server, &[&recipient]).await;
    client.publish_accepted(&wrap).await;
    let again = client.publish(&wrap).await;
    assert!(again.message.starts_with("duplicate: "), "{again:?}");
    let mut forged = as_json(&wrap);
    forged["content"] = json!("who has this?");
    for mut stranger in [servers.client().await, identified(&server, &[&other]).await] {
        let answer = stranger.publish(&wrap).await;
        assert_eq!((answer.accepted, &*answer.message), (true, ""), "as if it were new");
        assert!(stranger.publish_json(&forged).await.refused_as("invalid"));
    }
}

async fn an_identification_is_neither_stored_nor_passed_on(servers: &Servers) {
    let server = servers.hello_world();
    let (mut listener, author) = (servers.client().await, fresh_author());
    listener.subscribe("auth", &[json!({"kinds": [22242]})]).await;
    let mut client = Client::connect(&server.url()).await;
    client.refusal("private", &json!({"kinds": [4]})).await;
    let challenge = client.challenge().await;
    let identification = identification(&author, &server.url(), &challenge);
    let as_event = client.publish(&identification).await;
    assert!(as_event.refused_as("invalid"), "{as_event:?}");
    assert!(client.authenticate(&identification).await.accepted);
    listener.expect_silence().await;
    assert_eq!(listener.query(&[json!({"ids": [identification.id]})]).await, []);
}

async fn an_identification_outlives_the_relays_memory(servers: &Servers) {
    let server = servers.own("relay");
    let author = fresh_author();
    let mut client = identified(&server, &[&author]).await;
    let mut waiting = Client::connect(&server.url()).await;
    waiting.refusal("private", &json!({"kinds": [4]})).await;
    if servers.host() == Host::Workerd {
        server.hibernate(Object::Relay).expect("it sleeps");
    }
    let wrap = gift_wrap(1059, &[&author]);
    client.publish_accepted(&wrap).await;
    let filter = json!({"kinds": [1059], "#p": [author.public_key()]});
    assert_eq!(client.query(std::slice::from_ref(&filter)).await, std::slice::from_ref(&wrap));
    // A challenge sent before hibernation is still valid.
    let challenge = waiting.challenge().await;
    identify(&server, &mut waiting, &author, &challenge).await;
    assert_eq!(waiting.query(&[filter]).await, [wrap]);
}

async fn a_private_message_is_found_by_its_parties_only(servers: &Servers) {
    let server = servers.hello_world();
    let [sender, recipient, second, stranger] = [(); 4].map(|()| fresh_author());
    let wrap = gift_wrap(1059, &[&recipient, &second]);
    let key = recipient.public_key().to_hex();
    let message = event(&sender, 4, &[&["p", &key]], "sealed");
    for event in [&wrap, &message] {
        servers.client().await.publish_accepted(event).await;
    }
    let to_recipient = json!({"kinds": [4, 1059], "#p": [key]});
    let from_sender = json!({"kinds": [4], "authors": [sender.public_key()]});
    let mut client = identified(&server, &[&recipient]).await;
    let mut found = client.query(std::slice::from_ref(&to_recipient)).await;
    found.sort_by_key(|event| event.kind.as_u16());
    assert_eq!(found, [message.clone(), wrap.clone()]);
    let mut client = identified(&server, &[&second]).await;
    assert_eq!(client.query(&[json!({"kinds": [1059], "#p": [second.public_key()]})]).await, [wrap]);
    let mut client = identified(&server, &[&sender]).await;
    assert_eq!(client.query(std::slice::from_ref(&from_sender)).await, [message]);
    let mut client = identified(&server, &[&stranger]).await;
    for filter in [to_recipient, from_sender] {
        let refused = client.refusal("others", &filter).await;
        assert!(refused.starts_with("restricted: "), "{refused}");
    }
}

async fn a_private_message_is_heard_by_its_parties_only(servers: &Servers) {
    let server = servers.hello_world();
    let [recipient, stranger] = [(); 2].map(|()| fresh_author());
    let mark = fresh_author().public_key().to_hex();
    let filter = json!({"#t": [mark], "limit": 0});
    let mut nobody = servers.client().await;
    nobody.subscribe("live", std::slice::from_ref(&filter)).await;
    let mut other = identified(&server, &[&stranger]).await;
    other.subscribe("live", std::slice::from_ref(&filter)).await;
    let mut client = identified(&server, &[&recipient]).await;
    client.subscribe("live", &[filter]).await;
    let key = recipient.public_key().to_hex();
    let wrap = event(&fresh_author(), 1059, &[&["p", &key], &["t", &mark]], "sealed");
    servers.client().await.publish_accepted(&wrap).await;
    assert_eq!(client.next_event("live").await, wrap);
    nobody.expect_silence().await;
    other.expect_silence().await;
}

async fn an_ephemeral_gift_wrap_is_heard_by_its_recipient_only(servers: &Servers) {
    let server = servers.hello_world();
    let [recipient, stranger] = [(); 2].map(|()| fresh_author());
    let filter = json!({"kinds": [21059], "#p": [recipient.public_key()]});
    let mut other = identified(&server, &[&stranger]).await;
    assert!(other.refusal("live", &filter).await.starts_with("restricted: "));
    let wrap = gift_wrap(21_059, &[&recipient]);
    let unheard = servers.client().await.publish(&wrap).await;
    assert!(unheard.refused_as("mute"), "{unheard:?}");
    let mut client = identified(&server, &[&recipient]).await;
    client.subscribe("live", &[filter]).await;
    servers.client().await.publish_accepted(&wrap).await;
    assert_eq!(client.next_event("live").await, wrap);
    other.expect_silence().await;
}

async fn an_open_relay_sends_its_challenge_and_demands_nothing(servers: &Servers) {
    let server = servers.hello_world();
    let mut client = Client::connect(&server.url()).await;
    let challenge = client.challenge().await;
    client.publish_accepted(&note(&fresh_author(), "from anybody")).await;
    client.query(&[json!({"kinds": [1], "limit": 1})]).await;
    client.expect_silence().await;
    // Whoever has something private to read can authenticate before asking for it.
    let recipient = fresh_author();
    identify(&server, &mut client, &recipient, &challenge).await;
    let filter = json!({"kinds": [1059], "#p": [recipient.public_key()]});
    assert_eq!(client.query(&[filter]).await, []);
}

async fn a_relay_that_does_not_list_the_nip_sends_no_challenge_at_once(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("SUPPORTED_NIPS", "[1,11]".to_owned())]);
    let mut client = Client::connect(&server.url()).await;
    assert_eq!(client.receive_text_within(SILENCE).await, None);
    assert!(!client.has_challenge());
    // Whoever needs it gets it.
    let refused = client.refusal("private", &json!({"kinds": [4]})).await;
    assert!(refused.starts_with("auth-required: "), "{refused}");
    client.challenge().await;
}

async fn a_protected_event_is_taken_from_its_author_only(servers: &Servers) {
    let server = servers.hello_world();
    let [author, pirate] = [fresh_author(), fresh_author()];
    let protected = event(&author, 1, &[&["-"]], "for this relay only");
    let mut client = Client::connect(&server.url()).await;
    let refused: Answer = client.publish(&protected).await;
    assert!(refused.refused_as("auth-required"), "{refused:?}");
    // The challenge was sent before the rejection, so that the client already has it.
    let challenge = client.challenge().await;
    identify(&server, &mut client, &pirate, &challenge).await;
    assert!(client.publish(&protected).await.refused_as("restricted"));
    identify(&server, &mut client, &author, &challenge).await;
    client.publish_accepted(&protected).await;
    assert_eq!(servers.client().await.query(&[json!({"ids": [protected.id]})]).await, [protected]);
}

async fn a_repost_that_embeds_a_protected_event_is_refused(servers: &Servers) {
    let [author, fan] = [fresh_author(), fresh_author()];
    let [protected, open] = [event(&author, 1, &[&["-"]], "a"), event(&author, 1, &[], "b")];
    let mut client = servers.client().await;
    for kind in [6, 16] {
        let repost = |of: &Event| event(&fan, kind, &[&["e", &of.id.to_hex()]], &as_json(of).to_string());
        let refused = client.publish(&repost(&protected)).await;
        assert!(refused.refused_as("restricted"), "{refused:?}");
        client.publish_accepted(&repost(&open)).await;
        client.publish_accepted(&event(&fan, kind, &[&["e", &protected.id.to_hex()]], "")).await;
    }
}
