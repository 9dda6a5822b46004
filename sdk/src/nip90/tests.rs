//! Written events are read back unchanged, and no tags make a reader panic.

use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};
use proptest::prelude::*;

use super::{
    Amount, Cancellation, Feedback, InputKind, JobInput, JobRequest, JobResultEvent, ParamMap,
    RequestBuilder, Status,
};

pub(super) fn customer() -> Keys {
    Keys::from_secret(&[3; 32]).unwrap()
}

pub(super) fn provider() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

pub(super) fn sign(event: UnsignedEvent, keys: &Keys) -> VerifiedEvent {
    event.sign(keys, Timestamp::from_seconds(1_700_000_000))
}

/// An event with these tags.
pub(super) fn signed(keys: &Keys, kind: u16, content: &str, tags: &[&[&str]]) -> VerifiedEvent {
    let tags = tags.iter().map(|tag| tag.iter().map(|word| (*word).to_owned()).collect());
    sign(UnsignedEvent::new(Kind(kind), content).tags(tags), keys)
}

pub(super) fn request_with(content: &str, tags: &[&[&str]]) -> JobRequest {
    JobRequest::from_event(signed(&customer(), 5050, content, tags)).unwrap()
}

pub(super) fn request(tags: &[&[&str]]) -> JobRequest {
    request_with("", tags)
}

/// Not a cipher, but no word of the plaintext stays readable.
fn reversed(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.chars().rev().collect())
}

/// The content of a request.
#[derive(Clone, Debug)]
struct RequestFields {
    inputs: Vec<JobInput>,
    params: Vec<(String, Vec<String>)>,
    output: Vec<String>,
    bid: Option<u64>,
    relays: Vec<String>,
    targeted: bool,
    topics: Vec<String>,
    expires_at: Option<u64>,
    content: String,
}

impl RequestFields {
    fn builder(&self) -> RequestBuilder {
        let mut builder = RequestBuilder::new(Kind(5001)).content(&self.content);
        builder = self.inputs.iter().fold(builder, RequestBuilder::input);
        builder = self.params.iter().fold(builder, |builder, (key, values)| builder.params(key, values));
        builder = builder.output(&self.output).relays(&self.relays);
        builder = self.topics.iter().fold(builder, RequestBuilder::topic);
        builder = self.bid.into_iter().fold(builder, RequestBuilder::bid);
        builder = self
            .expires_at
            .map(Timestamp::from_seconds)
            .into_iter()
            .fold(builder, RequestBuilder::expiration);
        if self.targeted { builder.provider(&provider().public_key()) } else { builder }
    }

    /// The same content, as read from this event.
    fn request(&self, event: &VerifiedEvent) -> JobRequest {
        JobRequest {
            event: event.clone(),
            inputs: self.inputs.clone(),
            params: ParamMap(self.params.clone()),
            output: self.output.clone(),
            bid: self.bid,
            relays: self.relays.clone(),
            providers: self.targeted.then(|| provider().public_key()).into_iter().collect(),
            topics: self.topics.clone(),
            expires_at: self.expires_at.map(Timestamp::from_seconds),
            encrypted: false,
            sealed: false,
        }
    }

    /// The content of a request that was read.
    fn of(request: &JobRequest) -> Self {
        Self {
            inputs: request.inputs.clone(),
            params: request.params.0.clone(),
            output: request.output.clone(),
            bid: request.bid,
            relays: request.relays.clone(),
            targeted: !request.providers.is_empty(),
            topics: request.topics.clone(),
            expires_at: request.expires_at.map(Timestamp::as_seconds),
            content: request.event.content.clone(),
        }
    }
}

prop_compose! {
    fn input()(
        data in any::<String>(),
        kind in prop::sample::select(vec![InputKind::Text, InputKind::Url, InputKind::Event, InputKind::Job]),
        relay in prop::option::of("[a-z]{1,8}"),
        marker in prop::option::of("[a-z]{1,8}"),
    ) -> JobInput {
        JobInput { data, kind, relay, marker }
    }
}

