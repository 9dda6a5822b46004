use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};
use proptest::prelude::*;

use super::{Feedback, Input, InputKind, JobRequest, JobResultEvent, RequestBuilder, Status};
use crate::output::Output;

fn customer() -> Keys {
    Keys::from_secret(&[3; 32]).unwrap()
}

fn provider() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

fn sign(event: UnsignedEvent, keys: &Keys) -> VerifiedEvent {
    event.sign(keys, Timestamp::from_seconds(1_700_000_000))
}

fn request(tags: &[&[&str]]) -> JobRequest {
    let tags = tags.iter().map(|tag| tag.iter().map(|word| (*word).to_owned()).collect());
    JobRequest::from_event(sign(UnsignedEvent::new(Kind(5050), "").tags(tags), &customer())).unwrap()
}

fn any_input() -> impl Strategy<Value = Input> {
    let kind = prop_oneof![
        Just(InputKind::Text),
        Just(InputKind::Url),
        Just(InputKind::Event),
        Just(InputKind::Job)
    ];
    ("\\PC*", kind, prop::option::of("[a-z]{1,8}"), prop::option::of("[a-z]{1,8}"))
        .prop_map(|(data, kind, relay, marker)| Input { data, kind, relay, marker })
}

proptest! {
    #[test]
    fn reads_a_request_as_it_was_written(
        inputs in prop::collection::vec(any_input(), 0..4),
        params in prop::collection::vec(("[a-z_]{1,8}", prop::collection::vec("\\PC*", 0..3)), 0..4),
        output in prop::collection::vec("[a-z]{1,5}/[a-z]{1,5}", 0..3),
        bid in prop::option::of(any::<u64>()),
        targeted in any::<bool>(),
    ) {
        let mut builder = RequestBuilder::new(Kind(5001));
        for input in &inputs {
            builder = builder.input(input);
        }
        for (key, values) in &params {
            builder = builder.param(key, values);
        }
        if !output.is_empty() {
            builder = builder.output(&output);
        }
        if let Some(bid) = bid {
            builder = builder.bid(bid);
        }
        if targeted {
            builder = builder.provider(&provider().public_key());
        }
        let read = JobRequest::from_event(sign(builder.build(), &customer())).unwrap();
        prop_assert_eq!(read.inputs, inputs);
        prop_assert_eq!(read.params.0, params);
        prop_assert_eq!(read.output, output);
        prop_assert_eq!(read.bid, bid);
        prop_assert_eq!(read.providers.len(), usize::from(targeted));
    }

    #[test]
    fn no_tags_make_the_reader_panic(tags in prop::collection::vec(prop::collection::vec("[ip]|bid|param|status|e|\\PC*", 1..5), 0..6)) {
        let event = sign(UnsignedEvent::new(Kind(5000), "").tags(tags.clone()), &customer());
        let _ = JobRequest::from_event(event);
        let _ = Feedback::from_event(&sign(UnsignedEvent::new(Kind(7000), "").tags(tags.clone()), &customer()));
        let _ = JobResultEvent::from_event(&sign(UnsignedEvent::new(Kind(6000), "").tags(tags), &customer()));
    }
}

#[test]
fn reads_inputs_leniently() {
    let request =
        request(&[&["i", "no type"], &["i", "own word", "prompt"], &["i"], &["i", "x", "job", "", "source"]]);
    let kinds: Vec<_> = request.inputs.iter().map(|input| (input.data.as_str(), input.kind)).collect();
    assert_eq!(kinds, [("no type", InputKind::Text), ("own word", InputKind::Text), ("x", InputKind::Job)]);
    assert_eq!(request.inputs[2].relay, None);
    assert_eq!(request.inputs[2].marker.as_deref(), Some("source"));
}

#[test]
fn keeps_every_value_of_a_parameter() {
    let request =
        request(&[&["param", "range", "300", "360"], &["param", "target", "a"], &["param", "target", "b"]]);
    assert_eq!(request.params.all("range").collect::<Vec<_>>(), ["300", "360"]);
    assert_eq!(request.params.all("target").collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn is_for_those_it_names_and_for_all_when_it_names_nobody() {
    let (me, other) = (provider().public_key(), customer().public_key());
    assert!(request(&[]).is_for(&me));
    assert!(request(&[&["p", &other.to_hex()], &["p", &me.to_hex()]]).is_for(&me));
    assert!(!request(&[&["p", &other.to_hex()]]).is_for(&me));
}

#[test]
fn refuses_kinds_that_are_no_requests() {
    for kind in [1, 4999, 6000, 7000] {
        assert!(JobRequest::from_event(sign(UnsignedEvent::new(Kind(kind), ""), &customer())).is_err());
    }
}

#[test]
fn answers_refer_to_their_request() {
    let request = request(&[&["i", "Ada", "text", "", "who"], &["p", &provider().public_key().to_hex()]]);
    let result =
        sign(JobResultEvent::event(&request, Output::new("Hello").tag(["sort", "rank"])), &provider());
    assert_eq!(result.kind, Kind(6050));
    assert_eq!(Event::from_json(result.tag_values("request").next().unwrap()).unwrap(), *request.event);
    assert_eq!(result.tag_values("e").collect::<Vec<_>>(), [request.id().to_hex()]);
    assert_eq!(result.tag_values("p").collect::<Vec<_>>(), [customer().public_key().to_hex()]);
    assert_eq!(result.tags_named("i").next().unwrap(), &["i", "Ada", "text", "", "who"]);
    assert_eq!(result.tag_values("sort").next(), Some("rank"));
    assert_eq!(
        JobResultEvent::from_event(&result).unwrap(),
        JobResultEvent { request: request.id(), content: "Hello".into() }
    );

    let feedback = sign(Feedback::event(&request, &Status::Error, Some("no")), &provider());
    let read = Feedback::from_event(&feedback).unwrap();
    assert_eq!(
        (read.request, read.status, read.message.as_deref()),
        (request.id(), Status::Error, Some("no"))
    );
}

#[test]
fn reads_statuses_as_clients_write_them() {
    for (word, status) in [
        ("payment-required", Status::PaymentRequired),
        ("payment_required", Status::PaymentRequired),
        ("partial", Status::Partial),
        ("pong", Status::Other("pong".into())),
    ] {
        let event = UnsignedEvent::new(Kind(7000), "").tag(["status", word]).tag(["e", &"ab".repeat(32)]);
        assert_eq!(Feedback::from_event(&sign(event, &provider())).unwrap().status, status);
    }
}
