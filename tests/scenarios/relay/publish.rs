//! Publishing (NIP-01): valid events are accepted, stored and returned unchanged.

use nostr_sdk::nostr::hashes::{Hash as _, sha256};
use nostr_sdk::nostr::secp256k1;
use openagents_tests::events::{as_json, event, event_at, fresh_author, note, now};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    returns_an_event_as_it_was_published,
    keeps_every_character_of_content_and_tags,
    accepts_every_escape_that_json_allows,
    answers_a_repeated_event_as_duplicate,
    accepts_events_of_every_regular_kind,
    accepts_an_event_from_the_past,
    answers_each_of_many_events_sent_at_once,
    serves_many_connections_at_once,
    the_id_may_be_hashed_with_control_characters_verbatim,
    what_was_acknowledged_is_found_at_once_on_another_connection,
    an_ok_has_four_elements_and_no_reason_where_none_is_needed,
];

async fn returns_an_event_as_it_was_published(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = event(&author, 1, &[&["t", "greeting", "third"], &["alone"], &["t", ""]], "hello");
    client.publish_accepted(&event).await;
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, [event]);
}

async fn keeps_every_character_of_content_and_tags(servers: &Servers) {
    let mut client = servers.client().await;
    let text =
        "quotes \" \\ / lines \n\r\t\u{8}\u{c} \u{7f} \u{2028}\u{2029} é 漢字 🦀 \u{10ffff} <script>&amp;";
    let event = event(&fresh_author(), 1, &[&["x", text], &["t", text]], text);
    client.publish_accepted(&event).await;
    let found = client.query(&[json!({"#t": [text], "ids": [event.id]})]).await;
    assert_eq!(found, [event]);
}

async fn accepts_every_escape_that_json_allows(servers: &Servers) {
    let mut client = servers.client().await;
    let event = event(&fresh_author(), 1, &[&["t", "\u{1f980}"]], "aé\u{1f980}/\n");
    // The same event in another JSON spelling: escapes, order of keys, white space, integers without exponent.
    let spelled = format!(
        r#" [ "EVENT" , {{ "sig":"{}", "content":"\u0061\u00e9\ud83e\udd80\/\u000a", "tags":[["t","\ud83e\udd80"]], "kind": 1 ,
        "created_at":{},"pubkey":"{}","id":"{}" }} ] "#,
        event.sig, event.created_at, event.pubkey, event.id
    );
    client.send_text(&spelled).await;
    let answer = client.answer_to(&event.id.to_hex()).await;
    assert!(answer.accepted, "{}", answer.message);
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, [event]);
}

async fn answers_a_repeated_event_as_duplicate(servers: &Servers) {
    let mut client = servers.client().await;
    let event = note(&fresh_author(), "twice");
    client.publish_accepted(&event).await;
    let again = client.publish(&event).await;
    assert!(again.accepted, "a duplicate is no failure: {}", again.message);
    assert!(again.message.starts_with("duplicate:"), "{}", again.message);
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await.len(), 1);
}

async fn accepts_events_of_every_regular_kind(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    // Kind 4 is stored too, but only its parties can read it.
    let kinds = [1, 2, 44, 1000, 4999, 6000, 7000, 9999, 45, 999, 40000, 65535];
    for kind in kinds {
        client.publish_accepted(&event(&author, kind, &[], "")).await;
    }
    let mut found: Vec<u16> = client
        .query(&[json!({"authors": [author.public_key()]})])
        .await
        .iter()
        .map(|e| e.kind.as_u16())
        .collect();
    found.sort_unstable();
    // Private messages (kind 4, NIP-04) are accepted from anyone, and returned to their parties only.
    let mut expected: Vec<u16> = kinds.into_iter().filter(|kind| *kind != 4).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

async fn accepts_an_event_from_the_past(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    for created_at in [0, 1, now() - 10 * 365 * 86_400] {
        let old = event_at(&author, created_at, 1, &[], "old");
        let answer = client.publish(&old).await;
        // A relay may have a lower limit, but then must say so as NIP-01 requires.
        assert!(answer.accepted || answer.refused_as("invalid"), "{}", answer.message);
        let stored = client.query(&[json!({"ids": [old.id]})]).await;
        assert_eq!(stored.len(), usize::from(answer.accepted));
    }
}

async fn answers_each_of_many_events_sent_at_once(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let events: Vec<_> = (0..100).map(|number| note(&author, &format!("one of many: {number}"))).collect();
    for event in &events {
        client.send(&json!(["EVENT", as_json(event)])).await;
    }
    for event in &events {
        let answer = client.answer_to(&event.id.to_hex()).await;
        assert!(answer.accepted, "{}", answer.message);
    }
    let filter = json!({"authors": [author.public_key()], "limit": 500});
    assert_eq!(client.query(&[filter]).await.len(), 100);
}

async fn serves_many_connections_at_once(servers: &Servers) {
    let server = servers.hello_world();
    let author = fresh_author();
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Client::connect(&server.url()).await);
    }
    let events: Vec<_> = (0..50).map(|number| note(&author, &format!("from connection {number}"))).collect();
    for (client, event) in clients.iter_mut().zip(&events) {
        client.send(&json!(["EVENT", as_json(event)])).await;
    }
    for (client, event) in clients.iter_mut().zip(&events) {
        assert!(client.answer_to(&event.id.to_hex()).await.accepted);
    }
    let last = clients.last_mut().expect("fifty of them");
    assert_eq!(last.query(&[json!({"authors": [author.public_key()], "limit": 100})]).await.len(), 50);
}

