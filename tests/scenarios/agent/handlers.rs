//! What handlers can do: fail, panic, hang, retry, run concurrently or alone.

use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys, PublicKey};
use openagents_tests::events::{as_json, event, fresh_author, tags};
use openagents_tests::jobs::{Conversation, ask, follow, listen, request, status_text};
use openagents_tests::server::Host;
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        a_final_error_is_told_to_the_customer,
        an_internal_error_keeps_its_text_to_itself,
        a_panic_is_an_error_and_the_agent_lives_on,
        a_handler_that_hangs_is_ended,
        a_retryable_error_is_tried_again,
        a_retryable_error_ends_after_the_last_attempt,
        a_failed_handler_leaves_the_state_as_it_was,
        handlers_that_share_the_state_run_side_by_side,
        handlers_that_change_the_state_run_one_after_another,
        a_slow_handler_does_not_hold_up_the_relay,
        structured_output_is_json,
        structured_input_is_json,
        parameters_reach_the_handler,
        a_wrong_parameter_is_named_to_the_customer,
        a_handler_adds_tags_to_its_result,
    }
    on [Host::Native] => {
        a_handler_that_computes_does_not_hold_up_the_relay,
    }
}

/// A customer of a probe agent.
struct Customer {
    client: Client,
    keys: Keys,
    agent: PublicKey,
}

impl Customer {
    async fn new(servers: &Servers) -> Self {
        let server = servers.probe();
        Self { client: Client::connect(&server.url()).await, keys: fresh_author(), agent: server.agent() }
    }

    fn request(&self, kind: u16, input: &str, parameters: &[(&str, &str)]) -> Event {
        request(&self.keys, kind, Some(self.agent), input, parameters)
    }

    async fn ask(&mut self, kind: u16, input: &str, parameters: &[(&str, &str)]) -> Conversation {
        let request = self.request(kind, input, parameters);
        ask(&mut self.client, &request).await
    }

    async fn expect_agent_alive(&mut self) {
        assert_eq!(self.ask(5900, "alive", &[]).await.result().content, "alive");
    }

    /// Sends all requests at once and waits for all results.
    async fn ask_all(&mut self, requests: &[Event]) -> Vec<Conversation> {
        let mut said = Vec::new();
        for request in requests {
            said.push(listen(&mut self.client, request).await);
        }
        for request in requests {
            self.client.send(&json!(["EVENT", as_json(request)])).await;
        }
        let mut open = requests.len();
        while open > 0 {
            let frame = self.client.receive_within(PATIENCE).await.expect("an answer");
            let openagents_tests::wire::Frame::Event(subscription, event) = frame else { continue };
            let index =
                requests.iter().position(|request| request.id.to_hex() == subscription).expect("ours");
            if event.kind.as_u16() == 7000 {
                said[index].feedback.push(*event);
            } else {
                said[index].results.push(*event);
            }
            open -= usize::from(said[index].is_over());
        }
        said
    }
}

async fn a_final_error_is_told_to_the_customer(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5901, "please", &[]).await;
    assert_eq!(status_text(said.error()), "cannot do: please");
    assert_eq!(said.statuses(), ["processing", "error"]);
    customer.expect_agent_alive().await;
}

async fn an_internal_error_keeps_its_text_to_itself(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5910, "x", &[]).await;
    let told = as_json(said.error()).to_string();
    assert!(!status_text(said.error()).is_empty(), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

async fn a_panic_is_an_error_and_the_agent_lives_on(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5902, "secret", &[]).await;
    let told = status_text(said.error());
    assert!(!told.is_empty() && !told.contains("secret"), "{told}");
    customer.expect_agent_alive().await;
    // A panic with the state borrowed must not poison it either.
    customer.ask(5911, "count", &[]).await.result();
}

async fn a_handler_that_hangs_is_ended(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let started = Instant::now();
    let said = customer.ask(5906, "hang", &[]).await;
    assert!(!status_text(said.error()).is_empty());
    assert!(started.elapsed() < Duration::from_secs(8), "ended only after {:?}", started.elapsed());
    customer.expect_agent_alive().await;
}

async fn a_retryable_error_is_tried_again(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5903, "again", &[]).await;
    assert_eq!(said.result().content, "attempt 3");
    assert_eq!(
        said.statuses(),
        ["processing"],
        "attempts that will be repeated are not the customer's business"
    );
}

async fn a_retryable_error_ends_after_the_last_attempt(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let started = Instant::now();
    let said = customer.ask(5909, "never", &[]).await;
    assert_eq!(status_text(said.error()), "attempt 2 was in vain");
    assert!(started.elapsed() > Duration::from_millis(500), "a pause between attempts");
}

async fn a_failed_handler_leaves_the_state_as_it_was(servers: &Servers) {
    // On a server of its own, so that only this scenario counts.
    let server = servers.own("probe");
    let client = Client::connect(&server.url()).await;
    let mut customer = Customer { client, keys: fresh_author(), agent: server.agent() };
    assert_eq!(customer.ask(5911, "", &[("as", "content")]).await.result().content, "1");
    // Each of these counts before it fails, panics or hangs.
    for kind in [5901, 5902, 5906] {
        customer.ask(kind, "in vain", &[]).await.error();
    }
    assert_eq!(customer.ask(5911, "", &[("as", "content")]).await.result().content, "2");
}

