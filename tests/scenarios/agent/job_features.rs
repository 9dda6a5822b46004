//! What an agent does beyond one answer to one request: partial output, chaining, refusals, memory, publishing
//! events.

use std::time::Duration;

use nostr_sdk::nostr::{Event, PublicKey, ToBech32 as _};
use openagents_tests::events::{event, event_at, fresh_author, note, now, tags};
use openagents_tests::http;
use openagents_tests::jobs::{self, Conversation, ask, follow, listen, request, status, status_text};
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::json;

use crate::agent::jobs::Customer;
use crate::servers::{Servers, scenarios};

scenarios![
    a_job_that_ends_soon_has_no_feedback,
    a_job_that_goes_on_has_feedback_after_a_while,
    partial_output_comes_about_once_a_second,
    progress_comes_about_once_a_second,
    an_expired_request_is_refused,
    a_request_that_expires_later_is_answered,
    a_stale_request_is_refused,
    a_request_from_the_future_is_refused,
    a_job_builds_upon_another_that_is_done,
    a_job_waits_for_another_that_is_not_done,
    a_job_waits_for_another_that_comes_later,
    a_job_builds_upon_a_result_by_another_agent,
    a_job_ends_when_the_one_it_builds_upon_fails,
    a_job_that_builds_upon_no_event_is_refused,
    a_waiting_job_is_cancelled,
    a_queued_job_is_cancelled,
    a_free_handler_ignores_the_bid,
    memory_is_kept_from_job_to_job,
    memory_survives_a_kill,
    a_failed_handler_remembers_nothing,
    a_conversation_goes_on_with_its_customer,
    an_agent_has_tables_of_its_own,
    an_agent_publishes_events_of_its_own,
    an_agent_reads_its_relay,
    an_agent_announces_itself_once,
    the_manifest_is_signed,
];

impl Customer {
    fn job(&self, kind: u16, input: &str, parameters: &[(&str, &str)]) -> Event {
        request(&self.keys, kind, Some(self.agent), input, parameters)
    }

    async fn ask(&mut self, kind: u16, input: &str, parameters: &[(&str, &str)]) -> Conversation {
        let request = self.job(kind, input, parameters);
        ask(&mut self.client, &request).await
    }

    async fn output(&mut self, kind: u16, input: &str, parameters: &[(&str, &str)]) -> String {
        self.ask(kind, input, parameters).await.result().content.clone()
    }

    /// A request to echo the output of another job.
    fn echo_of(&self, other: &Event) -> Event {
        let agent = self.agent.to_hex();
        event(&self.keys, 5900, &[&["i", &other.id.to_hex(), "job"], &["p", &agent]], "")
    }

    /// Publishes a request and waits for feedback with this `status`.
    async fn order(&mut self, request: &Event, status: &str) -> Conversation {
        let mut said = listen(&mut self.client, request).await;
        self.client.publish_accepted(request).await;
        while said.feedback.last().map(jobs::status).as_deref() != Some(status) {
            said.feedback.push(self.client.next_event(&jobs::subscription(request)).await);
        }
        said
    }

    async fn cancel(&mut self, request: &Event) {
        let (id, kind) = (request.id.to_hex(), request.kind.to_string());
        let cancellation = event(&self.keys, 5, &[&["e", &id], &["k", &kind]], "");
        self.client.publish_accepted(&cancellation).await;
    }
}

/// Feedback with this status, in the order of arrival.
fn with_status<'a>(said: &'a Conversation, wanted: &str) -> Vec<&'a Event> {
    said.feedback.iter().filter(|feedback| status(feedback) == wanted).collect()
}

async fn a_job_that_ends_soon_has_no_feedback(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.job(5915, "soon", &[]);
    assert_eq!(ask(&mut customer.client, &request).await.result().content, "soon");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let said = jobs::stored(&mut customer.client, &request).await;
    assert_eq!((said.statuses().len(), said.results.len()), (0, 1), "{said:?}");
}

