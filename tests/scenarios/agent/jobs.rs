//! Jobs (NIP-90): each request is answered once, to the right customer.

use std::collections::HashSet;
use std::time::Duration;

use nostr_sdk::nostr::{Event, PublicKey};
use openagents_tests::events::{as_json, event, fresh_author, tag_value, tags, verified};
use openagents_tests::jobs::{self, ask, request};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_is_processed_and_answered,
    the_answers_are_the_agents_own,
    the_result_refers_to_its_request,
    the_feedback_refers_to_its_request,
    the_answers_are_stored,
    a_customer_that_left_finds_the_result_later,
    a_request_to_another_agent_is_not_answered,
    a_request_to_several_agents_is_answered,
    a_request_to_nobody_in_particular_is_answered,
    a_kind_without_handler_is_stored_but_not_answered,
    the_content_serves_as_input_where_there_is_no_tag,
    a_request_without_input_is_refused_with_a_reason,
    input_arrives_unchanged,
    a_long_output_arrives_whole,
    a_repeated_request_is_answered_once,
    equal_requests_of_two_customers_are_two_jobs,
    a_forged_request_is_not_worked_on,
    a_hundred_jobs_at_once_get_one_result_each,
];

/// A new customer, connected to the relay of the shared `probe`.
pub(crate) struct Customer {
    pub(crate) client: Client,
    pub(crate) keys: nostr_sdk::nostr::Keys,
    pub(crate) agent: PublicKey,
}

impl Customer {
    pub(crate) async fn of_probe(servers: &Servers) -> Self {
        let server = servers.probe();
        let client = Client::connect(&server.url()).await;
        Self { client, keys: fresh_author(), agent: server.agent() }
    }

    fn echo(&self, input: &str) -> Event {
        request(&self.keys, 5900, Some(self.agent), input, &[])
    }

    /// Publishes a request and checks that the agent does not answer it.
    pub(crate) async fn expect_no_answer(&mut self, request: &Event) {
        self.client.publish_accepted(request).await;
        // A second request, which is answered, shows that the agent has seen the first.
        let echo = self.echo("are you there?");
        ask(&mut self.client, &echo).await.result();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let said = jobs::stored(&mut self.client, request).await;
        assert!(said.feedback.is_empty() && said.results.is_empty(), "{said:?}");
        let stored = self.client.query(&[json!({"ids": [request.id]})]).await;
        assert_eq!(stored, std::slice::from_ref(request));
    }
}

async fn a_request_is_processed_and_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.echo("hello");
    let said = ask(&mut customer.client, &request).await;
    assert_eq!(said.statuses(), ["processing"]);
    assert_eq!(said.result().kind.as_u16(), 6900);
    assert_eq!(said.result().content, "hello");
}

async fn the_answers_are_the_agents_own(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.echo("hello");
    let said = ask(&mut customer.client, &request).await;
    for answer in said.feedback.iter().chain(&said.results) {
        assert_eq!(answer.pubkey, customer.agent);
    }
}

async fn the_result_refers_to_its_request(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.echo("with \"quotes\" and é");
    let said = ask(&mut customer.client, &request).await;
    let result = said.result();
    let original = tag_value(result, "request").expect("one request tag");
    let original = serde_json::from_str(&original).expect("the request as JSON");
    assert_eq!(verified(&original), request);
    assert_eq!(tag_value(result, "e"), Some(request.id.to_hex()));
    assert_eq!(tag_value(result, "p"), Some(customer.keys.public_key().to_hex()));
    assert_eq!(tags(result, "i"), tags(&request, "i"));
    assert!(result.created_at >= request.created_at);
}

async fn the_feedback_refers_to_its_request(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.echo("hello");
    let said = ask(&mut customer.client, &request).await;
    for feedback in &said.feedback {
        assert_eq!(feedback.kind.as_u16(), 7000);
        assert_eq!(tag_value(feedback, "e"), Some(request.id.to_hex()));
        assert_eq!(tag_value(feedback, "p"), Some(customer.keys.public_key().to_hex()));
    }
}

async fn the_answers_are_stored(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.echo("hello");
    let said = ask(&mut customer.client, &request).await;
    let stored = jobs::stored(&mut customer.client, &request).await;
    assert_eq!(stored.result(), said.result());
    let to_me = json!({"#p": [customer.keys.public_key()], "kinds": [6900]});
    assert_eq!(customer.client.query(&[to_me]).await, said.results);
}

async fn a_customer_that_left_finds_the_result_later(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = request(&customer.keys, 5904, Some(customer.agent), "later", &[("milliseconds", "300")]);
    customer.client.publish_accepted(&request).await;
    customer.client.vanish();
    let mut returned = Client::connect(&servers.probe().url()).await;
    let mut said = jobs::listen(&mut returned, &request).await;
    jobs::follow(&mut returned, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "later");
}

async fn a_request_to_another_agent_is_not_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let other = fresh_author().public_key();
    let request = request(&customer.keys, 5900, Some(other), "not for you", &[]);
    customer.expect_no_answer(&request).await;
}

