//! Malformed messages: each class gets the answer that `docs/relay.md` promises, and the connection stays open.
//!
//! `malformed_events`, `malformed_filters` and `websocket_frames` cover the contents of messages and the frames
//! around them.

use openagents_tests::events::{as_json, event, fresh_author, note};
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    text_that_is_no_json,
    text_behind_the_message,
    a_message_without_text,
    json_that_is_no_array,
    an_array_that_begins_with_no_verb,
    an_unknown_verb,
    a_verb_alone,
    an_element_too_many,
    a_subscription_id_that_is_no_string,
    a_subscription_id_of_a_wrong_length,
    a_subscription_id_with_escapes_is_one,
    characters_that_json_forbids,
    half_of_a_surrogate_pair,
    nesting_without_end,
    a_count_that_is_none,
    an_identification_that_is_none,
    a_reconciliation_that_is_none,
    an_identification_that_is_published,
    a_thousand_wrong_messages_in_a_row,
];

/// The answer to a malformed message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'text> {
    /// `NOTICE`: the message names nothing that could be answered.
    Notice,
    /// `OK` with `false` for this event.
    Ok(&'text str),
    /// `CLOSED` for this subscription.
    Closed(&'text str),
    /// `NEG-ERR` for this reconciliation (NIP-77).
    ReconcileRefused(&'text str),
}

impl Answer<'_> {
    fn elements(self) -> Vec<Value> {
        match self {
            Self::Notice => vec![json!("NOTICE")],
            Self::Ok(id) => vec![json!("OK"), json!(id), json!(false)],
            Self::Closed(subscription) => vec![json!("CLOSED"), json!(subscription)],
            Self::ReconcileRefused(subscription) => vec![json!("NEG-ERR"), json!(subscription)],
        }
    }

    /// Fails unless this text is the answer, with a reason that has this prefix and an explanation.
    pub(crate) fn assert(self, prefix: &str, received: &str, sent: &str) {
        let shown: String = sent.chars().take(120).collect();
        let received: Vec<Value> = serde_json::from_str(received)
            .unwrap_or_else(|error| panic!("for {shown}: {error} in {received}"));
        let (reason, first) = received.split_last().expect("not an empty array");
        assert_eq!(first, self.elements(), "for {shown}: {received:?}");
        let reason = reason.as_str().unwrap_or_else(|| panic!("for {shown}: {received:?}"));
        let rest = reason.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(": "));
        assert!(rest.is_some_and(|rest| rest.len() > 5), "for {shown}: {reason}, not {prefix}");
        assert!(reason.len() < 1000, "for {shown}: an echo of {} bytes", reason.len());
    }
}

/// Sends a text and expects its answer, and no other.
pub(crate) async fn expect(client: &mut Client, text: &str, answer: Answer<'_>, prefix: &str) {
    client.send_text(text).await;
    let received = client.receive_text_within(PATIENCE).await;
    answer.assert(prefix, &received.unwrap_or_else(|| panic!("no answer to {text:.120}")), text);
}

/// The connection still works, answers nothing twice, and nothing has panicked.
pub(crate) async fn expect_unharmed(servers: &Servers, mut client: Client) {
    client.expect_alive().await;
    let log = std::fs::read_to_string(servers.hello_world().log()).unwrap_or_default();
    assert!(!log.contains("panicked"), "{}", servers.hello_world().log_tail());
}

async fn expect_each(servers: &Servers, texts: &[&str], answer: Answer<'_>, prefix: &str) {
    let mut client = servers.client().await;
    for text in texts {
        expect(&mut client, text, answer, prefix).await;
    }
    expect_unharmed(servers, client).await;
}

