//! Admission: which events the relay accepts, from whom, and how many.

use nostr_sdk::nostr::Event;
use openagents_tests::events::{event, event_at, fresh_author, identification, note, now};
use openagents_tests::http::request;
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        an_event_without_enough_work_is_refused,
        only_those_who_are_named_may_write,
        whoever_may_not_write_vanishes_in_silence,
        who_is_blocked_may_not_write,
        only_kinds_that_are_named_are_taken,
        an_event_that_is_too_old_is_refused,
        too_many_events_are_refused_for_a_while,
        too_many_requests_are_refused_for_a_while,
        too_many_identifications_are_refused_for_a_while,
        an_address_that_is_blocked_cannot_connect,
        an_address_has_only_so_many_connections,
        there_are_only_so_many_connections,
        the_own_machine_is_held_to_no_rate,
        the_deployments_policy_is_asked,
        a_policy_that_panics_refuses_the_event,
        a_relay_list_is_taken_from_anybody,
        the_document_says_what_the_configuration_does,
        a_setting_that_cannot_be_used_is_told,
    }
    on [Host::Native] => {
        a_proxy_on_this_machine_that_is_not_trusted_is_told_once,
    }
}

/// A server that trusts the client's address header.
fn server(servers: &Servers, variables: &[(&'static str, &str)]) -> Server {
    let mut variables: Vec<_> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    variables.push(("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned()));
    servers.own_with("hello-world", &variables)
}

async fn client_from(server: &Server, address: &str) -> Client {
    Client::try_connect_from(&server.url(), address).await.expect("it may connect")
}

async fn a_proxy_on_this_machine_that_is_not_trusted_is_told_once(servers: &Servers) {
    let warnings = async |variables: &[(&'static str, String)]| {
        let server = servers.own_with("hello-world", variables);
        for address in ["192.0.2.1", "192.0.2.2"] {
            Client::try_connect_from(&server.url(), address).await.expect("it may connect");
        }
        let log = std::fs::read_to_string(server.log()).expect("a log");
        log.lines().filter(|line| line.contains("set RELAY_TRUSTED_PROXIES=127.0.0.1")).count()
    };
    assert_eq!(warnings(&[]).await, 1);
    assert_eq!(warnings(&[("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned())]).await, 0);
}

async fn document(server: &Server) -> Value {
    let headers = [("Accept", "application/nostr+json")];
    request(server.address(), "GET", "/", &headers).await.expect("an answer").json()
}

fn status(error: &Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("no answer: {other}"),
    }
}

/// An event with this many leading zero bits, mined for exactly that.
fn mined(bits: u32, target: &str) -> Event {
    let author = fresh_author();
    (0..)
        .map(|nonce: u32| event(&author, 1, &[&["nonce", &nonce.to_string(), target]], "worked for"))
        .find(|event| {
            event
                .id
                .to_bytes()
                .iter()
                .take(4)
                .fold(0_u32, |id, byte| id << 8 | u32::from(*byte))
                .leading_zeros()
                >= bits
        })
        .expect("one of them")
}

async fn an_event_without_enough_work_is_refused(servers: &Servers) {
    let server = server(servers, &[("RELAY_MIN_POW", "8")]);
    assert_eq!(document(&server).await["limitation"]["min_pow_difficulty"], 8);
    let mut client = Client::connect(&server.url()).await;
    client.publish_accepted(&mined(8, "8")).await;
    client.publish_accepted(&mined(8, "20")).await;
    assert!(client.publish(&mined(8, "7")).await.refused_as("pow"), "meant to do less");
    let lazy = (0..).map(|number: u32| note(&fresh_author(), &number.to_string()));
    let lazy = lazy.into_iter().find(|event| event.id.to_bytes()[0] != 0).expect("most have none");
    assert!(client.publish(&lazy).await.refused_as("pow"));
}

async fn only_those_who_are_named_may_write(servers: &Servers) {
    let [member, stranger] = [fresh_author(), fresh_author()];
    let server = server(servers, &[("RELAY_ALLOWED_PUBKEYS", &member.public_key().to_hex())]);
    assert_eq!(document(&server).await["limitation"]["restricted_writes"], true);
    let mut client = Client::connect(&server.url()).await;
    client.publish_accepted(&note(&member, "a member's")).await;
    let strange = note(&stranger, "a stranger's");
    assert!(client.publish(&strange).await.refused_as("auth-required"));
    // A member may publish events by others: gift wraps are always signed with another key.
    let challenge = client.challenge().await;
    for (keys, accepted) in [(&stranger, false), (&member, true)] {
        assert!(client.authenticate(&identification(keys, &server.url(), &challenge)).await.accepted);
        let answer = client.publish(&strange).await;
        assert!(answer.accepted == accepted && (accepted || answer.refused_as("restricted")), "{answer:?}");
    }
}

async fn whoever_may_not_write_vanishes_in_silence(servers: &Servers) {
    let stranger = fresh_author();
    let server = server(servers, &[("RELAY_ALLOWED_PUBKEYS", &fresh_author().public_key().to_hex())]);
    let mut client = Client::connect(&server.url()).await;
    client.subscribe("live", &[json!({"kinds": [62]})]).await;
    let talkative = event(&stranger, 62, &[&["relay", "ALL_RELAYS"]], &"x".repeat(2_000));
    assert!(client.publish(&talkative).await.refused_as("invalid"));
    client.publish_accepted(&event(&stranger, 62, &[&["relay", "ALL_RELAYS"]], "")).await;
    client.expect_silence().await;
}

async fn who_is_blocked_may_not_write(servers: &Servers) {
    let [spammer, other] = [fresh_author(), fresh_author()];
    let server = server(servers, &[("RELAY_BLOCKED_PUBKEYS", &spammer.public_key().to_hex())]);
    assert_eq!(document(&server).await["limitation"]["restricted_writes"], false);
    let mut client = Client::connect(&server.url()).await;
    assert!(client.publish(&note(&spammer, "spam")).await.refused_as("blocked"));
    client.publish_accepted(&note(&other, "no spam")).await;
}

async fn only_kinds_that_are_named_are_taken(servers: &Servers) {
    let server = server(servers, &[("RELAY_ALLOWED_KINDS", "5000-7000, 1"), ("RELAY_BLOCKED_KINDS", "5050")]);
    let mut client = Client::connect(&server.url()).await;
    for (kind, taken) in [(1, true), (5000, true), (7000, true), (5050, false), (7, false), (10_002, false)] {
        let answer = client.publish(&event(&fresh_author(), kind, &[], "")).await;
        assert!(answer.accepted == taken && (taken || answer.refused_as("blocked")), "{kind}: {answer:?}");
    }
}

async fn an_event_that_is_too_old_is_refused(servers: &Servers) {
    let server = server(servers, &[("RELAY_CREATED_AT_PAST", "3600"), ("RELAY_CREATED_AT_FUTURE", "60")]);
    let limitation = document(&server).await["limitation"].clone();
    assert_eq!(limitation["created_at_lower_limit"], 3_600);
    assert_eq!(limitation["created_at_upper_limit"], 60);
    let mut client = Client::connect(&server.url()).await;
    for (created_at, taken) in
        [(now() - 3_500, true), (now() - 3_700, false), (now() + 50, true), (now() + 90, false)]
    {
        let answer = client.publish(&event_at(&fresh_author(), created_at, 1, &[], "")).await;
        assert!(answer.accepted == taken && (taken || answer.refused_as("invalid")), "{answer:?}");
    }
}

async fn too_many_events_are_refused_for_a_while(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_EVENTS_PER_MINUTE", "6")]);
    let mut client = client_from(&server, "192.0.2.1").await;
    for _ in 0..6 {
        client.publish_accepted(&note(&fresh_author(), "within the rate")).await;
    }
    let refused = client.publish(&note(&fresh_author(), "too many")).await;
    assert!(refused.refused_as("rate-limited") && refused.message.contains("try again in "), "{refused:?}");
    // Other clients are not affected, and neither is reading.
    client.expect_alive().await;
    client_from(&server, "192.0.2.2").await.publish_accepted(&note(&fresh_author(), "another's")).await;
    // One network address may do as much as four connections, and an IPv6 address stands for its /56.
    let mut taken = 0;
    for number in 1..=6 {
        let mut client = client_from(&server, &format!("2001:db8::{number}")).await;
        for _ in 0..6 {
            taken += u32::from(client.publish(&note(&fresh_author(), "one of many")).await.accepted);
        }
    }
    assert!((24..=26).contains(&taken), "{taken}");
}

async fn too_many_requests_are_refused_for_a_while(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_REQUESTS_PER_MINUTE", "4")]);
    let mut client = client_from(&server, "192.0.2.1").await;
    for _ in 0..4 {
        client.subscribe("same", &[json!({"limit": 0})]).await;
    }
    let refused = client.refusal("same", &json!({"limit": 0})).await;
    assert!(refused.starts_with("rate-limited: "), "{refused}");
    client.send(&json!(["COUNT", "count", {"kinds": [1]}])).await;
    let refused = client.receive().await;
    assert!(matches!(&refused, Frame::Closed(_, why) if why.starts_with("rate-limited: ")), "{refused:?}");
    client.publish_accepted(&note(&fresh_author(), "writing goes on")).await;
    assert_eq!(client.receive_within(openagents_tests::wire::SILENCE).await, None, "the subscription ended");
}

async fn too_many_identifications_are_refused_for_a_while(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_AUTHS_PER_MINUTE", "2"), ("RELAY_AUTH", "write")]);
    let mut client = client_from(&server, "192.0.2.1").await;
    let challenge = client.challenge().await;
    let mut identify =
        async || client.authenticate(&identification(&fresh_author(), &server.url(), &challenge)).await;
    assert!(identify().await.accepted && identify().await.accepted);
    assert!(identify().await.refused_as("rate-limited"));
}

async fn an_address_that_is_blocked_cannot_connect(servers: &Servers) {
    let server = server(servers, &[("RELAY_BLOCKED_ADDRESSES", "192.0.2.1, 2001:db8::1")]);
    for blocked in ["192.0.2.1", "2001:db8::ffff"] {
        let refused = Client::try_connect_from(&server.url(), blocked).await.expect_err("it is blocked");
        assert_eq!(status(&refused), 403, "{blocked}");
    }
    client_from(&server, "192.0.2.2").await.expect_alive().await;
}

async fn an_address_has_only_so_many_connections(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_CONNECTIONS_PER_ADDRESS", "2")]);
    let mut first = client_from(&server, "192.0.2.1").await;
    let second = client_from(&server, "192.0.2.1").await;
    let refused = Client::try_connect_from(&server.url(), "192.0.2.1").await.expect_err("one too many");
    assert_eq!(status(&refused), 429);
    client_from(&server, "192.0.2.2").await.expect_alive().await;
    first.expect_alive().await;
    second.vanish();
    let deadline = tokio::time::Instant::now() + openagents_tests::wire::PATIENCE;
    while let Err(refused) = Client::try_connect_from(&server.url(), "192.0.2.1").await {
        assert_eq!(status(&refused), 429);
        assert!(tokio::time::Instant::now() < deadline, "the place was never free again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn there_are_only_so_many_connections(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_CONNECTIONS", "2")]);
    let mut clients = [Client::connect(&server.url()).await, client_from(&server, "192.0.2.1").await];
    let refused = Client::try_connect(&server.url()).await.expect_err("one too many");
    assert_eq!(status(&refused), 503);
    for client in &mut clients {
        client.expect_alive().await;
    }
}

async fn the_own_machine_is_held_to_no_rate(servers: &Servers) {
    let server = server(servers, &[("RELAY_MAX_EVENTS_PER_MINUTE", "1")]);
    let mut client = Client::connect(&server.url()).await;
    for _ in 0..5 {
        client.publish_accepted(&note(&fresh_author(), "at home")).await;
    }
}

async fn the_deployments_policy_is_asked(servers: &Servers) {
    let server = servers.probe();
    let mut client = Client::connect(&server.url()).await;
    let refused = client.publish(&note(&fresh_author(), "forbidden by the policy")).await;
    assert_eq!(refused.message, "restricted: the policy forbids this");
    let known = note(&fresh_author(), "only of those who are known");
    assert!(client.publish(&known).await.refused_as("auth-required"));
    let challenge = client.challenge().await;
    assert!(client.authenticate(&identification(&fresh_author(), &server.url(), &challenge)).await.accepted);
    client.publish_accepted(&known).await;
}

async fn a_policy_that_panics_refuses_the_event(servers: &Servers) {
    let server = servers.probe();
    let mut client = Client::connect(&server.url()).await;
    assert!(client.publish(&note(&fresh_author(), "a panic in the policy")).await.refused_as("error"));
    client.publish_accepted(&note(&fresh_author(), "after a panic")).await;
}

async fn a_relay_list_is_taken_from_anybody(servers: &Servers) {
    let author = fresh_author();
    let list =
        event(&author, 10_002, &[&["r", "wss://relay.example.com"], &["r", "wss://b.example", "read"]], "");
    servers.client().await.publish_accepted(&list).await;
    let filter = json!({"kinds": [10_002], "authors": [author.public_key()]});
    assert_eq!(servers.client().await.query(&[filter]).await, [list]);
}

async fn the_document_says_what_the_configuration_does(servers: &Servers) {
    let admin = fresh_author().public_key().to_hex();
    let server = server(
        servers,
        &[
            ("RELAY_AUTH", "all"),
            ("RELAY_MAX_LIMIT", "50"),
            ("RELAY_PRIVATE_KINDS", "none"),
            ("RELAY_ICON", "https://relay.example/icon.png"),
            ("RELAY_CONTACT", "mailto:ada@relay.example"),
            ("ADMIN_PUBKEYS", &admin),
        ],
    );
    let document = document(&server).await;
    let limitation = &document["limitation"];
    assert_eq!(
        (&limitation["auth_required"], &limitation["restricted_writes"]),
        (&json!(true), &json!(true))
    );
    assert_eq!((&limitation["max_limit"], &limitation["default_limit"]), (&json!(50), &json!(50)));
    assert_eq!(limitation["payment_required"], false);
    assert_eq!(document["icon"], "https://relay.example/icon.png");
    assert_eq!(document["contact"], "mailto:ada@relay.example");
    let nips: Vec<u64> = serde_json::from_value(document["supported_nips"].clone()).expect("numbers");
    for (nip, listed) in
        [(1, true), (11, true), (42, true), (70, true), (86, true), (13, false), (17, false), (59, false)]
    {
        assert_eq!(nips.contains(&nip), listed, "{nip} in {nips:?}");
    }
}

/// Operators are told what is wrong with a variable; strangers, only which one it is. Nobody is shown a password.
async fn a_setting_that_cannot_be_used_is_told(servers: &Servers) {
    let with_password = "wss://anna:hunter2@relay.example.com";
    for (name, value, expected) in [
        ("RELAY_MIN_POW", "plenty", "the variable RELAY_MIN_POW must be a whole number from 0 to 64"),
        ("RELAY_RETENTION", "7000=1d,0-9=1d", "RELAY_RETENTION is invalid: events of kind 5 are always kept"),
        ("RELAY_URL", "relay.example.com", "the variable RELAY_URL is not a relay URL"),
        (
            "RELAY_MAX_FILTER",
            "5",
            "nobody reads the variable `RELAY_MAX_FILTER`: did you mean `RELAY_MAX_FILTERS`?",
        ),
        ("NOSTR_PRIVATEKEY", "5", "did you mean `NOSTR_PRIVATE_KEY`?"),
        ("RELAY_URL", with_password, "a user name or a password is not accepted"),
        ("AGENT_RELAYS", with_password, "a user name or a password is not accepted"),
    ] {
        let variables = [(name, value.to_owned())];
        let log = match Server::start_unwell_with(servers.host(), "hello-world", &variables) {
            Err(told) => told,
            Ok(server) => {
                assert_eq!(servers.host(), Host::Workerd, "it started all the same");
                let is_of_relay = name != "AGENT_RELAYS";
                if is_of_relay {
                    let refused = Client::try_connect(&server.url()).await.expect_err("nobody is let in");
                    assert_eq!(status(&refused), 500);
                }
                let accept = if is_of_relay { "application/nostr+json" } else { "text/plain" };
                let headers = [("Accept", accept)];
                let answer = request(server.address(), "GET", "/", &headers).await.expect("an answer");
                let told = String::from_utf8_lossy(&answer.body).into_owned();
                let for_strangers = format!("the configuration is invalid: see the variable {name};");
                assert!(answer.status == 500 && told.contains(&for_strangers), "{told}");
                assert!(!told.contains(value) && !told.contains("example"), "{told}");
                server.log_with(expected).await
            }
        };
        assert!(log.contains(expected) && log.contains(name), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
