//! NIP-90 rule by rule, as far as no other scenario covers it. `docs/nip90.md` lists all rules with their scenarios.

use std::time::Duration;

use nostr_sdk::nostr::Event;
use openagents_sdk::client::{JobClient, JobUpdate, Order};
use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::{Encryption, Keys as CustomerKeys, Kind, PublicKey};
use openagents_tests::events::{as_json, event, fresh_author, note, now, tag_value, tags};
use openagents_tests::jobs::{self, Conversation, ask, follow, listen, request, status_text};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::agent::jobs::Customer;
use crate::clients::foreign_clients::{node, run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    a_request_without_any_tag_is_answered,
    inputs_of_every_type_reach_the_handler_in_their_order,
    an_input_without_a_known_type_is_a_text,
    every_value_of_a_parameter_reaches_the_handler,
    output_bid_relays_topics_and_expiration_reach_the_handler,
    malformed_tags_are_passed_over,
    a_request_that_names_nobody_who_exists_is_not_answered,
    kinds_beside_those_of_requests_are_no_jobs,
    an_event_is_looked_up_where_the_input_says,
    an_address_is_fetched,
    a_private_address_is_not_fetched,
    a_job_builds_upon_one_on_another_relay,
    a_sealed_output_goes_on_to_its_customer_only,
    sealed_inputs_and_parameters_reach_the_handler,
    the_output_type_that_ndk_seals_too_is_read,
    partial_output_of_a_sealed_job_is_sealed,
    the_answers_say_where_the_request_is,
    a_job_that_is_over_is_not_cancelled,
    a_deletion_of_another_kind_cancels_nothing,
    one_deletion_cancels_several_jobs,
    an_agent_is_found_by_the_kinds_of_its_jobs,
];

/// What the probe gets of a request with these tags, and its answers.
async fn show(customer: &mut Customer, tags: &[&[&str]]) -> (Value, Event, Conversation) {
    let request = event(&customer.keys, 5929, tags, "");
    let said = ask(&mut customer.client, &request).await;
    let shown = serde_json::from_str(&said.result().content).expect("JSON");
    (shown, request, said)
}

async fn a_request_without_any_tag_is_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let (shown, _, said) = show(&mut customer, &[]).await;
    assert_eq!((&shown["inputs"], &shown["bid"]), (&json!([]), &Value::Null));
    assert!(tags(said.result(), "i").is_empty());
}

async fn inputs_of_every_type_reach_the_handler_in_their_order(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let id = "ab".repeat(32);
    let inputs: [&[&str]; 4] = [
        &["i", "https://a.example/page", "url"],
        &["i", &id, "event", "wss://a.example", "source"],
        &["i", "a question", "text", "", "prompt"],
        &["i", "a text", "text"],
    ];
    let (shown, request, said) = show(&mut customer, &inputs).await;
    let read = json!([
        ["https://a.example/page", "url", null, null],
        [id, "event", "wss://a.example", "source"],
        ["a question", "text", null, "prompt"],
        ["a text", "text", null, null],
    ]);
    assert_eq!(shown["inputs"], read);
    assert_eq!(tags(said.result(), "i"), tags(&request, "i"), "the result repeats them as they came");
}

async fn an_input_without_a_known_type_is_a_text(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    for input in [&["i", "hello"] as &[&str], &["i", "hello", ""], &["i", "hello", "prompt"]] {
        let request = event(&customer.keys, 5900, &[input, &["p", &agent]], "");
        assert_eq!(ask(&mut customer.client, &request).await.result().content, "hello", "{input:?}");
    }
}

async fn every_value_of_a_parameter_reaches_the_handler(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let params: [&[&str]; 3] =
        [&["param", "value", "300", "360"], &["param", "other", "no"], &["param", "value", "again"]];
    let (shown, ..) = show(&mut customer, &params).await;
    assert_eq!(shown["values"], json!(["300", "360", "again"]));
}

async fn output_bid_relays_topics_and_expiration_reach_the_handler(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let expiry = now() + 600;
    // This relay is in a private network, so it reaches the handler but is not connected to.
    let written: [&[&str]; 7] = [
        &["output", "text/vtt", "text/plain"],
        &["output", "text/html"],
        &["bid", "5000"],
        &["relays", "ws://10.0.0.1:1"],
        &["t", "bitcoin"],
        &["t", "health"],
        &["expiration", &expiry.to_string()],
    ];
    let (shown, ..) = show(&mut customer, &written).await;
    assert_eq!(shown["output"], json!(["text/vtt", "text/plain", "text/html"]));
    assert_eq!(shown["bid"], 5000);
    assert_eq!(shown["relays"], json!(["ws://10.0.0.1:1"]));
    assert_eq!(shown["topics"], json!(["bitcoin", "health"]));
    assert_eq!(shown["expires_at"], expiry);
}