async fn a_job_that_goes_on_has_feedback_after_a_while(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let request = customer.job(5915, "later", &[("milliseconds", "1500")]);
    let mut said = listen(&mut customer.client, &request).await;
    customer.client.publish_accepted(&request).await;
    let feedback = customer.client.next_event(&jobs::subscription(&request)).await;
    assert_eq!(status(&feedback), "processing");
    follow(&mut customer.client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "later");
    assert_eq!(jobs::stored(&mut customer.client, &request).await.statuses(), ["processing"]);
}

async fn partial_output_comes_about_once_a_second(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let words: Vec<String> = (1..=28).map(|number| format!("word{number}")).collect();
    let said = customer.ask(5921, &words.join(" "), &[]).await;
    assert_eq!(said.result().content.trim(), words.join(" "));
    let partials = with_status(&said, "partial");
    assert!((2..=5).contains(&partials.len()), "{} partial outputs", partials.len());
    // Each is the whole output so far, and so a prefix of the next.
    let mut outputs: Vec<&str> = partials.iter().map(|partial| partial.content.as_str()).collect();
    outputs.push(&said.result().content);
    for pair in outputs.windows(2) {
        assert!(pair[1].starts_with(pair[0]) && pair[1].len() > pair[0].len(), "{outputs:?}");
    }
}

async fn progress_comes_about_once_a_second(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let said = customer.ask(5922, "go", &[]).await;
    assert_eq!(said.result().content, "there");
    let steps: Vec<String> = with_status(&said, "processing")
        .into_iter()
        .map(status_text)
        .filter(|text| text.starts_with("step"))
        .collect();
    assert!((1..=4).contains(&steps.len()), "{steps:?}");
    assert_eq!(steps.iter().collect::<std::collections::BTreeSet<_>>().len(), steps.len(), "{steps:?}");
}

/// The answers to a request made at `created_at`, with one additional tag.
async fn ask_at(customer: &mut Customer, created_at: u64, tag: &[&str]) -> Conversation {
    let agent = customer.agent.to_hex();
    let tags: [&[&str]; 3] = [&["i", "in time?", "text"], &["p", &agent], tag];
    let request = event_at(&customer.keys, created_at, 5900, &tags, "");
    ask(&mut customer.client, &request).await
}

async fn an_expired_request_is_refused(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    let tags: [&[&str]; 3] =
        [&["i", "too late", "text"], &["p", &agent], &["expiration", &(now() - 30).to_string()]];
    let request = event_at(&customer.keys, now() - 60, 5900, &tags, "");
    // Its relay rejects the event, so the agent never sees it.
    let answer = customer.client.publish(&request).await;
    assert!(!answer.accepted && answer.message.contains("expired"), "{answer:?}");
    let said = jobs::stored(&mut customer.client, &request).await;
    assert!(said.results.is_empty() && said.statuses().is_empty(), "{said:?}");
}

async fn a_request_that_expires_later_is_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let said = ask_at(&mut customer, now(), &["expiration", &(now() + 600).to_string()]).await;
    assert_eq!(said.result().content, "in time?");
}

async fn a_stale_request_is_refused(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let said = ask_at(&mut customer, now() - 2 * 24 * 60 * 60, &["t", "old"]).await;
    assert!(status_text(said.error()).contains("older"), "{said:?}");
    let said = ask_at(&mut customer, now() - 23 * 60 * 60, &["t", "not too old"]).await;
    said.result();
}

async fn a_request_from_the_future_is_refused(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    let request = |created_at| {
        event_at(&customer.keys, created_at, 5900, &[&["i", "too soon", "text"], &["p", &agent]], "")
    };
    // The relay rejects it, so there is nothing to answer.
    let (far, near) = (request(now() + 3600), request(now() + 300));
    assert!(customer.client.publish(&far).await.refused_as("invalid"));
    ask(&mut customer.client, &near).await.result();
    let said = jobs::stored(&mut customer.client, &far).await;
    assert!(said.feedback.is_empty() && said.results.is_empty(), "{said:?}");
}

