//! Fuzzes tokens (NIP-98): no header makes the server panic, and only what a key has signed for this URL, method and
//! time authorizes a request.

#![no_main]

use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use libfuzzer_sys::fuzz_target;
use openagents_host::nostr::http_auth::{TIME_WINDOW, authorization, authorize, authorize_body};
use openagents_host::{Event, Keys, Timestamp};

const URL: &str = "https://agent.example/a?b=c";
const NOW: Timestamp = Timestamp::from_seconds(1_000);

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::from_secret(&[1; 32]).expect("a key"));

/// A header is accepted only for an event that verifies and says so.
fn check(header: &str) {
    let _ = authorize_body(header, URL, &|url| url.starts_with("https://"), "POST", NOW, b"body");
    let Ok(who) = authorize(header, URL, "GET", NOW, None) else { return };
    let (_, token) = header.trim().split_once(' ').expect("a scheme");
    let unpadded = token.trim().trim_end_matches('=');
    let padded = format!("{unpadded}{}", "=".repeat((4 - unpadded.len() % 4) % 4));
    let json = String::from_utf8(Base64::decode_vec(&padded).expect("base64")).expect("JSON");
    let event = Event::from_json(&json).expect("an event").verify().expect("that verifies");
    assert_eq!(event.pubkey, who);
    assert!(event.created_at.abs_diff(NOW.as_seconds()) <= TIME_WINDOW);
    assert_eq!(event.tag_values("u").collect::<Vec<_>>(), [URL]);
    assert!(event.tag_values("method").all(|method| method.eq_ignore_ascii_case("GET")));
}

fuzz_target!(|text: &str| {
    check(text);
    check(&format!("Nostr {text}"));
    check(&format!("nostr {}", Base64::encode_string(text.as_bytes())));

    // What is signed: the URL, the method and the age, each on a line.
    let mut lines = text.lines();
    let (url, method) = (lines.next().unwrap_or(URL), lines.next().unwrap_or("GET"));
    let time = lines.next().and_then(|time| time.parse().ok()).unwrap_or(1_000_u64);
    let header = authorization(&KEYS, url, method, Timestamp::from_seconds(time));
    let is_for_this =
        url == URL && method.eq_ignore_ascii_case("GET") && time.abs_diff(NOW.as_seconds()) <= TIME_WINDOW;
    assert_eq!(authorize(&header, URL, "GET", NOW, None).is_ok(), is_for_this, "{url} {method} {time}");
    check(&header);
});