prop_compose! {
    fn fields()(
        inputs in prop::collection::vec(input(), 0..4),
        params in prop::collection::vec((any::<String>(), prop::collection::vec(any::<String>(), 0..3)), 0..4),
        output in prop::collection::vec("[a-z]{1,5}/[a-z]{1,5}", 0..3),
        bid in prop::option::of(any::<u64>()),
        relays in prop::collection::vec("wss://[a-z]{1,8}", 0..3),
        targeted in any::<bool>(),
        topics in prop::collection::vec("\\PC{1,8}", 0..3),
        expires_at in prop::option::of(0..4_000_000_000_u64),
        content in any::<String>(),
    ) -> RequestFields {
        RequestFields { inputs, params, output, bid, relays, targeted, topics, expires_at, content }
    }
}

fn amount() -> impl Strategy<Value = Option<Amount>> {
    prop::option::of((any::<u64>(), prop::option::of("lnbc[a-z0-9]{1,20}")))
        .prop_map(|amount| amount.map(|(msat, invoice)| Amount { msat, invoice }))
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::PaymentRequired),
        Just(Status::Processing),
        Just(Status::Error),
        Just(Status::Success),
        Just(Status::Partial),
        Just(Status::Other("chain-scheduled".to_owned())),
    ]
}

/// Tags with known names and nearly valid values.
fn tags() -> impl Strategy<Value = Vec<Vec<String>>> {
    let name = "(i|param|output|bid|relays|p|t|encrypted|expiration|request|e|k|amount|status|\\PC{0,3})";
    let value = "(text|url|job|error|processing|-?[0-9]{1,25}|[0-9a-f]{64}|\\{\"id\":1\\}|\\[\\]|\\PC{0,9})";
    prop::collection::vec(
        (name, prop::collection::vec(value, 0..5)).prop_map(|(name, values)| [vec![name], values].concat()),
        0..8,
    )
}

