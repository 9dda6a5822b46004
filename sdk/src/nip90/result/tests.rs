use openagents_host::{Event, Kind};

use super::{Amount, JobResultEvent, result_kind};
use crate::engine::Output;
use crate::nip90::tests::{customer, provider, request, request_with, sign, signed};

#[test]
fn has_a_kind_a_thousand_above_the_request() {
    assert_eq!(result_kind(Kind(5905)), Kind(6905));
    for kind in [1, 4_999, 5_050, 5_999, 7_000] {
        let event = signed(&provider(), kind, "", &[&["e", &"ab".repeat(32)]]);
        assert_eq!(JobResultEvent::from_event(&event), None, "{kind}");
    }
}

#[test]
fn repeats_the_request_and_its_inputs() {
    let request = request(&[&["i", "Ada", "prompt", "", "who"], &["p", &provider().public_key().to_hex()]]);
    let event = sign(
        JobResultEvent::event(&request, "Hello", [vec!["sort".to_owned(), "rank".to_owned()]]),
        &provider(),
    );
    assert_eq!((event.kind, event.content.as_str()), (Kind(6050), "Hello"));
    assert_eq!(
        event.tags,
        [
            vec!["request", request.event.json()],
            vec!["e", &request.id().to_hex()],
            vec!["p", &customer().public_key().to_hex()],
            vec!["i", "Ada", "prompt", "", "who"],
            vec!["sort", "rank"],
        ]
    );
    let read = JobResultEvent::from_event(&event).unwrap();
    assert_eq!(read.request_event.unwrap(), *request.event);
    assert_eq!((read.inputs, read.tags), (request.inputs, vec![vec!["sort".to_owned(), "rank".to_owned()]]));
}

#[test]
fn asks_for_payment_and_says_where_the_request_is() {
    let request = request(&[]);
    let builder = JobResultEvent::answer(&request).relay_hint("wss://a.example");
    let event = sign(builder.amount(Amount::new(21_000).invoice("lnbc210n1x")).build(), &provider());
    assert_eq!(event.tags[1], ["e", &request.id().to_hex(), "wss://a.example"]);
    assert_eq!(event.tags[3], ["amount", "21000", "lnbc210n1x"]);

    let event = sign(JobResultEvent::answer(&request).relay_hint("").build(), &provider());
    assert_eq!(event.tags[1], ["e", &request.id().to_hex()]);
}

#[test]
fn a_handler_cannot_forge_the_tags_of_the_protocol() {
    let forged = ["request", "e", "p", "i", "amount", "encrypted", "status"];
    let request = request(&[]);
    let output = forged.into_iter().fold(Output::new("x"), |output, name| output.tag([name, "1000"]));
    let output = output.tag::<String>([]).tag(["source", "mine"]);
    let event = sign(JobResultEvent::event(&request, output.content, output.tags), &provider());
    let names: Vec<_> = event.tags.iter().map(|tag| tag[0].as_str()).collect();
    assert_eq!(names, ["request", "e", "p", "source"]);
    assert!(Event::clone(&event).verify().is_ok());
}

#[test]
fn a_sealed_result_repeats_nothing_that_was_encrypted() {
    let request = request_with("ciphertext", &[&["encrypted"], &["i", "in clear by mistake"]]);
    let request = request.unsealed(r#"[["i","my diagnosis"],["param","model","secret"]]"#).unwrap();
    let event = sign(JobResultEvent::answer(&request).content("clear").sealed("sealed").build(), &provider());
    assert_eq!(event.content, "sealed");
    assert_eq!(
        event.tags,
        [
            vec!["request", request.event.json()],
            vec!["e", &request.id().to_hex()],
            vec!["p", &customer().public_key().to_hex()],
            vec!["encrypted"],
        ]
    );
    assert!(!event.json().contains("diagnosis"));
    assert!(JobResultEvent::from_event(&event).unwrap().encrypted);
}

#[test]
fn never_publishes_in_clear_what_answers_an_encrypted_request() {
    let request = request_with("ciphertext", &[&["encrypted"], &["i", "in clear by mistake"]]);
    let event = sign(JobResultEvent::event(&request, "the diagnosis", []), &provider());
    assert!(event.content.is_empty());
    assert_eq!(event.tags.len(), 3, "{:?}", event.tags);
}

#[test]
fn can_be_sealed_for_a_request_in_clear() {
    let request = request(&[&["i", "Ada"]]);
    let event = sign(JobResultEvent::answer(&request).sealed("sealed").build(), &provider());
    let read = JobResultEvent::from_event(&event).unwrap();
    assert!(read.encrypted && read.inputs.is_empty());
}

#[test]
fn reads_results_that_lack_the_usual_tags() {
    let request = request(&[]);
    let read = |tags: &[&[&str]]| JobResultEvent::from_event(&signed(&provider(), 6050, "x", tags));
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[&["e", "no id"], &["request", "{}"]]), None);

    let repeated = read(&[&["request", request.event.json()]]).unwrap();
    assert_eq!((repeated.request, repeated.customer), (request.id(), None));
    let named =
        read(&[&["e", "no id"], &["e", &request.id().to_hex()], &["request", "{\"kind\":5050}"]]).unwrap();
    assert_eq!((named.request, named.request_event), (request.id(), None));
}

#[test]
fn does_not_take_another_request_for_the_one_it_answers() {
    let other = request(&[&["i", "another"]]);
    let tags: &[&[&str]] = &[&["e", &request(&[]).id().to_hex()], &["request", other.event.json()]];
    let read = JobResultEvent::from_event(&signed(&provider(), 6050, "x", tags)).unwrap();
    assert_eq!(read.request_event, None);
}
