//! Customers with third-party libraries, and what they can rely on: private jobs stay private, and jobs can be
//! cancelled (NIP-90).

use std::time::Duration;

use nostr_sdk::nostr::Event;
use openagents_tests::events::{as_json, event, fresh_author, tag_value, tags, verified};
use openagents_tests::jobs::{self, Conversation, ask, request, status_text};
use openagents_tests::wire::PATIENCE;
use serde_json::{Value, json};

use crate::agent::jobs::Customer;
use crate::clients::foreign_clients::{node, run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    ndk_gets_a_job_done,
    ndk_gets_a_job_done_that_it_sealed_with_nip04,
    ndk_gets_a_job_done_that_it_sealed_with_nip44,
    ndk_alone_learns_why_its_sealed_job_failed,
    ndk_cancels_a_running_job,
    nostr_tools_gets_a_job_done,
    nostr_tools_gets_a_job_done_that_it_sealed_with_nip04,
    nostr_tools_gets_a_job_done_that_it_sealed_with_nip44,
    nostr_tools_alone_learns_why_its_sealed_job_failed,
    nostr_tools_cancels_a_running_job,
    a_request_that_cannot_be_decrypted_is_not_answered,
    a_request_sealed_for_another_agent_is_not_answered,
    a_cancellation_by_somebody_else_changes_nothing,
    a_cancellation_that_comes_first_wins,
];

/// A customer library, as a script in `tests/clients`.
#[derive(Clone, Copy)]
struct Library(&'static str);

const NDK: Library = Library("ndk.mjs");
const NOSTR_TOOLS: Library = Library("nostr-tools.mjs");

/// What a library's customer sent and received.
struct Deal {
    request: Event,
    cancellation: Option<Event>,
    said: Conversation,
    /// The contents of `said` in order of arrival, as the library reads them.
    plaintexts: Vec<String>,
}

impl Library {
    /// Lets the library order a job from the shared `probe`; `tests/clients/customer.mjs` explains `order`.
    async fn order(self, servers: &Servers, order: &Value) -> Deal {
        let server = servers.probe();
        let output = run(node(self.0, &[&server.url(), &server.agent().to_hex(), &order.to_string()])).await;
        assert!(output.status.success(), "{}: {}", self.0, shown(&output));
        let heard: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.0, shown(&output)));
        let answers = heard["answers"].as_array().expect("a list of answers");
        let mut said = Conversation::default();
        for answer in answers {
            let event = verified(&answer["event"]);
            assert_eq!(event.pubkey, server.agent());
            if event.kind.as_u16() == 7000 {
                assert_eq!(answer["status"].as_str(), Some(&*jobs::status(&event)), "{} agrees", self.0);
                said.feedback.push(event);
            } else {
                said.results.push(event);
            }
        }
        let plaintext = |answer: &Value| answer["plaintext"].as_str().expect("a text").to_owned();
        Deal {
            request: verified(&heard["request"]),
            cancellation: (!heard["cancellation"].is_null()).then(|| verified(&heard["cancellation"])),
            said,
            plaintexts: answers.iter().map(plaintext).collect(),
        }
    }
}

impl Deal {
    fn answers(&self) -> impl Iterator<Item = &Event> {
        self.said.feedback.iter().chain(&self.said.results)
    }

    /// A request encrypted with `encryption` gets answers in the same scheme, and `secret` appears nowhere.
    fn assert_sealed(&self, encryption: &str, secret: &str) {
        let customer = self.request.pubkey.to_hex();
        for event in self.answers().chain([&self.request]) {
            let json = as_json(event).to_string();
            assert!(!json.contains(secret), "the secret is in {json}");
            assert!(tags(event, "i").is_empty() && tags(event, "param").is_empty(), "{json}");
            assert!(event.content.is_empty() || scheme(&event.content) == encryption, "{json}");
        }
        for answer in self.answers() {
            assert_eq!(tag_value(answer, "e"), Some(self.request.id.to_hex()));
            assert_eq!(tag_value(answer, "p").as_ref(), Some(&customer));
        }
        for feedback in &self.said.feedback {
            assert_eq!(status_text(feedback), "", "the text of a sealed job's feedback is sealed, too");
        }
        for result in &self.said.results {
            assert_eq!(tags(result, "encrypted").len(), 1, "{result:?}");
            assert!(!result.content.is_empty());
            let original = tag_value(result, "request").expect("one request tag");
            let original = serde_json::from_str(&original).expect("the request as JSON");
            assert_eq!(verified(&original), self.request, "the request as it came");
        }
    }
}