async fn a_job_builds_upon_another_that_is_done(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let first = customer.job(5900, "the first output", &[]);
    let result = ask(&mut customer.client, &first).await.result().clone();
    // By NIP-90, the input is the job's id; many customers use its result's id.
    for named in [&first, &result] {
        let second = customer.echo_of(named);
        assert_eq!(ask(&mut customer.client, &second).await.result().content, "the first output");
    }
}

async fn a_job_waits_for_another_that_is_not_done(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let first = customer.job(5904, "slow output", &[("milliseconds", "1200")]);
    customer.order(&first, "processing").await;
    // Anyone can publish a "result" of a request; the agent waits for its own.
    let p = customer.keys.public_key().to_hex();
    let forged = event(&fresh_author(), 6904, &[&["e", &first.id.to_hex()], &["p", &p]], "forged output");
    customer.client.publish_accepted(&forged).await;
    let second = customer.echo_of(&first);
    let said = ask(&mut customer.client, &second).await;
    assert_eq!(said.result().content, "slow output");
    let waits = said.feedback.iter().any(|feedback| status_text(feedback).contains(&first.id.to_hex()));
    assert!(waits, "the customer is told what is waited for: {said:?}");
    let results = jobs::stored(&mut customer.client, &first).await.results;
    let own: Vec<_> = results.iter().filter(|result| result.pubkey == customer.agent).collect();
    assert!(matches!(own.as_slice(), [result] if result.content == "slow output"), "{results:?}");
}

async fn a_job_waits_for_another_that_comes_later(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let first = customer.job(5900, "late output", &[]);
    let second = customer.echo_of(&first);
    let mut said = customer.order(&second, "processing").await;
    ask(&mut customer.client, &first).await.result();
    follow(&mut customer.client, &second, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "late output");
}

async fn a_job_builds_upon_a_result_by_another_agent(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let other = fresh_author();
    let first = request(&customer.keys, 5999, Some(other.public_key()), "for the other agent", &[]);
    customer.client.publish_accepted(&first).await;
    let second = customer.echo_of(&first);
    let mut said = customer.order(&second, "processing").await;
    // A result by a provider that the customer did not ask does not count.
    let id = first.id.to_hex();
    let p = customer.keys.public_key().to_hex();
    let tags: [&[&str]; 2] = [&["e", &id], &["p", &p]];
    let intruder = event_at(&fresh_author(), now() - 1, 6999, &tags, "forged output");
    customer.client.publish_accepted(&intruder).await;
    // Other events about the request hide no result, and none is older than the request.
    let ancient = event_at(&other, now() - 60, 6999, &tags, "older than its request");
    customer.client.publish_accepted(&ancient).await;
    for number in 0..101 {
        let talk = event_at(&fresh_author(), now() + 60, 1, &tags, &number.to_string());
        customer.client.publish_accepted(&talk).await;
    }
    customer.client.publish_accepted(&event(&other, 6999, &tags, "the other's output")).await;
    follow(&mut customer.client, &second, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "the other's output");
}

async fn a_job_ends_when_the_one_it_builds_upon_fails(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let first = customer.job(5901, "in vain", &[]);
    ask(&mut customer.client, &first).await.error();
    let second = customer.echo_of(&first);
    let said = ask(&mut customer.client, &second).await;
    assert!(status_text(said.error()).contains("no result"), "{said:?}");
}

async fn a_job_that_builds_upon_no_event_is_refused(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    let request = event(&customer.keys, 5900, &[&["i", "not an id", "job"], &["p", &agent]], "");
    let said = ask(&mut customer.client, &request).await;
    assert!(status_text(said.error()).contains("64 hex"), "{said:?}");
}

/// After a cancellation: the one error that says so, and nothing else.
async fn expect_cancelled(customer: &mut Customer, request: &Event, said: &mut Conversation) {
    follow(&mut customer.client, request, said, PATIENCE).await;
    assert!(status_text(said.error()).contains("cancelled"), "{said:?}");
}