async fn the_id_may_be_hashed_with_control_characters_verbatim(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    // NIP-01 requires seven characters to be escaped and all others to be verbatim; most clients escape more.
    let content =
        "bell \u{7} escape \u{1b} delete \u{7f} line \n quote \" backslash \\ tab \t \r \u{8} \u{c} é🦀/";
    let escaped =
        "bell \u{7} escape \u{1b} delete \u{7f} line \\n quote \\\" backslash \\\\ tab \\t \\r \\b \\f é🦀/";
    let (pubkey, created_at) = (author.public_key().to_hex(), now());
    let serialised = format!("[0,\"{pubkey}\",{created_at},1,[[\"t\",\"\u{1}\"]],\"{escaped}\"]");
    let hash = sha256::Hash::hash(serialised.as_bytes());
    let sig = author.sign_schnorr(&secp256k1::Message::from_digest(hash.to_byte_array()));
    let event = json!({
        "id": hash.to_string(), "pubkey": pubkey, "created_at": created_at, "kind": 1,
        "tags": [["t", "\u{1}"]], "content": content, "sig": sig.to_string(),
    });
    let answer = client.publish_json(&event).await;
    assert!(answer.accepted, "{answer:?}");
    client.send(&json!(["REQ", "verbatim", {"ids": [event["id"]]}])).await;
    let found = client.receive_text_within(PATIENCE).await.expect("the event");
    assert_eq!(serde_json::from_str::<Value>(&found).expect("JSON"), json!(["EVENT", "verbatim", event]));
}

async fn what_was_acknowledged_is_found_at_once_on_another_connection(servers: &Servers) {
    let (mut writer, mut reader) = (servers.client().await, servers.client().await);
    let (customer, agent) = (fresh_author(), fresh_author());
    // A note, a profile, an addressable event, and the events of a job (NIP-90); no agent here handles kind 5999.
    let request = event(&customer, 5_999, &[&["i", "text", "text"]], "");
    let of_request: [&[&str]; 2] = [&["e", &request.id.to_hex()], &["p", &customer.public_key().to_hex()]];
    let events = [
        note(&customer, "a note"),
        event(&customer, 0, &[], "a profile"),
        event(&customer, 30_023, &[&["d", "a"]], "an address"),
        request.clone(),
        event(&agent, 7_000, &of_request, "feedback"),
        event(&agent, 6_999, &of_request, "a result"),
    ];
    for event in events {
        writer.publish_accepted(&event).await;
        assert_eq!(reader.query(&[json!({"ids": [event.id]})]).await, std::slice::from_ref(&event));
        let by_kind = json!({"authors": [event.pubkey], "kinds": [event.kind]});
        assert_eq!(reader.query(&[by_kind]).await, std::slice::from_ref(&event));
        if event.pubkey == agent.public_key() {
            let about = json!({"#e": [request.id], "kinds": [event.kind]});
            assert_eq!(reader.query(&[about]).await, [event]);
        }
    }
}

async fn an_ok_has_four_elements_and_no_reason_where_none_is_needed(servers: &Servers) {
    let mut client = servers.client().await;
    let event = note(&fresh_author(), "to be acknowledged");
    for (accepted, begins) in [(true, ""), (true, "duplicate: ")] {
        client.send(&json!(["EVENT", as_json(&event)])).await;
        let answer = client.receive_text_within(PATIENCE).await.expect("an OK");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((answer.as_array().map(Vec::len), &answer[0]), (Some(4), &json!("OK")));
        assert_eq!((&answer[1], &answer[2]), (&json!(event.id), &json!(accepted)));
        let text = answer[3].as_str().expect("a text");
        assert!(if begins.is_empty() { text.is_empty() } else { text.starts_with(begins) }, "{text}");
    }
}