async fn malformed_tags_are_passed_over(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let written: [&[&str]; 8] = [
        &["i"],
        &["i", "the one input"],
        &["param"],
        &["param", "value"],
        &["output", ""],
        &["relays"],
        &["bid", "as much as you like"],
        &["expiration", "soon"],
    ];
    let (shown, ..) = show(&mut customer, &written).await;
    let read = json!({
        "inputs": [["the one input", "text", null, null]], "values": [], "output": [], "bid": null,
        "relays": [], "topics": [], "expires_at": null,
    });
    assert_eq!(shown, read);
}

async fn a_request_that_names_nobody_who_exists_is_not_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    for named in [&["p", "somebody"] as &[&str], &["p", ""], &["p"]] {
        let request = event(&customer.keys, 5900, &[&["i", "for whom?", "text"], named], "");
        customer.expect_no_answer(&request).await;
    }
}

async fn kinds_beside_those_of_requests_are_no_jobs(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    for kind in [4999, 6000, 6900, 7000] {
        let tags: [&[&str]; 2] = [&["i", "no request", "text"], &["p", &agent]];
        customer.expect_no_answer(&event(&customer.keys.clone(), kind, &tags, "")).await;
    }
}

/// A relay of another agent.
fn external() -> Server {
    Server::start(Host::Native, "hello-world").unwrap_or_else(|error| panic!("{error}"))
}

/// A probe that may connect to a relay on this machine.
fn far_reaching(servers: &Servers) -> Server {
    servers.own_with("probe", &[("ALLOW_PRIVATE_ADDRESSES", "true".to_owned())])
}

/// The answers of a server's agent to a request with one input.
async fn ask_with(server: &Server, kind: u16, input: &[&str]) -> Conversation {
    let request = event(&fresh_author(), kind, &[input, &["p", &server.agent().to_hex()]], "");
    ask(&mut Client::connect(&server.url()).await, &request).await
}

async fn publish(relay: &Server, events: &[&Event]) {
    let mut client = Client::connect(&relay.url()).await;
    for event in events {
        client.publish_accepted(event).await;
    }
}

async fn an_event_is_looked_up_where_the_input_says(servers: &Servers) {
    let (agent, external) = (far_reaching(servers), external());
    let (here, there) = (note(&fresh_author(), "here"), note(&fresh_author(), "there"));
    publish(&agent, &[&here]).await;
    publish(&external, &[&there]).await;
    let (here, there) = (here.id.to_hex(), there.id.to_hex());
    assert_eq!(ask_with(&agent, 5991, &["i", &here, "event"]).await.result().content, "here");
    let said = ask_with(&agent, 5991, &["i", &there, "event"]).await;
    assert!(status_text(said.error()).contains("add the relay that has it"), "{said:?}");
    let said = ask_with(&agent, 5991, &["i", &there, "event", &external.url()]).await;
    assert_eq!(said.result().content, "there");
}

async fn an_address_is_fetched(servers: &Servers) {
    let (agent, external) = (far_reaching(servers), external());
    let health = format!("http://{}/health", external.address());
    let text = ask_with(&agent, 5992, &["i", &health, "url"]).await.result().content.clone();
    let read: Value = serde_json::from_str(&text).expect("what the address has");
    assert_eq!(read["unfinished_jobs"], 0, "{text}");
}

async fn a_private_address_is_not_fetched(servers: &Servers) {
    let agent = servers.probe();
    let health = format!("http://{}/health", agent.address());
    for address in [&*health, "http://10.0.0.1/", "file:///etc/passwd", "no address"] {
        let said = ask_with(&agent, 5992, &["i", address, "url"]).await;
        assert!(status_text(said.error()).contains("URL"), "{address}: {said:?}");
    }
}

async fn a_job_builds_upon_one_on_another_relay(servers: &Servers) {
    let (agent, external) = (far_reaching(servers), external());
    let (customer, other) = (fresh_author(), fresh_author());
    let first = request(&customer, 5999, Some(other.public_key()), "for the other agent", &[]);
    let (id, p) = (first.id.to_hex(), customer.public_key().to_hex());
    let result = event(&other, 6999, &[&["e", &id], &["p", &p]], "the output from afar");
    publish(&external, &[&first, &result]).await;
    let said = ask_with(&agent, 5900, &["i", &id, "job", &external.url()]).await;
    assert_eq!(said.result().content, "the output from afar");
}