async fn a_waiting_job_is_cancelled(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let first = customer.job(5900, "output", &[]);
    let second = customer.echo_of(&first);
    let mut said = customer.order(&second, "processing").await;
    customer.cancel(&second).await;
    expect_cancelled(&mut customer, &second, &mut said).await;
    // Its input arrives after all.
    ask(&mut customer.client, &first).await.result();
    tokio::time::sleep(Duration::from_millis(500)).await;
    jobs::stored(&mut customer.client, &second).await.error();
}

async fn a_queued_job_is_cancelled(servers: &Servers) {
    let server = servers.own("probe");
    let client = Client::connect(&server.url()).await;
    let mut customer = Customer { client, keys: fresh_author(), agent: server.agent() };
    let ahead = customer.job(5920, "ahead", &[("milliseconds", "1000")]);
    let mut said_ahead = customer.order(&ahead, "processing").await;
    let queued = customer.job(5920, "queued", &[]);
    let mut said = listen(&mut customer.client, &queued).await;
    customer.client.publish_accepted(&queued).await;
    customer.cancel(&queued).await;
    expect_cancelled(&mut customer, &queued, &mut said).await;
    assert_eq!(said.statuses(), ["error"], "it was never begun");
    follow(&mut customer.client, &ahead, &mut said_ahead, PATIENCE).await;
    assert_eq!(said_ahead.result().content, "ahead 1 1");
    assert_eq!(customer.output(5920, "next", &[]).await, "next 2 1");
}

async fn a_free_handler_ignores_the_bid(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    for bid in ["0", "1000", "21000000"] {
        let tags: [&[&str]; 3] = [&["i", "free", "text"], &["bid", bid], &["p", &agent]];
        let request = event(&customer.keys, 5900, &tags, "");
        let said = ask(&mut customer.client, &request).await;
        assert_eq!(said.result().content, "free");
        assert!(tags_named_amount(&said).is_empty(), "nothing is charged: {said:?}");
    }
}

fn tags_named_amount(said: &Conversation) -> Vec<&[String]> {
    said.feedback.iter().chain(&said.results).flat_map(|event| tags(event, "amount")).collect()
}

async fn memory_is_kept_from_job_to_job(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let key = customer.keys.public_key().to_hex();
    let parameters = [("key", key.as_str())];
    assert_eq!(customer.output(5923, "one", &parameters).await, "nothing");
    assert_eq!(customer.output(5923, "two \"quoted\" é", &parameters).await, "one");
    assert_eq!(customer.output(5923, "three", &parameters).await, "two \"quoted\" é");
}

async fn memory_survives_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let keys = fresh_author();
    let mut heard = Vec::new();
    for word in ["one", "two", "three"] {
        let mut client = Client::connect(&server.url()).await;
        for kind in [5923, 5924, 5925] {
            let request = request(&keys, kind, Some(server.agent()), word, &[]);
            heard.push(ask(&mut client, &request).await.result().content.clone());
        }
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!([&*heard[0], &*heard[3], &*heard[6]], ["nothing", "one", "two"]);
    assert_eq!(heard[7].lines().count(), 6, "the conversation goes on: {}", heard[7]);
    assert_eq!(heard[8], "[[1]]");
}

async fn a_failed_handler_remembers_nothing(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let key = customer.keys.public_key().to_hex();
    let parameters = [("key", key.as_str())];
    assert_eq!(customer.output(5923, "kept", &parameters).await, "nothing");
    assert_eq!(status_text(customer.ask(5923, "fail", &parameters).await.error()), "forgetful");
    assert_eq!(customer.output(5923, "last", &parameters).await, "kept");
}

async fn a_conversation_goes_on_with_its_customer(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    assert_eq!(customer.output(5924, "hello", &[]).await, "user: hello\nassistant: you said hello");
    let second = customer.output(5924, "again", &[]).await;
    assert_eq!(second, "user: hello\nassistant: you said hello\nuser: again\nassistant: you said again");
    let mut stranger = Customer::of_probe(servers).await;
    assert_eq!(stranger.output(5924, "hi", &[]).await, "user: hi\nassistant: you said hi");
}

