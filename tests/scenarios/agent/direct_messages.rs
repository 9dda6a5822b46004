//! Direct messages to an agent (`#[direct_message]`, NIP-17), from a client that uses another implementation of NIP-59.

use std::time::Duration;

use nostr_sdk::nostr::nips::nip59::UnwrappedGift;
use nostr_sdk::nostr::{Event, EventBuilder, Keys, PublicKey, Tag};
use openagents_tests::events::{event, fresh_author, identification};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::servers::{Servers, scenarios};

scenarios![
    a_direct_message_is_answered_once_with_one,
    a_message_that_is_wrapped_again_is_not_answered_again,
    a_message_to_others_or_by_an_impostor_is_not_answered,
    an_answer_survives_a_kill,
    an_answer_goes_to_the_relay_that_its_receiver_names,
    the_agent_says_where_it_expects_messages,
];

/// A message by its author to somebody, in a wrap of its own each time.
async fn wrapped(author: &Keys, to: PublicKey, text: &str, tags: &[Tag]) -> Event {
    EventBuilder::private_msg(author, to, text, tags.iter().cloned()).await.expect("a gift wrap")
}

/// A connection on which this author may read their private messages.
async fn authenticated(server: &Server, author: &Keys) -> Client {
    let mut client = Client::connect(&server.url()).await;
    let refused = client.refusal("private", &json!({ "kinds": [1059] })).await;
    assert!(refused.starts_with("auth-required: "), "{refused}");
    let challenge = client.challenge().await;
    let answer = client.authenticate(&identification(author, &server.url(), &challenge)).await;
    assert!(answer.accepted, "{answer:?}");
    client
}

/// The texts of the agent's messages to this author that are stored on a relay.
async fn answers(client: &mut Client, agent: PublicKey, author: &Keys) -> Vec<String> {
    let wraps = client.query(&[json!({ "kinds": [1059], "#p": [author.public_key()] })]).await;
    let mut texts = Vec::new();
    for wrap in wraps {
        let UnwrappedGift { sender, rumor } =
            UnwrappedGift::from_gift_wrap(author, &wrap).await.expect("a message for its receiver");
        assert_eq!((sender, rumor.pubkey, rumor.kind.as_u16()), (agent, agent, 14));
        assert_ne!(wrap.pubkey, agent, "the wrap tells nobody who wrote it");
        texts.push(rumor.content.clone());
    }
    texts.sort();
    texts
}

async fn until_answered(client: &mut Client, agent: PublicKey, author: &Keys, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = answers(client, agent, author).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?}, not {expected:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn a_direct_message_is_answered_once_with_one(servers: &Servers) {
    let server = servers.own("probe");
    let (author, agent) = (fresh_author(), server.agent());
    let mut client = authenticated(&server, &author).await;
    let rounds: [(&str, &[&str]); 2] = [("hi", &["hi (1)"]), ("again", &["again (2)", "hi (1)"])];
    for (text, expected) in rounds {
        client.publish_accepted(&wrapped(&author, agent, text, &[]).await).await;
        until_answered(&mut client, agent, &author, expected).await;
    }
    client.publish_accepted(&wrapped(&author, agent, "silence", &[]).await).await;
    sleep(Duration::from_secs(1)).await;
    until_answered(&mut client, agent, &author, &["again (2)", "hi (1)"]).await;
}

async fn a_message_that_is_wrapped_again_is_not_answered_again(servers: &Servers) {
    let server = servers.own("probe");
    let (author, agent) = (fresh_author(), server.agent());
    let mut client = authenticated(&server, &author).await;
    let rumor = EventBuilder::private_msg_rumor(agent, "once").build(author.public_key());
    for _ in 0..3 {
        let wrap = EventBuilder::gift_wrap(&author, &agent, rumor.clone(), []).await.expect("a gift wrap");
        client.publish_accepted(&wrap).await;
    }
    until_answered(&mut client, agent, &author, &["once (1)"]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(answers(&mut client, agent, &author).await, ["once (1)"]);
}

async fn a_message_to_others_or_by_an_impostor_is_not_answered(servers: &Servers) {
    let server = servers.own("probe");
    let (author, agent, other) = (fresh_author(), server.agent(), fresh_author());
    let mut client = authenticated(&server, &author).await;
    let group = wrapped(&author, agent, "to both", &[Tag::public_key(other.public_key())]).await;
    let note = EventBuilder::text_note("a note").tags([Tag::public_key(agent)]).build(author.public_key());
    let no_message = EventBuilder::gift_wrap(&author, &agent, note, []).await.expect("a gift wrap");
    let said_by_another = EventBuilder::private_msg_rumor(agent, "not by me").build(author.public_key());
    let forged = EventBuilder::gift_wrap(&other, &agent, said_by_another, []).await;
    client.publish_accepted(&group).await;
    client.publish_accepted(&no_message).await;
    client.publish_accepted(&event(&fresh_author(), 1059, &[&["p", &agent.to_hex()]], "no wrap")).await;
    // This implementation may refuse to make what an impostor would.
    if let Ok(forged) = forged {
        client.publish_accepted(&forged).await;
    }
    client.publish_accepted(&wrapped(&author, agent, "hi", &[]).await).await;
    until_answered(&mut client, agent, &author, &["hi (1)"]).await;
}

async fn an_answer_survives_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let (author, agent) = (fresh_author(), server.agent());
    let mut client = authenticated(&server, &author).await;
    client.publish_accepted(&wrapped(&author, agent, "wait", &[]).await).await;
    sleep(Duration::from_millis(500)).await;
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    let mut client = authenticated(&server, &author).await;
    until_answered(&mut client, agent, &author, &["wait (1)"]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(answers(&mut client, agent, &author).await, ["wait (1)"]);
}

async fn an_answer_goes_to_the_relay_that_its_receiver_names(servers: &Servers) {
    let server = servers.own_with("probe", &[("ALLOW_PRIVATE_ADDRESSES", "true".to_owned())]);
    let inbox = servers.own("hello-world");
    let (author, agent) = (fresh_author(), server.agent());
    let mut client = authenticated(&server, &author).await;
    client.publish_accepted(&event(&author, 10_050, &[&["relay", &inbox.url()]], "")).await;
    client.publish_accepted(&wrapped(&author, agent, "hi", &[]).await).await;
    let mut at_inbox = authenticated(&inbox, &author).await;
    until_answered(&mut at_inbox, agent, &author, &["hi (1)"]).await;
    assert!(answers(&mut client, agent, &author).await.is_empty());
}

async fn the_agent_says_where_it_expects_messages(servers: &Servers) {
    let server = servers.own_with("probe", &[("RELAY_URL", "wss://probe.example".to_owned())]);
    let mut client = Client::connect(&server.url()).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let lists = client.query(&[json!({ "kinds": [10_050], "authors": [server.agent()] })]).await;
        if let [list] = lists.as_slice() {
            assert_eq!(
                list.tags.iter().map(|tag| tag.as_slice()).collect::<Vec<_>>(),
                [["relay", "wss://probe.example"]]
            );
            return;
        }
        assert!(Instant::now() < deadline, "{lists:?}");
        sleep(Duration::from_millis(200)).await;
    }
}
