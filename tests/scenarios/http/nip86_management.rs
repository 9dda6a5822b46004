//! Relay management by its operators (NIP-86).

use nostr_sdk::nostr::Keys;
use openagents_tests::events::{event, fresh_author, identification, note, now};
use openagents_tests::http::{Response, authorization, authorization_of_body, request, request_with_body};
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    a_stranger_may_change_nothing,
    a_call_that_is_sent_again_changes_nothing,
    an_operator_is_told_what_can_be_said,
    what_cannot_be_done_is_said_as_an_error,
    a_banned_author_is_gone_and_stays_away,
    a_banned_event_is_gone_and_stays_away,
    those_who_are_allowed_are_the_only_ones_who_may_write,
    a_kind_that_is_disallowed_is_not_taken,
    a_blocked_address_is_disconnected_and_cannot_connect,
    what_was_reported_waits_for_the_operator,
    a_change_of_the_relays_name_is_shown_at_once,
    changes_outlive_a_restart,
    a_page_in_a_browser_may_ask,
];

const TYPE: &str = "application/nostr+json+rpc";

/// A relay with an operator.
struct Bench {
    server: Server,
    operator: Keys,
}

impl Bench {
    fn new(servers: &Servers) -> Self {
        let operator = fresh_author();
        let variables = [
            ("ADMIN_PUBKEYS", operator.public_key().to_hex()),
            ("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ];
        Self { server: servers.own_with("hello-world", &variables), operator }
    }

    async fn post(&self, authorization: &str, body: &str) -> Response {
        let headers = [("Content-Type", TYPE), ("Authorization", authorization)];
        request_with_body(self.server.address(), "POST", "/", &headers, body).await.expect("an answer")
    }

    async fn say(&self, method: &str, params: Value) -> Value {
        let body = json!({"method": method, "params": params}).to_string();
        let header = authorization_of_body(&self.operator, "POST", &self.server.url(), &body);
        let answer = self.post(&header, &body).await;
        assert_eq!(answer.status, 200, "{method}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    async fn done(&self, method: &str, params: Value) {
        assert_eq!(self.say(method, params).await, json!({"result": true}), "{method}");
    }

    async fn shown(&self, method: &str) -> Value {
        self.say(method, json!([])).await["result"].clone()
    }

    async fn client(&self) -> Client {
        Client::connect(&self.server.url()).await
    }

    async fn document(&self) -> Value {
        let headers = [("Accept", "application/nostr+json")];
        request(self.server.address(), "GET", "/", &headers).await.expect("an answer").json()
    }
}

async fn a_stranger_may_change_nothing(servers: &Servers) {
    let bench = Bench::new(servers);
    let body = json!({"method": "changerelayname", "params": ["mine"]}).to_string();
    let url = bench.server.url();
    let of = |keys: &Keys, url: &str, body: &str| authorization_of_body(keys, "POST", url, body);
    for (header, status) in [
        (String::new(), 401),
        ("Nostr abc".to_owned(), 401),
        (of(&bench.operator, "wss://relay.example.com", &body), 401),
        (of(&bench.operator, "ws://127.0.0.1:1", &body), 401),
        (of(&bench.operator, &format!("{url}/other"), &body), 401),
        (of(&bench.operator, &url, "another body"), 401),
        (authorization(&bench.operator, now(), "POST", &url), 401),
        (authorization(&bench.operator, now() - 90, "POST", &url), 401),
        (of(&fresh_author(), &url, &body), 403),
    ] {
        let answer = bench.post(&header, &body).await;
        assert_eq!(answer.status, status, "{header}");
        assert!(answer.json()["error"].as_str().is_some_and(|error| !error.is_empty()));
    }
    assert_eq!(bench.document().await["name"], "hello-world");
}

async fn a_call_that_is_sent_again_changes_nothing(servers: &Servers) {
    let bench = Bench::new(servers);
    let spammer = fresh_author().public_key();
    let body = json!({"method": "banpubkey", "params": [spammer]}).to_string();
    let header = authorization_of_body(&bench.operator, "POST", &bench.server.url(), &body);
    assert_eq!(bench.post(&header, &body).await.json(), json!({"result": true}));
    bench.done("unbanpubkey", json!([spammer])).await;
    let refused = |answer: Response| {
        let error = answer.json()["error"].as_str().expect("a reason").to_owned();
        assert!(answer.status == 401 && error.contains("used already"), "{} {error}", answer.status);
        assert_eq!(answer.header("www-authenticate"), Some("Nostr"));
    };
    refused(bench.post(&header, &body).await);
    bench.server.kill_and_restart().expect("it starts again");
    refused(bench.post(&header, &body).await);
    assert_eq!(bench.shown("listbannedpubkeys").await, json!([]));
    // A list may be read repeatedly: within one second that is the same event.
    let body = r#"{"method":"listbannedpubkeys","params":[]}"#;
    let header = authorization_of_body(&bench.operator, "POST", &bench.server.url(), body);
    for _ in 0..2 {
        assert_eq!(bench.post(&header, body).await.json(), json!({"result": []}));
    }
}

async fn an_operator_is_told_what_can_be_said(servers: &Servers) {
    let bench = Bench::new(servers);
    let methods = bench.shown("supportedmethods").await;
    let methods: Vec<String> = serde_json::from_value(methods).expect("a list of names");
    for method in
        ["banpubkey", "allowkind", "listblockedips", "changerelayname", "listeventsneedingmoderation"]
    {
        assert!(methods.iter().any(|found| found == method), "{method}");
    }
    assert!(!methods.iter().any(|method| method.contains("role")), "{methods:?}");
    assert!(bench.document().await["supported_nips"].as_array().expect("a list").contains(&json!(86)));
    // Clients sign the URL with any scheme, with or without a trailing slash.
    let body = r#"{"method":"listbannedpubkeys","params":[]}"#;
    for url in ["ws", "wss", "http", "https"].map(|scheme| format!("{scheme}://{}/", bench.server.address()))
    {
        let header = authorization_of_body(&bench.operator, "POST", &url, body);
        assert_eq!(bench.post(&header, body).await.json(), json!({"result": []}), "{url}");
    }
}

async fn what_cannot_be_done_is_said_as_an_error(servers: &Servers) {
    let bench = Bench::new(servers);
    for (method, params) in [
        ("createrole", json!([])),
        ("banpubkey", json!(["npub1"])),
        ("allowkind", json!([70_000])),
        ("blockip", json!([])),
    ] {
        let answer = bench.say(method, params).await;
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(method)), "{answer}");
        assert!(answer.get("result").is_none(), "{answer}");
    }
    for body in ["", "{", "[]"] {
        let header = authorization_of_body(&bench.operator, "POST", &bench.server.url(), body);
        let answer = bench.post(&header, body).await;
        assert!(answer.json()["error"].as_str().is_some(), "{body}");
    }
}

async fn a_banned_author_is_gone_and_stays_away(servers: &Servers) {
    let bench = Bench::new(servers);
    let [spammer, other] = [fresh_author(), fresh_author()];
    let mut client = bench.client().await;
    let (spam, kept) = (note(&spammer, "spam"), note(&other, "no spam"));
    client.publish_accepted(&spam).await;
    client.publish_accepted(&kept).await;
    let key = spammer.public_key().to_hex();
    bench.done("banpubkey", json!([key, "spam"])).await;
    assert_eq!(bench.shown("listbannedpubkeys").await, json!([{"pubkey": key, "reason": "spam"}]));
    assert_eq!(client.query(&[json!({"kinds": [1]})]).await, [kept]);
    assert!(client.publish(&spam).await.refused_as("blocked"));
    bench.done("unbanpubkey", json!([key])).await;
    assert_eq!(bench.shown("listbannedpubkeys").await, json!([]));
    client.publish_accepted(&spam).await;
}

async fn a_banned_event_is_gone_and_stays_away(servers: &Servers) {
    let bench = Bench::new(servers);
    let mut client = bench.client().await;
    let bad = note(&fresh_author(), "bad");
    client.publish_accepted(&bad).await;
    bench.done("banevent", json!([bad.id, "bad"])).await;
    assert_eq!(bench.shown("listbannedevents").await, json!([{"id": bad.id, "reason": "bad"}]));
    assert_eq!(client.query(&[json!({"ids": [bad.id]})]).await, []);
    assert!(client.publish(&bad).await.refused_as("blocked"));
    bench.done("allowevent", json!([bad.id])).await;
    assert_eq!(bench.shown("listbannedevents").await, json!([]));
    client.publish_accepted(&bad).await;
}

async fn those_who_are_allowed_are_the_only_ones_who_may_write(servers: &Servers) {
    let bench = Bench::new(servers);
    let [member, stranger] = [fresh_author(), fresh_author()];
    let key = member.public_key().to_hex();
    bench.done("allowpubkey", json!([key, "pays"])).await;
    assert_eq!(bench.shown("listallowedpubkeys").await, json!([{"pubkey": key, "reason": "pays"}]));
    assert_eq!(bench.document().await["limitation"]["restricted_writes"], true);
    let mut client = bench.client().await;
    client.publish_accepted(&note(&member, "a member's")).await;
    assert!(client.publish(&note(&stranger, "a stranger's")).await.refused_as("auth-required"));
    let challenge = client.challenge().await;
    assert!(client.authenticate(&identification(&stranger, &bench.server.url(), &challenge)).await.accepted);
    assert!(client.publish(&note(&stranger, "a stranger's")).await.refused_as("restricted"));
    bench.done("unallowpubkey", json!([key])).await;
    client.publish_accepted(&note(&stranger, "everybody's")).await;
    assert_eq!(bench.document().await["limitation"]["restricted_writes"], false);
}

async fn a_kind_that_is_disallowed_is_not_taken(servers: &Servers) {
    let bench = Bench::new(servers);
    let mut client = bench.client().await;
    let reaction = event(&fresh_author(), 7, &[], "+");
    bench.done("disallowkind", json!([7])).await;
    assert!(client.publish(&reaction).await.refused_as("blocked"));
    client.publish_accepted(&note(&fresh_author(), "another kind")).await;
    bench.done("allowkind", json!([7])).await;
    assert_eq!(bench.shown("listallowedkinds").await, json!([]), "a prohibition was taken back, no more");
    client.publish_accepted(&reaction).await;
    bench.done("allowkind", json!([1])).await;
    assert_eq!(bench.shown("listallowedkinds").await, json!([1]));
    assert!(client.publish(&event(&fresh_author(), 7, &[], "-")).await.refused_as("blocked"));
    client.publish_accepted(&note(&fresh_author(), "a kind that is allowed")).await;
}

async fn a_blocked_address_is_disconnected_and_cannot_connect(servers: &Servers) {
    let bench = Bench::new(servers);
    let url = bench.server.url();
    let mut client = Client::try_connect_from(&url, "192.0.2.1").await.expect("it may connect");
    client.expect_alive().await;
    bench.done("blockip", json!(["192.0.2.1", "noise"])).await;
    assert_eq!(bench.shown("listblockedips").await, json!([{"ip": "192.0.2.1", "reason": "noise"}]));
    let told = client.receive_within(PATIENCE).await;
    assert!(format!("{told:?}").contains("blocked: "), "{told:?}");
    assert_eq!(client.receive_within(PATIENCE).await, None, "the connection ended");
    assert!(Client::try_connect_from(&url, "192.0.2.1").await.is_err());
    bench.done("unblockip", json!(["192.0.2.1"])).await;
    Client::try_connect_from(&url, "192.0.2.1").await.expect("it may connect again").expect_alive().await;
}

async fn what_was_reported_waits_for_the_operator(servers: &Servers) {
    let bench = Bench::new(servers);
    let mut client = bench.client().await;
    let [bad, fine] = [note(&fresh_author(), "bad"), note(&fresh_author(), "fine")];
    for event in [&bad, &fine] {
        client.publish_accepted(event).await;
    }
    for (id, why) in [(bad.id.to_hex(), "spam"), (fine.id.to_hex(), "other"), ("ab".repeat(32), "spam")] {
        client.publish_accepted(&event(&fresh_author(), 1984, &[&["e", &id, why]], "see there")).await;
    }
    let waiting = bench.shown("listeventsneedingmoderation").await;
    let waiting = waiting.as_array().expect("a list").clone();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert!(waiting.contains(&json!({"id": bad.id, "reason": "spam: see there"})), "{waiting:?}");
    bench.done("banevent", json!([bad.id])).await;
    bench.done("allowevent", json!([fine.id])).await;
    assert_eq!(bench.shown("listeventsneedingmoderation").await, json!([]));
    assert_eq!(client.query(&[json!({"ids": [bad.id, fine.id]})]).await, [fine]);
}

async fn a_change_of_the_relays_name_is_shown_at_once(servers: &Servers) {
    let bench = Bench::new(servers);
    bench.done("changerelayname", json!(["Ada's relay"])).await;
    bench.done("changerelaydescription", json!(["For Ada and friends"])).await;
    bench.done("changerelayicon", json!(["https://relay.example/icon.png"])).await;
    let document = bench.document().await;
    assert_eq!(document["name"], "Ada's relay");
    assert_eq!(document["description"], "For Ada and friends");
    assert_eq!(document["icon"], "https://relay.example/icon.png");
}

async fn changes_outlive_a_restart(servers: &Servers) {
    let bench = Bench::new(servers);
    let spammer = fresh_author();
    bench.done("banpubkey", json!([spammer.public_key()])).await;
    bench.done("changerelayname", json!(["still Ada's"])).await;
    bench.server.kill_and_restart().expect("it starts again");
    assert_eq!(bench.document().await["name"], "still Ada's");
    assert!(bench.client().await.publish(&note(&spammer, "spam")).await.refused_as("blocked"));
    assert_eq!(bench.shown("listbannedpubkeys").await, json!([{"pubkey": spammer.public_key()}]));
}

async fn a_page_in_a_browser_may_ask(servers: &Servers) {
    let bench = Bench::new(servers);
    let headers = [
        ("Origin", "https://example.com"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization, content-type"),
    ];
    let answer = request(bench.server.address(), "OPTIONS", "/", &headers).await.expect("an answer");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    assert!(
        answer
            .header("access-control-allow-headers")
            .is_some_and(|headers| headers.contains("authorization"))
    );
    let refused = bench.post("", "{}").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("*")));
}
