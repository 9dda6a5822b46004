//! Jobs from the customer's side (NIP-90): sends a request, collects feedback and result.

use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys, PublicKey};
use serde_json::json;

use crate::events::{event, tag_value};
use crate::wire::{Client, Frame};

/// A signed job request with one text input, addressed to `agent` if one is given.
pub fn request(
    customer: &Keys,
    kind: u16,
    agent: Option<PublicKey>,
    input: &str,
    parameters: &[(&str, &str)],
) -> Event {
    let agent = agent.map(|agent| agent.to_hex());
    let mut tags: Vec<Vec<&str>> = vec![vec!["i", input, "text"]];
    tags.extend(parameters.iter().map(|(name, value)| vec!["param", name, value]));
    if let Some(agent) = &agent {
        tags.push(vec!["p", agent]);
    }
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    event(customer, kind, &tags, "")
}

/// All answers of an agent to one request.
#[derive(Debug, Default, Clone)]
pub struct Conversation {
    /// Feedback (kind 7000), in order of arrival.
    pub feedback: Vec<Event>,
    /// Results (kinds 6000–6999), in order of arrival; more than one is always wrong.
    pub results: Vec<Event>,
}

impl Conversation {
    /// The `status` values in order of arrival.
    pub fn statuses(&self) -> Vec<String> {
        self.feedback.iter().map(status).collect()
    }

    /// The one result; anything else fails the test.
    pub fn result(&self) -> &Event {
        match self.results.as_slice() {
            [result] => result,
            others => {
                panic!("expected one result, got {}: {others:?}; feedback: {:?}", others.len(), self.feedback)
            }
        }
    }

    /// The final `error` feedback; a result instead fails the test.
    pub fn error(&self) -> &Event {
        assert!(self.results.is_empty(), "expected an error, got a result: {:?}", self.results);
        match self.feedback.iter().filter(|event| status(event) == "error").collect::<Vec<_>>().as_slice() {
            [error] => error,
            others => panic!("expected one error, got {others:?}; feedback: {:?}", self.feedback),
        }
    }

    /// Whether a final answer has arrived.
    pub fn is_over(&self) -> bool {
        !self.results.is_empty() || self.feedback.iter().any(|event| status(event) == "error")
    }

    fn take(&mut self, event: Event) {
        if event.kind.as_u16() == 7000 {
            self.feedback.push(event);
        } else {
            self.results.push(event);
        }
    }
}

/// The `status` of a feedback event; empty if it has none.
pub fn status(feedback: &Event) -> String {
    tag_value(feedback, "status").unwrap_or_default()
}

/// The text for the customer: the third element of the `status` tag.
pub fn status_text(feedback: &Event) -> String {
    crate::events::tags(feedback, "status").first().and_then(|tag| tag.get(2).cloned()).unwrap_or_default()
}

/// Subscribes to the answers to a request.
pub async fn listen(client: &mut Client, request: &Event) -> Conversation {
    let id = request.id.to_hex();
    let result_kind = request.kind.as_u16() + 1000;
    let stored =
        client.subscribe(&subscription(request), &[json!({"kinds": [7000, result_kind], "#e": [id]})]).await;
    let mut conversation = Conversation::default();
    // Stored events arrive newest first.
    stored.into_iter().rev().for_each(|event| conversation.take(event));
    conversation
}

/// Waits until the job is over; fails the test if that takes longer than `patience`.
pub async fn follow(
    client: &mut Client,
    request: &Event,
    conversation: &mut Conversation,
    patience: Duration,
) {
    follow_until(client, request, conversation, patience, Conversation::is_over).await;
}

/// Waits until the answers are as wanted; fails the test if that takes longer than `patience`.
pub async fn follow_until(
    client: &mut Client,
    request: &Event,
    conversation: &mut Conversation,
    patience: Duration,
    is_wanted: impl Fn(&Conversation) -> bool,
) {
    let deadline = tokio::time::Instant::now() + patience;
    while !is_wanted(conversation) {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match client.receive_within(left).await {
            Some(Frame::Event(of, event)) if of == subscription(request) => conversation.take(*event),
            Some(_) => {}
            None => panic!("no answer to kind {} within {patience:?}: {conversation:?}", request.kind),
        }
    }
}

/// Publishes a request and waits until its payment is required. Returns the answers so far and the invoice.
pub async fn ask_for_invoice(client: &mut Client, request: &Event) -> (Conversation, String) {
    let mut conversation = listen(client, request).await;
    client.publish_accepted(request).await;
    let has_answer = |said: &Conversation| !said.feedback.is_empty();
    follow_until(client, request, &mut conversation, Duration::from_secs(60), has_answer).await;
    let asked = conversation.feedback.first().expect("there is one");
    assert_eq!(status(asked), "payment-required", "{conversation:?}");
    let amount = crate::events::tags(asked, "amount").into_iter().next().expect("an amount");
    let invoice = amount.get(2).cloned().expect("an invoice");
    (conversation, invoice)
}

/// Publishes a request and returns its answers, up to the result or the error.
pub async fn ask(client: &mut Client, request: &Event) -> Conversation {
    let mut conversation = listen(client, request).await;
    client.publish_accepted(request).await;
    follow(client, request, &mut conversation, Duration::from_secs(30)).await;
    conversation
}

/// The stored answers to a request.
pub async fn stored(client: &mut Client, request: &Event) -> Conversation {
    let id = request.id.to_hex();
    let mut conversation = Conversation::default();
    let result_kind = request.kind.as_u16() + 1000;
    let events = client.query(&[json!({"kinds": [7000, result_kind], "#e": [id]})]).await;
    events.into_iter().rev().for_each(|event| conversation.take(event));
    conversation
}

/// The subscription that [`listen`] opens for a request.
pub fn subscription(request: &Event) -> String {
    request.id.to_hex()
}