proptest! {
    #[test]
    fn reads_a_request_as_it_was_written(fields in fields()) {
        let event = sign(fields.builder().build(), &customer());
        let read = JobRequest::from_event(event.clone()).unwrap();
        prop_assert_eq!(&read, &fields.request(&event));
        let again = JobRequest::from_event(sign(RequestFields::of(&read).builder().build(), &customer())).unwrap();
        prop_assert_eq!(JobRequest { event, ..again }, read);
    }

    #[test]
    fn opens_a_sealed_request_as_it_was_written(mut fields in fields()) {
        fields.content.clear();
        let event = sign(fields.builder().build_sealed(reversed).unwrap(), &customer());
        let read = JobRequest::from_event(event.clone()).unwrap();
        prop_assert!(read.encrypted && !read.sealed && read.inputs.is_empty() && read.params.0.is_empty());
        prop_assert_eq!(read.text(), None);
        let opened = read.unsealed(&reversed(&event.content).unwrap()).unwrap();
        prop_assert_eq!(opened, JobRequest { encrypted: true, sealed: true, ..fields.request(&event) });
    }

    #[test]
    fn reads_a_result_as_it_was_written(
        fields in fields(),
        content in any::<String>(),
        tags in tags(),
        amount in amount(),
        hint in prop::option::of("wss://[a-z]{1,8}"),
        sealed in any::<bool>(),
    ) {
        let request = fields.builder();
        let request = if sealed { request.build_sealed(reversed).unwrap() } else { request.build() };
        let request = JobRequest::from_event(sign(request, &customer())).unwrap();
        let own = ["request", "e", "p", "i", "amount", "encrypted", "status"];
        let added = tags.iter().filter(|tag| !own.contains(&tag[0].as_str())).cloned().collect();
        let builder = JobResultEvent::answer(&request).tags(tags);
        let builder = if sealed { builder.sealed(&content) } else { builder.content(&content) };
        let builder = amount.iter().cloned().fold(builder, super::ResultBuilder::amount);
        let builder = hint.into_iter().fold(builder, super::ResultBuilder::relay_hint);
        let event = sign(builder.build(), &provider());
        prop_assert_eq!(event.kind, Kind(6001));
        let read = JobResultEvent::from_event(&event).unwrap();
        prop_assert_eq!(&read, &JobResultEvent {
            request: request.id(),
            request_event: Some(Event::clone(&request.event)),
            provider: provider().public_key(),
            customer: Some(customer().public_key()),
            content,
            encrypted: sealed,
            inputs: request.inputs.clone(),
            amount,
            tags: added,
        });
        let builder = JobResultEvent::answer(&request).tags(read.tags.clone());
        let builder = if sealed { builder.sealed(&read.content) } else { builder.content(&read.content) };
        let builder = read.amount.iter().cloned().fold(builder, super::ResultBuilder::amount);
        prop_assert_eq!(JobResultEvent::from_event(&sign(builder.build(), &provider())).unwrap(), read);
    }

    #[test]
    fn reads_feedback_as_it_was_written(
        status in status(),
        message in prop::option::of("\\PC{1,40}"),
        content in any::<String>(),
        amount in amount(),
        sealed in any::<bool>(),
    ) {
        let request = request(if sealed { &[&["encrypted"]] } else { &[&["i", "Ada"]] });
        let builder = Feedback::about(&request, status.clone());
        let builder = message.iter().map(String::as_str).fold(builder, super::FeedbackBuilder::message);
        let builder = if sealed { builder.sealed(&content) } else { builder.content(&content) };
        let builder = amount.iter().cloned().fold(builder, super::FeedbackBuilder::amount);
        let spoken = matches!(status, Status::Error | Status::Processing) && !content.is_empty();
        let message = message.filter(|_| !sealed).or_else(|| spoken.then(|| content.clone()));
        prop_assert_eq!(Feedback::from_event(&sign(builder.build(), &provider())).unwrap(), Feedback {
            request: request.id(),
            provider: provider().public_key(),
            customer: Some(customer().public_key()),
            status,
            message,
            content,
            encrypted: false,
            amount,
        });
    }

    #[test]
    fn reads_a_cancellation_as_it_was_written(kind in super::REQUESTS, reason in prop::option::of("\\PC{1,40}")) {
        let request = request(&[]);
        let event = sign(Cancellation::event(&request.id(), Kind(kind), reason.as_deref()), &customer());
        prop_assert_eq!(Cancellation::from_event(&event).unwrap(), Cancellation {
            author: customer().public_key(),
            requests: vec![request.id()],
            reason,
        });
    }

    #[test]
    fn no_tags_make_a_reader_panic(tags in tags(), content in "\\PC*", plaintext in any::<String>()) {
        let event = |kind: u16| sign(UnsignedEvent::new(Kind(kind), content.clone()).tags(tags.clone()), &customer());
        let request = JobRequest::from_event(event(5050)).unwrap();
        let _ = (request.text(), request.is_for(&provider().public_key()), request.unsealed(&plaintext));
        let _ = JobResultEvent::from_event(&event(6050));
        let _ = Feedback::from_event(&event(7000)).map(|feedback| feedback.unsealed(&plaintext));
        let _ = Cancellation::from_event(&event(5));
    }

    #[test]
    fn no_decrypted_tags_make_the_reader_panic(tags in tags(), bare in any::<String>()) {
        let request = request(&[&["encrypted"]]);
        let _ = request.unsealed(&bare);
        let opened = request.unsealed(&serde_json::to_string(&tags).unwrap()).unwrap();
        prop_assert_eq!(opened.inputs.len(), tags.iter().filter(|tag| tag[0] == "i" && tag.len() > 1).count());
    }
}