/// How a payload is encrypted, by its form.
fn scheme(payload: &str) -> &'static str {
    if payload.contains("?iv=") { "nip04" } else { "nip44" }
}

async fn ndk_gets_a_job_done(servers: &Servers) {
    gets_a_job_done(servers, NDK).await;
}

async fn ndk_gets_a_job_done_that_it_sealed_with_nip04(servers: &Servers) {
    gets_a_sealed_job_done(servers, NDK, "nip04").await;
}

async fn ndk_gets_a_job_done_that_it_sealed_with_nip44(servers: &Servers) {
    gets_a_sealed_job_done(servers, NDK, "nip44").await;
}

async fn ndk_alone_learns_why_its_sealed_job_failed(servers: &Servers) {
    alone_learns_why_its_sealed_job_failed(servers, NDK).await;
}

async fn ndk_cancels_a_running_job(servers: &Servers) {
    cancels_a_running_job(servers, NDK).await;
}

async fn nostr_tools_gets_a_job_done(servers: &Servers) {
    gets_a_job_done(servers, NOSTR_TOOLS).await;
}

async fn nostr_tools_gets_a_job_done_that_it_sealed_with_nip04(servers: &Servers) {
    gets_a_sealed_job_done(servers, NOSTR_TOOLS, "nip04").await;
}

async fn nostr_tools_gets_a_job_done_that_it_sealed_with_nip44(servers: &Servers) {
    gets_a_sealed_job_done(servers, NOSTR_TOOLS, "nip44").await;
}

async fn nostr_tools_alone_learns_why_its_sealed_job_failed(servers: &Servers) {
    alone_learns_why_its_sealed_job_failed(servers, NOSTR_TOOLS).await;
}

async fn nostr_tools_cancels_a_running_job(servers: &Servers) {
    cancels_a_running_job(servers, NOSTR_TOOLS).await;
}

async fn gets_a_job_done(servers: &Servers, library: Library) {
    let input = "with \"quotes\", 漢字 and 🦀";
    let deal = library.order(servers, &json!({"kind": 5900, "input": input})).await;
    assert_eq!(deal.said.statuses(), ["processing"]);
    let result = deal.said.result();
    assert_eq!(result.kind.as_u16(), 6900);
    assert_eq!(result.content, input);
    assert_eq!(deal.plaintexts.last().map(String::as_str), Some(input));
    assert_eq!(tags(result, "i"), tags(&deal.request, "i"));
    assert!(tags(result, "encrypted").is_empty());
}

async fn gets_a_sealed_job_done(servers: &Servers, library: Library, encryption: &str) {
    const SECRET: &str = "where the treasure lies";
    let input = format!("{SECRET}: \"漢字\" 🦀");
    let echo = json!({"kind": 5900, "input": input, "encryption": encryption});
    // An output of this length shows that the encrypted parameter was read, not only the encrypted input.
    let fill = json!({"kind": 5912, "input": SECRET, "params": {"bytes": "1000"}, "encryption": encryption});
    let filling: String = SECRET.chars().cycle().take(1000).collect();
    for (order, output) in [(echo, &input), (fill, &filling)] {
        let deal = library.order(servers, &order).await;
        assert_eq!(scheme(&deal.request.content), encryption, "the script does as it is told");
        assert_eq!(deal.said.statuses(), ["processing"]);
        let result = deal.said.result();
        assert_eq!(result.kind.as_u16(), deal.request.kind.as_u16() + 1000);
        deal.assert_sealed(encryption, SECRET);
        assert_eq!(deal.plaintexts.last(), Some(output));
    }
}

async fn alone_learns_why_its_sealed_job_failed(servers: &Servers, library: Library) {
    const SECRET: &str = "the name of the informer";
    for encryption in ["nip04", "nip44"] {
        // The error of this handler repeats its input.
        let order = json!({"kind": 5901, "input": SECRET, "encryption": encryption});
        let deal = library.order(servers, &order).await;
        assert!(!deal.said.error().content.is_empty(), "the reason is in the content");
        deal.assert_sealed(encryption, SECRET);
        let reason = deal.plaintexts.last().expect("a content");
        assert!(reason.contains(&format!("cannot do: {SECRET}")), "{reason}");
    }
}