async fn a_request_to_several_agents_is_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let (agent, other) = (customer.agent.to_hex(), fresh_author().public_key().to_hex());
    for order in [[&agent, &other], [&other, &agent]] {
        let tags: [&[&str]; 3] = [&["i", "for you too", "text"], &["p", order[0]], &["p", order[1]]];
        let request = event(&customer.keys, 5900, &tags, "");
        assert_eq!(ask(&mut customer.client, &request).await.result().content, "for you too");
    }
}

async fn a_request_to_nobody_in_particular_is_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = request(&customer.keys, 5900, None, "anyone?", &[]);
    assert_eq!(ask(&mut customer.client, &request).await.result().content, "anyone?");
}

async fn a_kind_without_handler_is_stored_but_not_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    for kind in [5000, 5050, 5999] {
        let request = request(&customer.keys, kind, Some(customer.agent), "nobody does this", &[]);
        customer.expect_no_answer(&request).await;
    }
}

async fn the_content_serves_as_input_where_there_is_no_tag(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    let request = event(&customer.keys, 5900, &[&["p", &agent]], "from the content");
    assert_eq!(ask(&mut customer.client, &request).await.result().content, "from the content");
}

async fn a_request_without_input_is_refused_with_a_reason(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    let request = event(&customer.keys, 5900, &[&["p", &agent]], "");
    let said = ask(&mut customer.client, &request).await;
    assert!(!jobs::status_text(said.error()).is_empty(), "{said:?}");
}

async fn input_arrives_unchanged(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let long = "0123456789 é 漢字 🦀\n".repeat(2000);
    for input in ["\" \\ \n \t \u{7f}\u{2028}", "🦀", " spaces around ", &long] {
        let request = customer.echo(input);
        assert_eq!(ask(&mut customer.client, &request).await.result().content, input);
    }
}

async fn a_long_output_arrives_whole(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let parameters = [("bytes", "100000")];
    let request = request(&customer.keys, 5912, Some(customer.agent), "x", &parameters);
    assert_eq!(ask(&mut customer.client, &request).await.result().content, "x".repeat(100_000));
}

async fn a_repeated_request_is_answered_once(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let url = servers.probe().url();
    let parameters = [("milliseconds", "300")];
    let request = request(&customer.keys, 5904, Some(customer.agent), "once", &parameters);
    let mut said = jobs::listen(&mut customer.client, &request).await;
    let mut others = [Client::connect(&url).await, Client::connect(&url).await, Client::connect(&url).await];
    for client in &mut others {
        client.send(&json!(["EVENT", as_json(&request)])).await;
    }
    for client in &mut others {
        assert!(client.answer_to(&request.id.to_hex()).await.accepted);
    }
    jobs::follow(&mut customer.client, &request, &mut said, PATIENCE).await;
    // Once more, after the result.
    assert!(customer.client.publish(&request).await.accepted);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let stored = jobs::stored(&mut customer.client, &request).await;
    assert_eq!(stored.result(), said.result());
    assert_eq!(stored.statuses(), ["processing"]);
}

async fn equal_requests_of_two_customers_are_two_jobs(servers: &Servers) {
    let mut ada = Customer::of_probe(servers).await;
    let mut grace = Customer::of_probe(servers).await;
    let (of_ada, of_grace) = (ada.echo("the same"), grace.echo("the same"));
    let to_ada = ask(&mut ada.client, &of_ada).await;
    let to_grace = ask(&mut grace.client, &of_grace).await;
    assert_eq!(tag_value(to_ada.result(), "p"), Some(ada.keys.public_key().to_hex()));
    assert_eq!(tag_value(to_grace.result(), "p"), Some(grace.keys.public_key().to_hex()));
}

async fn a_forged_request_is_not_worked_on(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let real = customer.echo("what was signed");
    let mut forged = as_json(&real);
    forged["tags"][0][1] = json!("what was not");
    assert!(customer.client.publish_json(&forged).await.refused_as("invalid"));
    let said = jobs::stored(&mut customer.client, &real).await;
    assert!(said.feedback.is_empty() && said.results.is_empty(), "{said:?}");
    assert_eq!(ask(&mut customer.client, &real).await.result().content, "what was signed");
}

async fn a_hundred_jobs_at_once_get_one_result_each(servers: &Servers) {
    // On a server of its own, since the count must start at one.
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    let results = json!({"kinds": [6911], "#p": [customer.public_key()]});
    client.subscribe("results", std::slice::from_ref(&results)).await;
    let requests: Vec<Event> =
        (0..100).map(|n| request(&customer, 5911, Some(server.agent()), &n.to_string(), &[])).collect();
    for request in &requests {
        client.send(&json!(["EVENT", as_json(request)])).await;
    }
    for request in &requests {
        assert!(client.answer_to(&request.id.to_hex()).await.accepted);
    }
    let mut counts = HashSet::new();
    let mut answered = HashSet::new();
    for _ in &requests {
        let result = client.next_event("results").await;
        assert!(answered.insert(tag_value(&result, "e")), "a second result: {result:?}");
        assert!(counts.insert(result.content.parse::<u32>().expect("a count")), "counted twice: {result:?}");
    }
    assert_eq!(counts.into_iter().max(), Some(100));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut all = results;
    all["limit"] = json!(500);
    assert_eq!(client.query(&[all]).await.len(), 100);
}