/// A customer that is a program.
pub(crate) async fn client(server: &Server) -> JobClient {
    let keys = CustomerKeys::generate().expect("random bytes");
    JobClient::connect(&server.url(), keys).await.expect("a connection")
}

pub(crate) fn key(of: &nostr_sdk::nostr::PublicKey) -> PublicKey {
    PublicKey::from_hex(&of.to_hex()).expect("a key")
}

async fn a_sealed_output_goes_on_to_its_customer_only(servers: &Servers) {
    let server = servers.probe();
    let client = client(&server).await;
    let provider = key(&server.agent());
    let first = RequestBuilder::new(Kind(5900)).provider(&provider).text("between us");
    let mut first = client.submit(Order::new(first).sealed(Encryption::Nip44)).await.expect("accepted");
    first.result(PATIENCE).await.expect("a result");
    let second = Order::new(RequestBuilder::new(Kind(5900)).provider(&provider)).sealed(Encryption::Nip44);
    let mut second = client.chain(&first, second).await.expect("accepted");
    assert_eq!(second.result(PATIENCE).await.expect("a result").content, "between us");

    let mut stranger = Customer::of_probe(servers).await;
    let agent = stranger.agent.to_hex();
    let tags: [&[&str]; 2] = [&["i", &first.id().to_hex(), "job"], &["p", &agent]];
    let prying = event(&stranger.keys, 5900, &tags, "");
    let said = ask(&mut stranger.client, &prying).await;
    assert!(status_text(said.error()).contains("for another customer"), "{said:?}");
}

async fn sealed_inputs_and_parameters_reach_the_handler(servers: &Servers) {
    let server = servers.probe();
    let client = client(&server).await;
    for encryption in [Encryption::Nip04, Encryption::Nip44] {
        let request = RequestBuilder::new(Kind(5929)).provider(&key(&server.agent())).text("a secret");
        let request = request.url("https://secret.example").params("value", ["1", "2"]).param("value", "3");
        let mut job = client.submit(Order::new(request).sealed(encryption)).await.expect("accepted");
        assert!(!job.request().event.json().contains("secret"));
        let shown = job.result(PATIENCE).await.expect("a result").content;
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let inputs = json!([["a secret", "text", null, null], ["https://secret.example", "url", null, null]]);
        assert_eq!((&shown["inputs"], &shown["values"]), (&inputs, &json!(["1", "2", "3"])));
    }
}

async fn the_output_type_that_ndk_seals_too_is_read(servers: &Servers) {
    let server = servers.probe();
    for encryption in ["nip04", "nip44"] {
        let order = json!({"kind": 5929, "input": "hello", "encryption": encryption}).to_string();
        let output = run(node("ndk.mjs", &[&server.url(), &server.agent().to_hex(), &order])).await;
        assert!(output.status.success(), "{}", shown(&output));
        let heard: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(!heard["request"].to_string().contains("text/plain"), "NDK seals it: {heard}");
        let last = heard["answers"].as_array().and_then(|answers| answers.last()).expect("an answer");
        let read: Value = serde_json::from_str(last["plaintext"].as_str().expect("a text")).expect("JSON");
        assert_eq!(read["output"], json!(["text/plain"]));
    }
}

async fn partial_output_of_a_sealed_job_is_sealed(servers: &Servers) {
    let server = servers.probe();
    let client = client(&server).await;
    let secret = ["secret"; 25].join(" ");
    let request = RequestBuilder::new(Kind(5921)).provider(&key(&server.agent())).text(&secret);
    let order = Order::new(request).sealed(Encryption::Nip44);
    let mut job = client.submit(order).await.expect("accepted");
    let mut partials = 0;
    loop {
        match job.next().await.expect("news").expect("no end before the result") {
            JobUpdate::Partial { content, .. } => {
                assert!(!content.is_empty() && secret.starts_with(&content), "{content}");
                partials += 1;
            }
            JobUpdate::Result(result) => break assert_eq!(result.content.trim(), secret),
            _ => {}
        }
    }
    assert!(partials > 0);
    let filter = json!({"#e": [job.id().to_hex()], "authors": [server.agent()]});
    let answers = Client::connect(&server.url()).await.query(&[filter]).await;
    assert!(answers.len() > partials);
    for answer in answers {
        let json = as_json(&answer).to_string();
        assert!(!json.contains("secret"), "{json}");
    }
}