async fn text_that_is_no_json(servers: &Servers) {
    let texts = [
        "hello",
        "{",
        "[",
        "]",
        "[\"EVENT\"",
        "[\"REQ\",\"a\",{}",
        "['REQ','a',{}]",
        "[\"EVENT\",{\"id\":}]",
        "[\"CLOSE\",\"\\x\"]",
        "[\"CLOSE\",\"a\",]",
        "[\"REQ\",\"a\",{\"limit\":NaN}]",
        "[\"REQ\",\"a\",{\"limit\":01}]",
        "[\"REQ\",\"a\",{\"limit\":+1}]",
        "[\"REQ\",\"a\",{\"limit\":0x1}]",
        "[\"REQ\",\"a\",{limit:1}]",
        "[\"CLOSE\" \"a\"]",
        "// [\"CLOSE\",\"a\"]",
        "NaN",
        "\u{feff}[\"CLOSE\",\"a\"]",
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn text_behind_the_message(servers: &Servers) {
    let texts = [
        "[\"REQ\",\"a\",{}]]",
        "[\"CLOSE\",\"a\"] trailing",
        "[\"CLOSE\",\"a\"],",
        "[\"CLOSE\",\"a\"][\"CLOSE\",\"b\"]",
        "[\"CLOSE\",\"a\"]\n[\"CLOSE\",\"b\"]",
        "[\"CLOSE\",\"a\"]\0",
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn a_message_without_text(servers: &Servers) {
    expect_each(servers, &["", " ", "\n", "\t\r\n"], Answer::Notice, "invalid").await;
}

async fn json_that_is_no_array(servers: &Servers) {
    let texts =
        ["{}", "null", "true", "1", "-0", "1e400", "\"EVENT\"", r#"{"0":"EVENT"}"#, r#"{"EVENT":{}}"#];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn an_array_that_begins_with_no_verb(servers: &Servers) {
    expect_each(servers, &["[]", "[ ]"], Answer::Notice, "invalid").await;
    let texts = ["[null]", "[1,2,3]", "[[\"EVENT\"]]", "[{}]", "[true,\"REQ\"]"];
    expect_each(servers, &texts, Answer::Notice, "unsupported").await;
}

async fn an_unknown_verb(servers: &Servers) {
    let long = format!("[\"{}\"]", "V".repeat(5000));
    let texts = [
        r#"["HELLO","a"]"#,
        r#"["event",{}]"#,
        r#"["EVENT ",{}]"#,
        r#"["",""]"#,
        r#"["EOSE","a"]"#,
        r#"["OK","00",true,""]"#,
        r#"["NOTICE","from a client"]"#,
        r#"["NEG-ERR","a","closed: by a client"]"#,
        &long,
    ];
    expect_each(servers, &texts, Answer::Notice, "unsupported").await;
}

async fn a_verb_alone(servers: &Servers) {
    let texts = [
        r#"["EVENT"]"#,
        r#"["REQ"]"#,
        r#"["CLOSE"]"#,
        r#"["COUNT"]"#,
        r#"["AUTH"]"#,
        r#"["NEG-OPEN"]"#,
        r#"["NEG-MSG"]"#,
        r#"["NEG-CLOSE"]"#,
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn an_element_too_many(servers: &Servers) {
    let mut client = servers.client().await;
    let event = note(&fresh_author(), "and something else");
    let id = event.id.to_hex();
    for surplus in [json!(null), json!(1), json!({}), json!("x"), as_json(&event)] {
        let text = json!(["EVENT", as_json(&event), surplus]).to_string();
        expect(&mut client, &text, Answer::Ok(&id), "invalid").await;
        let text = json!(["AUTH", as_json(&event), surplus]).to_string();
        expect(&mut client, &text, Answer::Ok(&id), "invalid").await;
    }
    for text in [r#"["CLOSE","a","b"]"#, r#"["CLOSE","a",null]"#, r#"["NEG-CLOSE","a",""]"#] {
        expect(&mut client, text, Answer::Notice, "invalid").await;
    }
    for text in [r#"["NEG-OPEN","a",{},"6100","6100"]"#, r#"["NEG-MSG","a","6100","6100"]"#] {
        expect(&mut client, text, Answer::ReconcileRefused("a"), "invalid").await;
    }
    assert_eq!(client.query(&[json!({"ids": [id]})]).await, []);
    expect_unharmed(servers, client).await;
}

async fn a_subscription_id_that_is_no_string(servers: &Servers) {
    let ids = ["1", "null", "true", "{}", "[]", r#"["a"]"#, "1e400"];
    let texts: Vec<String> = ids
        .iter()
        .flat_map(|id| {
            [
                format!("[\"REQ\",{id},{{}}]"),
                format!("[\"COUNT\",{id},{{}}]"),
                format!("[\"CLOSE\",{id}]"),
                format!("[\"NEG-OPEN\",{id},{{}},\"6100\"]"),
                format!("[\"NEG-CLOSE\",{id}]"),
            ]
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn a_subscription_id_of_a_wrong_length(servers: &Servers) {
    let mut client = servers.client().await;
    for id in ["".to_owned(), "s".repeat(65), "🦀".repeat(65), "s".repeat(10_000)] {
        let shown = if id.len() > 500 { None } else { Some(id.as_str()) };
        for verb in ["REQ", "COUNT"] {
            let text = json!([verb, id, {"limit": 0}]).to_string();
            expect(&mut client, &text, Answer::Closed(shown.unwrap_or(&id)), "invalid").await;
        }
        let text = json!(["NEG-OPEN", id, {}, "6100"]).to_string();
        expect(&mut client, &text, Answer::ReconcileRefused(&id), "invalid").await;
        expect(&mut client, &json!(["CLOSE", id]).to_string(), Answer::Notice, "invalid").await;
    }
    expect_unharmed(servers, client).await;
}

async fn a_subscription_id_with_escapes_is_one(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()]});
    let ids = ["\"", "\\", "],[", "\n\t\u{0}\u{1f}", "é🦀\u{2028}", " ", "__proto__", &"é".repeat(64)];
    for id in ids {
        assert_eq!(client.subscribe(id, std::slice::from_ref(&filter)).await, []);
    }
    // JSON allows more than one spelling of a name.
    client.send_text(r#"["CLOSE","\u0022"]"#).await;
    let event = note(&author, "to all of them");
    client.publish_accepted(&event).await;
    for id in &ids[1..] {
        assert_eq!(client.next_event(id).await, event);
    }
    client.expect_silence().await;
}

async fn characters_that_json_forbids(servers: &Servers) {
    let texts = [
        "[\"CLOSE\",\"a\nb\"]",
        "[\"CLOSE\",\"a\tb\"]",
        "[\"CLOSE\",\"a\0b\"]",
        "\0",
        "[\"CLOSE\",\"\\u00\"]",
        "[\"CLOSE\",\"\\uzzzz\"]",
        "[\"CLOSE\",\"\\a\"]",
        "[\"CLOSE\",\u{a0}\"a\"]",
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
}

async fn half_of_a_surrogate_pair(servers: &Servers) {
    let texts = [
        r#"["CLOSE","\ud800"]"#,
        r#"["CLOSE","\udc00\ud800"]"#,
        r#"["REQ","\ud800",{}]"#,
        r#"["REQ","\ud83ex",{}]"#,
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
    let mut client = servers.client().await;
    expect(&mut client, r##"["REQ","a",{"#t":["\ud800"]}]"##, Answer::Closed("a"), "invalid").await;
    let event = note(&fresh_author(), "half");
    let text = json!(["EVENT", as_json(&event)]).to_string().replace("\"half\"", "\"\\ud800\"");
    expect(&mut client, &text, Answer::Ok(&event.id.to_hex()), "invalid").await;
    expect_unharmed(servers, client).await;
}

async fn nesting_without_end(servers: &Servers) {
    let depth = 50_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let (object, end) = ("{\"a\":".repeat(depth / 5), "}".repeat(depth / 5));
    let mut client = servers.client().await;
    for text in [open.clone(), "{\"a\":".repeat(depth / 5), "[{\"a\":".repeat(depth / 6)] {
        expect(&mut client, &text, Answer::Notice, "invalid").await;
    }
    expect(&mut client, &format!("{open}{close}"), Answer::Notice, "unsupported").await;
    expect(&mut client, &format!("[\"EVENT\",{object}1{end}]"), Answer::Notice, "invalid").await;
    for filter in [format!("{open}{close}"), format!("{{\"#t\":{open}{close}}}"), format!("{object}1{end}")] {
        let text = format!("[\"REQ\",\"deep\",{filter}]");
        client.send_text(&text).await;
        let received = client.receive_text_within(PATIENCE).await.expect("an answer");
        let prefix = if filter.starts_with("{\"a\"") { "unsupported" } else { "invalid" };
        Answer::Closed("deep").assert(prefix, &received, &text);
    }
    expect_unharmed(servers, client).await;
}

async fn a_count_that_is_none(servers: &Servers) {
    let texts = [
        r#"["COUNT","a"]"#,
        r#"["COUNT","a",null]"#,
        r#"["COUNT","a",[]]"#,
        r#"["COUNT","a",{"kinds":"1"}]"#,
        r#"["COUNT","a",{"ids":["abc"]}]"#,
        r#"["COUNT","a",{"since":-1}]"#,
        r#"["COUNT","a",{"kinds":[1]},{"kinds":[1.5]}]"#,
    ];
    expect_each(servers, &texts, Answer::Closed("a"), "invalid").await;
    expect_each(servers, &[r#"["COUNT","a",{"no such field":1}]"#], Answer::Closed("a"), "unsupported").await;
}

async fn an_identification_that_is_none(servers: &Servers) {
    let texts = [
        r#"["AUTH",null]"#,
        r#"["AUTH","challenge"]"#,
        r#"["AUTH",{}]"#,
        r#"["AUTH",[]]"#,
        r#"["AUTH",{"id":"x"}]"#,
    ];
    expect_each(servers, &texts, Answer::Notice, "invalid").await;
    let mut client = servers.client().await;
    let author = fresh_author();
    let (no_tags, nonsense): (&[&[&str]], &[&[&str]]) = (&[], &[&["challenge", ""], &["relay", ""]]);
    for event in
        [note(&author, "hello"), event(&author, 22_242, no_tags, ""), event(&author, 22_242, nonsense, "")]
    {
        let text = json!(["AUTH", as_json(&event)]).to_string();
        expect(&mut client, &text, Answer::Ok(&event.id.to_hex()), "invalid").await;
        // A message with invalid fields does not stay unanswered either.
        let text = text.replace(&event.sig.to_string(), "00");
        expect(&mut client, &text, Answer::Ok(&event.id.to_hex()), "invalid").await;
    }
    expect_unharmed(servers, client).await;
}

async fn a_reconciliation_that_is_none(servers: &Servers) {
    let texts = [
        r#"["NEG-OPEN","a"]"#,
        r#"["NEG-OPEN","a",{}]"#,
        r#"["NEG-OPEN","a","6100"]"#,
        r#"["NEG-OPEN","a",{},"not hexadecimal"]"#,
        r#"["NEG-OPEN","a",{},"610"]"#,
        r#"["NEG-OPEN","a",{},""]"#,
        r#"["NEG-OPEN","a",{},null]"#,
        r#"["NEG-OPEN","a",null,"6100"]"#,
        r#"["NEG-OPEN","a",[{}],"6100"]"#,
        r#"["NEG-OPEN","a",{"kinds":["1"]},"6100"]"#,
        r#"["NEG-MSG","a"]"#,
        r#"["NEG-MSG","a","xy"]"#,
        r#"["NEG-MSG","a",6100]"#,
    ];
    expect_each(servers, &texts, Answer::ReconcileRefused("a"), "invalid").await;
}

async fn an_identification_that_is_published(servers: &Servers) {
    let mut client = servers.client().await;
    let event = event(&fresh_author(), 22_242, &[&["challenge", "x"]], "");
    let text = json!(["EVENT", as_json(&event)]).to_string();
    expect(&mut client, &text, Answer::Ok(&event.id.to_hex()), "invalid").await;
    expect_unharmed(servers, client).await;
}

async fn a_thousand_wrong_messages_in_a_row(servers: &Servers) {
    let mut client = servers.client().await;
    let text = |number: usize| format!("[\"WRONG\",{number}");
    for number in 0..1000 {
        client.send_text(&text(number)).await;
    }
    for number in 0..1000 {
        let received = client.receive_text_within(PATIENCE).await.expect("an answer to each");
        Answer::Notice.assert("invalid", &received, &text(number));
    }
    expect_unharmed(servers, client).await;
}