async fn handlers_that_share_the_state_run_side_by_side(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let requests = ["a", "b", "c"].map(|name| customer.request(5904, name, &[("milliseconds", "1000")]));
    let started = Instant::now();
    for said in customer.ask_all(&requests).await {
        said.result();
    }
    assert!(started.elapsed() < Duration::from_millis(2200), "took {:?}", started.elapsed());
    assert!(started.elapsed() > Duration::from_millis(990), "did not sleep: {:?}", started.elapsed());
}

async fn handlers_that_change_the_state_run_one_after_another(servers: &Servers) {
    let server = servers.own("probe");
    let client = Client::connect(&server.url()).await;
    let mut customer = Customer { client, keys: fresh_author(), agent: server.agent() };
    let names = ["a", "b", "c", "d"];
    let requests = names.map(|name| customer.request(5905, name, &[("milliseconds", "150")]));
    for said in customer.ask_all(&requests).await {
        said.result();
    }
    let state: Value =
        serde_json::from_str(&customer.ask(5907, "state", &[]).await.result().content).expect("JSON");
    let steps: Vec<&str> =
        state["steps"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(steps.len(), 2 * names.len(), "nothing is lost: {steps:?}");
    for pair in steps.chunks(2) {
        assert_eq!(pair[0].strip_prefix("start "), pair[1].strip_prefix("end "), "interleaved: {steps:?}");
    }
}

async fn a_slow_handler_does_not_hold_up_the_relay(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let slow = customer.request(5904, "slow", &[("milliseconds", "1500")]);
    let mut said = listen(&mut customer.client, &slow).await;
    customer.client.publish_accepted(&slow).await;
    let started = Instant::now();
    let mut other = Client::connect(&servers.probe().url()).await;
    other.publish_accepted(&event(&fresh_author(), 1, &[], "meanwhile")).await;
    assert!(started.elapsed() < Duration::from_secs(1), "held up for {:?}", started.elapsed());
    follow(&mut customer.client, &slow, &mut said, PATIENCE).await;
    said.result();
}

async fn a_handler_that_computes_does_not_hold_up_the_relay(servers: &Servers) {
    const TRIAL: u64 = 5_000_000;
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let compute = |number: usize, rounds: u64| {
        let parameters = [("rounds", rounds.to_string()), ("number", number.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        request(&fresh_author(), 5993, Some(server.agent()), "", &parameters)
    };
    let began = Instant::now();
    ask(&mut client, &compute(0, TRIAL)).await.result();
    let took = u64::try_from(began.elapsed().as_millis()).expect("a short time");
    let rounds = TRIAL * 5_000 / took.max(1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    for number in 0..=threads {
        client.publish_accepted(&compute(number, rounds)).await;
    }
    let mut other = Client::connect(&server.url()).await;
    let note = event(&fresh_author(), 1, &[], "meanwhile");
    other.publish_accepted(&note).await;
    assert_eq!(other.query(&[json!({"ids": [note.id]})]).await, [note]);
    // All have begun, and none has ended.
    while other.query(&[json!({"kinds": [7000], "limit": 100})]).await.len() < threads + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    other.publish_accepted(&event(&fresh_author(), 1, &[], "and now")).await;
    let health = openagents_tests::http::request(server.address(), "GET", "/health", &[]).await;
    assert_eq!(health.expect("an answer").status, 200);
    let results = other.query(&[json!({"kinds": [6993], "limit": 100})]).await;
    assert_eq!(results.len(), 1, "they still compute");
}

async fn structured_output_is_json(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5908, "one two  three", &[]).await;
    let output: Value = serde_json::from_str(&said.result().content).expect("JSON");
    assert_eq!(output, json!({"words": ["one", "two", "three"], "count": 3}));
}

async fn structured_input_is_json(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5933, r#"{"parts": [1, 2, 39]}"#, &[]).await;
    assert_eq!(said.result().content, "42");
    let said = customer.ask(5933, r#"{"parts": [1, "two"]}"#, &[]).await;
    let told = status_text(said.error());
    assert!(told.contains("string \"two\", expected i64 at line 1 column 19"), "{told}");
}

async fn parameters_reach_the_handler(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let started = Instant::now();
    let said = customer.ask(5904, "parameter", &[("other", "x"), ("milliseconds", "250")]).await;
    assert_eq!(said.result().content, "parameter");
    assert!(started.elapsed() >= Duration::from_millis(250));
}

async fn a_wrong_parameter_is_named_to_the_customer(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5904, "x", &[("milliseconds", "soon")]).await;
    let told = status_text(said.error());
    assert!(told.contains("milliseconds") && told.contains("soon"), "{told}");
}

async fn a_handler_adds_tags_to_its_result(servers: &Servers) {
    let mut customer = Customer::new(servers).await;
    let said = customer.ask(5913, "tagged", &[]).await;
    let added: [String; 3] = ["sort", "by", "rank"].map(str::to_owned);
    assert_eq!(tags(said.result(), "sort"), [added.as_slice()]);
}