async fn the_answers_say_where_the_request_is(servers: &Servers) {
    let url = "wss://probe.example";
    let server = servers.own_with("probe", &[("RELAY_URL", url.to_owned())]);
    let request = request(&fresh_author(), 5900, Some(server.agent()), "hello", &[]);
    let said = ask(&mut Client::connect(&server.url()).await, &request).await;
    let reference = ["e".to_owned(), request.id.to_hex(), url.to_owned()];
    for answer in said.feedback.iter().chain([said.result()]) {
        assert_eq!(tags(answer, "e"), [reference.as_slice()]);
    }
}

async fn a_job_that_is_over_is_not_cancelled(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = request(&customer.keys, 5900, Some(customer.agent), "done", &[]);
    let said = ask(&mut customer.client, &request).await;
    let cancellation = event(&customer.keys, 5, &[&["e", &request.id.to_hex()], &["k", "5900"]], "");
    customer.client.publish_accepted(&cancellation).await;
    // A later request shows that the agent has seen it.
    let next = self::request(&customer.keys, 5900, Some(customer.agent), "next", &[]);
    ask(&mut customer.client, &next).await.result();
    let result = said.result().id;
    let answers = customer.client.query(&[json!({"#e": [request.id], "kinds": [6900, 7000]})]).await;
    assert!(answers.iter().any(|answer| answer.id == result), "{answers:?}");
    assert!(answers.iter().all(|answer| tag_value(answer, "status").as_deref() != Some("error")));
}

/// A slow job, once it has started.
async fn slow(customer: &mut Customer, input: &str, milliseconds: &str) -> (Event, Conversation) {
    let params = [("milliseconds", milliseconds)];
    let request = request(&customer.keys, 5904, Some(customer.agent), input, &params);
    let said = listen(&mut customer.client, &request).await;
    customer.client.publish_accepted(&request).await;
    let begun = customer.client.next_event(&jobs::subscription(&request)).await;
    assert_eq!(jobs::status(&begun), "processing");
    (request, said)
}

async fn a_deletion_of_another_kind_cancels_nothing(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let (request, mut said) = slow(&mut customer, "go on", "1500").await;
    let deletion = event(&customer.keys, 5, &[&["e", &request.id.to_hex()], &["k", "1"]], "");
    customer.client.publish_accepted(&deletion).await;
    follow(&mut customer.client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "go on");
}

async fn one_deletion_cancels_several_jobs(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let (one, mut said_of_one) = slow(&mut customer, "one", "60000").await;
    let (two, mut said_of_two) = slow(&mut customer, "two", "60000").await;
    let tags: [&[&str]; 2] = [&["e", &one.id.to_hex()], &["e", &two.id.to_hex()]];
    customer.client.publish_accepted(&event(&customer.keys, 5, &tags, "no longer wanted")).await;
    for (request, said) in [(&one, &mut said_of_one), (&two, &mut said_of_two)] {
        // Answers that arrived while the other job was followed are stored.
        tokio::time::sleep(Duration::from_millis(300)).await;
        said.feedback = jobs::stored(&mut customer.client, request).await.feedback;
        if !said.is_over() {
            follow(&mut customer.client, request, said, PATIENCE).await;
        }
        assert_eq!(status_text(said.error()), "cancelled by the customer");
    }
}

async fn an_agent_is_found_by_the_kinds_of_its_jobs(servers: &Servers) {
    let server = servers.clock();
    let mut client = Client::connect(&server.url()).await;
    // Its announcements are delivered after it has started.
    ask(&mut client, &request(&fresh_author(), 5930, Some(server.agent()), "", &[])).await.result();
    let mut found = Vec::new();
    for _ in 0..50 {
        found = client.query(&[json!({"kinds": [31_990], "#k": ["5932"]})]).await;
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let [information] = found.as_slice() else { panic!("one announcement: {found:?}") };
    assert_eq!(information.pubkey, server.agent());
    assert_eq!(tag_value(information, "d").as_deref(), Some("clock"));
    assert_eq!(tag_value(information, "t").as_deref(), Some("testing"));
    let kinds: Vec<&str> = tags(information, "k").iter().map(|tag| tag[1].as_str()).collect();
    assert_eq!(kinds, ["5930", "5931", "5932", "5933", "5935", "5936", "5934"]);
    let content: Value = serde_json::from_str(&information.content).expect("JSON");
    assert_eq!(content["name"], "clock");
    assert_eq!(content["about"], "Counts its schedule and hook runs, for tests.");
    assert_eq!(content["supportsEncryption"], true);
}
