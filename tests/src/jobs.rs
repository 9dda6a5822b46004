//! Jobs as a customer sees them (NIP-90): a request goes out, feedback and a result come back.

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

/// Everything an agent said about one request.
#[derive(Debug, Default, Clone)]
pub struct Conversation {
    /// Kind 7000, in the order of arrival.
    pub feedback: Vec<Event>,
    /// Kind 6000–6999, in the order of arrival; more than one is always wrong.
    pub results: Vec<Event>,
}

impl Conversation {
    /// The `status` values in the order of arrival.
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

    /// Whether an answer has come after which no other may follow.
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

/// The `status` of a feedback event, empty when it has none.
pub fn status(feedback: &Event) -> String {
    tag_value(feedback, "status").unwrap_or_default()
}

/// The text for the customer: the third element of `status`.
pub fn status_text(feedback: &Event) -> String {
    crate::events::tags(feedback, "status").first().and_then(|tag| tag.get(2).cloned()).unwrap_or_default()
}

/// Listens for what is said about a request.
pub async fn listen(client: &mut Client, request: &Event) -> Conversation {
    let id = request.id.to_hex();
    let result_kind = request.kind.as_u16() + 1000;
    let stored =
        client.subscribe(&subscription(request), &[json!({"kinds": [7000, result_kind], "#e": [id]})]).await;
    let mut conversation = Conversation::default();
    // Stored events come newest first.
    stored.into_iter().rev().for_each(|event| conversation.take(event));
    conversation
}

/// Goes on listening until the job is over; fails the test when that takes longer than `patience`.
pub async fn follow(
    client: &mut Client,
    request: &Event,
    conversation: &mut Conversation,
    patience: Duration,
) {
    let deadline = tokio::time::Instant::now() + patience;
    while !conversation.is_over() {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match client.receive_within(left).await {
            Some(Frame::Event(of, event)) if of == subscription(request) => conversation.take(*event),
            Some(_) => {}
            None => panic!("no answer to kind {} within {patience:?}: {conversation:?}", request.kind),
        }
    }
}

/// Publishes a request and returns what is said about it, up to the result or the error.
pub async fn ask(client: &mut Client, request: &Event) -> Conversation {
    let mut conversation = listen(client, request).await;
    client.publish_accepted(request).await;
    follow(client, request, &mut conversation, Duration::from_secs(30)).await;
    conversation
}

/// What the relay has stored about a request.
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
