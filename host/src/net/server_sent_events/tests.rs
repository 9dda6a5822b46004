//! Tests of server-sent events, with the examples of the WHATWG standard.

use bytes::Bytes;
use proptest::prelude::*;

use super::{EventParser, ServerSentEvent};

fn parsed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<ServerSentEvent> {
    let (mut parser, mut events) = (EventParser::default(), Vec::new());
    for chunk in chunks {
        let mut chunk = Bytes::copy_from_slice(chunk);
        while let Some(event) = parser.read(&mut chunk) {
            events.push(event);
        }
        assert!(chunk.is_empty());
    }
    events
}

/// Type, data and last id.
fn events(text: &str) -> Vec<(String, String, String)> {
    parsed([text.as_bytes()]).into_iter().map(|event| (event.event, event.data, event.id)).collect()
}

fn messages(text: &str) -> Vec<String> {
    events(text).into_iter().map(|(_, data, _)| data).collect()
}

#[test]
fn joins_the_lines_of_the_data() {
    assert_eq!(messages("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
    assert_eq!(messages("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
}

#[test]
fn removes_one_space_after_the_colon() {
    assert_eq!(messages("data:test\n\ndata: test\n\ndata:  test\n\n"), ["test", "test", " test"]);
}

#[test]
fn skips_comments_and_unknown_fields_and_an_event_without_data() {
    let text = ": keep-alive\n\n:\ndata: a\nretry: 10\nfoo: bar\n data: not data\n: x\n\nevent: empty\n\ndata: b\n\n";
    assert_eq!(messages(text), ["a", "b"]);
    assert_eq!(events("event: empty\n\ndata: b\n\n")[0].0, "message");
}

#[test]
fn keeps_the_last_id_until_another_comes() {
    let text = "data: first\nid: 1\n\ndata: second\n\ndata: third\nid\n\nid: a\0b\ndata: fourth\n\n";
    let ids: Vec<_> = events(text).into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(ids, ["1", "1", "", ""]);
}

#[test]
fn names_the_type_of_each_event() {
    let text = "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\ndata: x\n\n";
    let types: Vec<_> = events(text).into_iter().map(|(event, ..)| event).collect();
    assert_eq!(types, ["add", "remove", "message"]);
}

#[test]
fn ends_lines_with_cr_lf_or_both() {
    assert_eq!(
        messages("data: a\r\rdata: b\r\n\r\ndata: c\n\ndata: d\r\n\ndata: e\n\r"),
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(parsed([&b"data: a\r"[..], b"", b"\n", b"\r\n"]).len(), 1);
}

#[test]
fn removes_one_byte_order_mark_from_the_beginning() {
    assert_eq!(messages("\u{feff}data: a\n\n\u{feff}data: b\n\n"), ["a"]);
    assert_eq!(messages("\u{feff}\u{feff}data: a\n\n"), [""; 0]);
}

#[test]
fn leaves_out_what_the_end_cuts_off() {
    assert_eq!(messages("data: a\n\ndata: b\n"), ["a"]);
}

#[test]
fn replaces_what_is_not_utf8() {
    assert_eq!(parsed([&b"data: a\xff\n\n"[..]])[0].data, "a\u{fffd}");
}

/// The standard's algorithm for a text that is there as a whole.
fn reference(text: &str) -> Vec<ServerSentEvent> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut id) = (Vec::new(), String::new());
    let (mut event, mut data) = (String::new(), Vec::new());
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                let event = if event.is_empty() { "message" } else { &event };
                events.push(ServerSentEvent {
                    event: event.to_owned(),
                    data: data.join("\n"),
                    id: id.clone(),
                });
            }
            (event, data) = (String::new(), Vec::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event = value.to_owned(),
            "data" => data.push(value),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    events
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => Just("\n"), 4 => Just("\r"), 2 => Just("\r\n"), 4 => Just("data"), 4 => Just(":"), 2 => Just(" "),
        2 => Just("id"), 2 => Just("event"), 1 => Just("\u{feff}"), 1 => Just("ä€😀"), 1 => Just("\0"),
        2 => Just("data: x\n\n"), 1 => Just("retry: 1"),
    ]
}

proptest! {
    #[test]
    fn events_do_not_depend_on_how_the_bytes_are_split(
        pieces in proptest::collection::vec(piece(), 0..60),
        cuts in proptest::collection::vec(0_usize..200, 0..20),
    ) {
        let text = pieces.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]);
        let expected = reference(&text);
        prop_assert_eq!(&parsed(chunks), &expected);
        prop_assert_eq!(parsed(text.as_bytes().chunks(1)), expected);
    }
}