async fn cancels_a_running_job(servers: &Servers, library: Library) {
    // Listens for longer than the job would take.
    let order = json!({
        "kind": 5904, "input": "never mind", "params": {"milliseconds": "5000"},
        "cancel": true, "listen": 6000,
    });
    let deal = library.order(servers, &order).await;
    let cancellation = deal.cancellation.expect("the script has cancelled");
    assert_eq!(tag_value(&cancellation, "e"), Some(deal.request.id.to_hex()));
    assert_eq!(tag_value(&cancellation, "k").as_deref(), Some("5904"));
    assert!(deal.said.results.is_empty(), "a result in spite of it: {:?}", deal.said);
    assert_eq!(deal.said.statuses(), ["processing", "error"]);
    assert_eq!(status_text(deal.said.error()), "cancelled by the customer");
}

async fn a_request_that_cannot_be_decrypted_is_not_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let agent = customer.agent.to_hex();
    // The last two look like NIP-44 and NIP-04 ciphertexts, but no key fits.
    let nip44 = format!("Ag{}", "A".repeat(130));
    let nip04 = format!("{0}==?iv={0}==", "A".repeat(22));
    for payload in ["", "[]", "no payload", "?iv=", "#not yet known", "漢字?iv=漢字", &nip44, &nip04] {
        let request = event(&customer.keys, 5900, &[&["p", &agent], &["encrypted"]], payload);
        customer.expect_no_answer(&request).await;
    }
    // The unencrypted inputs of an encrypted request are not used instead.
    let open: [&[&str]; 3] = [&["i", "in the open", "text"], &["p", &agent], &["encrypted"]];
    let request = event(&customer.keys, 5900, &open, "no payload");
    customer.expect_no_answer(&request).await;
}

async fn a_request_sealed_for_another_agent_is_not_answered(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let other = fresh_author().public_key().to_hex();
    for encryption in ["nip04", "nip44"] {
        let order = json!({
            "kind": 5900, "input": "for them", "encryption": encryption, "sealedFor": other, "listen": 300,
        });
        let deal = NOSTR_TOOLS.order(servers, &order).await;
        assert_eq!(deal.answers().count(), 0, "{:?}", deal.said);
        // Once more, to be sure that the agent has seen it.
        customer.expect_no_answer(&deal.request).await;
    }
}

/// A kind 5 event that names only the request.
fn cancellation(author: &nostr_sdk::nostr::Keys, request: &Event, reason: &str) -> Event {
    event(author, 5, &[&["e", &request.id.to_hex()]], reason)
}

async fn a_cancellation_by_somebody_else_changes_nothing(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let stranger = fresh_author();
    let params = [("milliseconds", "1500")];
    let request = request(&customer.keys, 5904, Some(customer.agent), "go on", &params);
    let mut said = jobs::listen(&mut customer.client, &request).await;
    customer.client.publish_accepted(&cancellation(&stranger, &request, "before it comes")).await;
    customer.client.publish_accepted(&request).await;
    let feedback = customer.client.next_event(&jobs::subscription(&request)).await;
    assert_eq!(jobs::status(&feedback), "processing");
    customer.client.publish_accepted(&cancellation(&stranger, &request, "while it runs")).await;
    jobs::follow(&mut customer.client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "go on");
    assert_eq!(jobs::stored(&mut customer.client, &request).await.statuses(), ["processing"]);
}

async fn a_cancellation_that_comes_first_wins(servers: &Servers) {
    let mut customer = Customer::of_probe(servers).await;
    let input = customer.keys.public_key().to_hex();
    // This handler would leave its input in the agent's state.
    let request = request(&customer.keys, 5905, Some(customer.agent), &input, &[("milliseconds", "0")]);
    customer.client.publish_accepted(&cancellation(&customer.keys, &request, "on second thoughts")).await;
    // A request deleted by its author does not reach the agent (NIP-09).
    let answer = customer.client.publish(&request).await;
    assert!(!answer.accepted && answer.message.starts_with("blocked: "), "{answer:?}");
    let state = event(&customer.keys, 5907, &[&["p", &customer.agent.to_hex()]], "");
    let state = ask(&mut customer.client, &state).await.result().content.clone();
    assert!(!state.contains(&input), "it ran: {state}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stored = jobs::stored(&mut customer.client, &request).await;
    assert!(stored.statuses().is_empty() && stored.results.is_empty(), "{stored:?}");
}
