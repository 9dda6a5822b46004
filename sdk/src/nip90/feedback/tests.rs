use openagents_host::Kind;

use super::{Amount, Feedback, Status};
use crate::nip90::JobRequest;
use crate::nip90::tests::{customer, provider, request, sign, signed};

fn encrypted() -> JobRequest {
    request(&[&["encrypted"]]).unsealed(r#"[["i","my diagnosis"]]"#).unwrap()
}

fn read(content: &str, tags: &[&[&str]]) -> Option<Feedback> {
    let id = "ab".repeat(32);
    let reference: &[&str] = &["e", &id];
    Feedback::from_event(&signed(&provider(), 7000, content, &[tags, &[reference]].concat()))
}

#[test]
fn writes_tags_as_the_specification_has_them() {
    let request = request(&[&["i", "Ada"]]);
    let event = Feedback::about(&request, Status::PaymentRequired)
        .message("21 sat, please")
        .amount(Amount::new(21_000).invoice("lnbc210n1x"))
        .relay_hint("wss://a.example")
        .build();
    let event = sign(event, &provider());
    assert_eq!((event.kind, event.content.as_str()), (Kind(7000), ""));
    assert_eq!(
        event.tags,
        [
            vec!["status", "payment-required", "21 sat, please"],
            vec!["e", &request.id().to_hex(), "wss://a.example"],
            vec!["p", &customer().public_key().to_hex()],
            vec!["amount", "21000", "lnbc210n1x"],
        ]
    );
}

#[test]
fn reads_statuses_as_clients_write_them() {
    for (word, status) in [
        ("payment-required", Status::PaymentRequired),
        ("payment_required", Status::PaymentRequired),
        ("processing", Status::Processing),
        ("error", Status::Error),
        ("success", Status::Success),
        ("partial", Status::Partial),
        ("pong", Status::Other("pong".into())),
    ] {
        assert_eq!(read("", &[&["status", word]]).unwrap().status, status);
    }
}

#[test]
fn is_nothing_without_a_status_or_a_request() {
    assert_eq!(read("", &[]), None);
    assert_eq!(read("", &[&["status"]]), None);
    assert_eq!(read("", &[&["status", ""]]), None);
    assert_eq!(Feedback::from_event(&signed(&provider(), 7000, "", &[&["status", "error"]])), None);
    let tags: &[&[&str]] = &[&["status", "error"], &["e", &"ab".repeat(32)]];
    assert_eq!(Feedback::from_event(&signed(&provider(), 1, "", tags)), None);
}

#[test]
fn takes_the_content_for_the_message_where_a_provider_wrote_it_there() {
    let message = |content, tags: &[&[&str]]| read(content, tags).unwrap().message;
    assert_eq!(message("no GPU", &[&["status", "error"]]).as_deref(), Some("no GPU"));
    assert_eq!(message("soon", &[&["status", "processing", ""]]).as_deref(), Some("soon"));
    assert_eq!(message("soon", &[&["status", "processing", "half"]]).as_deref(), Some("half"));
    assert_eq!(message("a sample", &[&["status", "partial"]]), None);
    assert_eq!(message("ciphertext", &[&["status", "error"], &["encrypted"]]), None);
}

#[test]
fn cuts_a_long_message_between_characters() {
    let request = request(&[]);
    let event = sign(Feedback::event(&request, &Status::Error, Some(&"ß🦀".repeat(800))), &provider());
    assert_eq!(Feedback::from_event(&event).unwrap().message, Some("ß🦀".repeat(500)));
}

#[test]
fn leaves_out_a_message_that_is_empty() {
    let event = sign(Feedback::event(&request(&[]), &Status::Processing, Some("")), &provider());
    assert_eq!(event.tags[0], ["status", "processing"]);
}

#[test]
fn shows_a_part_of_the_output() {
    let event = Feedback::about(&request(&[]), Status::Partial).content("Hello, A").build();
    let read = Feedback::from_event(&sign(event, &provider())).unwrap();
    assert_eq!((read.status, read.content.as_str(), read.message), (Status::Partial, "Hello, A", None));
}

#[test]
fn says_nothing_in_clear_about_an_encrypted_request() {
    let request = encrypted();
    for event in [
        Feedback::event(&request, &Status::Error, Some("cannot read `my diagnosis`")),
        Feedback::about(&request, Status::Partial).content("my diagnosis").build(),
        Feedback::about(&request, Status::Error).message("my diagnosis").sealed("ciphertext").build(),
    ] {
        let event = sign(event, &provider());
        assert!(!event.json().contains("diagnosis"), "{}", event.json());
        assert_eq!(event.tags[0].len(), 2);
    }
}

#[test]
fn does_not_mark_what_is_sealed_since_ndk_takes_that_for_a_list_of_tags() {
    let request = encrypted();
    let sealed =
        Feedback::about(&request, Status::PaymentRequired).amount(Amount::new(1)).sealed("ciphertext");
    let event = sign(sealed.build(), &provider());
    let read = Feedback::from_event(&event).unwrap();
    assert_eq!((read.content.as_str(), read.amount), ("ciphertext", Some(Amount::new(1))));
    assert!(event.tags_named("encrypted").next().is_none());
}

#[test]
fn sealed_feedback_says_nothing_in_clear_whatever_the_request() {
    let event = Feedback::about(&request(&[]), Status::Error).message("no GPU").sealed("ciphertext").build();
    let event = sign(event, &provider());
    assert_eq!(event.content, "ciphertext");
    assert_eq!(event.tags_named("status").next().unwrap(), &["status", "error"]);
}

#[test]
fn opens_sealed_feedback_by_its_status() {
    let sealed = |status: &str| read("ciphertext", &[&["status", status], &["encrypted"]]).unwrap();
    assert_eq!(sealed("partial").unsealed("Hello, A").content, "Hello, A");
    assert_eq!(sealed("partial").unsealed("Hello, A").message, None);
    let failed = sealed("error").unsealed("no GPU");
    assert_eq!((failed.message.as_deref(), failed.content.as_str()), (Some("no GPU"), ""));
}
