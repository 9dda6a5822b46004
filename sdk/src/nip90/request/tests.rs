use openagents_host::{Kind, Timestamp};

use super::{JobRequest, NotAJobRequest};
use crate::nip90::tests::{customer, provider, request, request_with, signed};

#[test]
fn takes_the_kinds_of_requests_and_no_others() {
    let read = |kind| JobRequest::from_event(signed(&customer(), kind, "", &[]));
    for kind in [1, 4_999, 6_000, 7_000] {
        assert_eq!(read(kind), Err(NotAJobRequest(Kind(kind))));
    }
    for kind in [5_000, 5_999] {
        assert_eq!(read(kind).unwrap().kind(), Kind(kind));
    }
}

#[test]
fn needs_no_tag_at_all() {
    let request = request(&[]);
    assert!(request.inputs.is_empty() && request.output.is_empty() && request.relays.is_empty());
    assert_eq!((request.text(), request.bid, request.expires_at), (None, None, None));
    assert!(!request.encrypted && !request.sealed);
    assert_eq!(request.customer(), customer().public_key());
}

#[test]
fn passes_over_malformed_tags() {
    let request = request(&[
        &["i"],
        &["param"],
        &["output"],
        &["output", ""],
        &["bid", "all I have"],
        &["bid", " 5000 "],
        &["relays", ""],
        &["t"],
        &["expiration", "tomorrow"],
    ]);
    assert!(request.inputs.is_empty() && request.params.0.is_empty());
    assert!(request.output.is_empty() && request.relays.is_empty() && request.topics.is_empty());
    assert_eq!((request.bid, request.expires_at), (Some(5_000), None));
}

#[test]
fn keeps_every_value_of_a_parameter() {
    let request = request(&[
        &["param", "range", "300", "360"],
        &["param", "target", "a"],
        &["param", "target", "b"],
        &["param", "relays", "wss://a.example", "wss://b.example"],
    ]);
    assert_eq!(request.params.all("range").collect::<Vec<_>>(), ["300", "360"]);
    assert_eq!(request.params.all("target").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(request.params.all("relays").count(), 2);
    assert!(request.relays.is_empty());
}

#[test]
fn reads_lists_in_one_tag_and_in_several() {
    let request = request(&[
        &["output", "text/plain", "text/html"],
        &["output", "text/vtt"],
        &["relays", "wss://a.example", "wss://b.example"],
        &["relays", "wss://c.example"],
        &["t", "bitcoin"],
        &["t", "podcasts"],
    ]);
    assert_eq!(request.output, ["text/plain", "text/html", "text/vtt"]);
    assert_eq!(request.relays, ["wss://a.example", "wss://b.example", "wss://c.example"]);
    assert_eq!(request.topics, ["bitcoin", "podcasts"]);
}

#[test]
fn reads_when_it_expires_in_seconds() {
    let request = request(&[&["expiration", "1800000000"]]);
    assert_eq!(request.expires_at, Some(Timestamp::from_seconds(1_800_000_000)));
}

#[test]
fn is_for_those_it_names_and_for_all_when_it_names_nobody() {
    let (me, other) = (provider().public_key(), customer().public_key());
    assert!(request(&[]).is_for(&me));
    assert!(request(&[&["p", &other.to_hex()], &["p", &me.to_hex()]]).is_for(&me));
    assert!(request(&[&["p", &me.to_hex()], &["p", &other.to_hex()]]).is_for(&me));
    assert!(!request(&[&["p", &other.to_hex()]]).is_for(&me));
}

#[test]
fn is_for_nobody_when_nobody_can_read_whom_it_names() {
    let request = request(&[&["p", "npub1somebody"]]);
    assert!(request.providers.is_empty());
    assert!(!request.is_for(&provider().public_key()));
}

#[test]
fn takes_the_first_text_input_for_its_text() {
    let tags: &[&[&str]] = &[&["i", "https://a.example", "url"], &["i", "Ada"], &["i", "Bob", "text"]];
    assert_eq!(request_with("ignored", tags).text(), Some("Ada"));
    assert_eq!(request_with("ignored", &[&["i", "", "text"]]).text(), Some(""));
}

#[test]
fn takes_the_content_for_the_text_where_no_input_is() {
    assert_eq!(request_with("Ada", &[]).text(), Some("Ada"));
    assert_eq!(request_with("Ada", &[&["i", "https://a.example", "url"]]).text(), Some("Ada"));
    assert_eq!(request_with("", &[]).text(), None);
}

#[test]
fn never_takes_ciphertext_for_the_text() {
    let request = request_with("c2VjcmV0?iv=AAAA", &[&["encrypted"]]);
    assert!(request.encrypted);
    assert_eq!(request.text(), None);
    assert_eq!(request.unsealed(r#"[["param","model","x"]]"#).unwrap().text(), None);
}