async fn an_agent_has_tables_of_its_own(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let word = customer.keys.public_key().to_hex();
    for count in 1..=3 {
        // Without the parameter they would be the same event.
        let parameters = [("number", &*count.to_string())];
        assert_eq!(customer.output(5925, &word, &parameters).await, format!("[[{count}]]"));
    }
    let said = customer.ask(5926, "the SDK's table", &[]).await;
    assert!(!status_text(said.error()).contains("my_"), "how it is made is not told: {said:?}");
}

async fn an_agent_publishes_events_of_its_own(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let text = format!("hello from {}", customer.keys.public_key());
    let agent = customer.agent;
    let filter = json!({"authors": [agent], "kinds": [1], "#t": ["probe"]});
    let mut listener = Client::connect(&servers.probe().url()).await;
    listener.subscribe("notes", std::slice::from_ref(&filter)).await;
    assert_eq!(customer.output(5927, &text, &[]).await, "posted");
    loop {
        // Notes of other scenarios are there too.
        let note = listener.next_event("notes").await;
        if note.content == text {
            break;
        }
    }
    customer.ask(5927, "fail", &[]).await.error();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let notes = listener.query(&[filter]).await;
    assert_eq!(notes.iter().filter(|note| note.content == text).count(), 1);
    assert!(!notes.iter().any(|note| note.content == "fail"), "a run that failed says nothing");
}

async fn an_agent_reads_its_relay(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    assert_eq!(customer.output(5928, "what have I said?", &[]).await, "");
    let keys = customer.keys.clone();
    customer.client.publish_accepted(&event_at(&keys, now() - 10, 1, &[], "first")).await;
    customer.client.publish_accepted(&note(&keys, "second")).await;
    customer.client.publish_accepted(&note(&fresh_author(), "somebody else's")).await;
    assert_eq!(customer.output(5928, "and now?", &[]).await, "second\nfirst");
}

/// The agent's announcements on its own relay, by kind, once all are there.
async fn announcements(server: &Server, agent: PublicKey) -> Vec<Event> {
    let mut client = Client::connect(&server.url()).await;
    let filter = json!({"authors": [agent], "kinds": [0, 31_990]});
    for _ in 0..50 {
        let mut events = client.query(std::slice::from_ref(&filter)).await;
        if events.len() >= 2 {
            events.sort_by_key(|event| event.kind.as_u16());
            return events;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the agent does not announce itself");
}

async fn an_agent_announces_itself_once(servers: &Servers) {
    let server = servers.own("probe");
    let before = announcements(&server, server.agent()).await;
    let [profile, information] = before.as_slice() else { panic!("one of each kind: {before:?}") };
    assert!(profile.content.contains("\"name\":\"probe\""), "{}", profile.content);
    let kinds: Vec<&str> = tags(information, "k").iter().map(|tag| tag[1].as_str()).collect();
    assert!(kinds.contains(&"5900") && kinds.contains(&"5920"), "{kinds:?}");
    // Let time pass, so that a repeated announcement would be a different event.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5900, Some(server.agent()), "alive", &[]);
    ask(&mut client, &request).await.result();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(announcements(&server, server.agent()).await, before);
}

async fn the_manifest_is_signed(servers: &Servers) {
    let server = servers.probe();
    let npub = server.agent().to_bech32().expect("a key has an npub");
    let path = format!("/agent/{npub}/manifest.json");
    let answer = http::request(server.address(), "GET", &path, &[]).await.expect("an answer");
    let manifest = answer.json();
    assert_eq!(manifest["id"], json!(server.agent()));
    let signature = manifest["signature"].as_str().expect("a signature");
    assert!(signature.len() == 128 && signature.bytes().all(|byte| byte.is_ascii_hexdigit()), "{signature}");
    let again = http::request(server.address(), "GET", &path, &[]).await.expect("an answer");
    assert_eq!(again.json(), manifest, "the same manifest has the same signature");
}
