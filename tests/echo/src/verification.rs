//! The cost of verifying an event.

use k256::schnorr;
use openagents_host::nostr::schnorr::{self as ours, SignedMessage};
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent};
use sha2::{Digest, Sha256};
use worker::{Date, Url};

/// The microseconds of the check that the URL names, for one of `count` events by `authors`, `size` of them at a time;
/// `None` if it names none.
pub(crate) fn measured(url: &Url) -> Option<f64> {
    let check: Check = match url.path() {
        "/verify/ours" => |events| events.iter().map(|event| u32::from(by_ours(event))).sum(),
        "/verify/batch" => together,
        "/verify/k256" => |events| events.iter().map(|event| u32::from(by_k256(event))).sum(),
        "/event" => |events| events.iter().map(|event| u32::from(whole_event(event))).sum(),
        "/hash" => |events| events.iter().map(|event| u32::from(hash(event))).sum(),
        _ => return None,
    };
    let number = |name: &str, default: u32| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    };
    let (count, authors) = (number("count", 5000), number("authors", 20).clamp(1, 5000));
    let size = number("size", 16).clamp(1, 256);
    let count = count.next_multiple_of(size);
    let events: Vec<Event> =
        (0..authors.next_multiple_of(size)).map(|event| signed(event % authors)).collect();
    // A first run, so that the code is compiled.
    run(&events, count / 4, size, check);
    let began = Date::now().as_millis();
    let passed = run(&events, count, size, check);
    let elapsed = Date::now().as_millis().saturating_sub(began);
    // Ensures that the verification succeeds.
    (passed == count).then(|| elapsed as f64 * 1000.0 / f64::from(count))
}

/// How many of these events pass.
type Check = fn(&[Event]) -> u32;

fn run(events: &[Event], count: u32, size: u32, check: Check) -> u32 {
    events.chunks(size as usize).cycle().zip(0..count / size).map(|(events, _)| check(events)).sum()
}

fn together(events: &[Event]) -> u32 {
    let signed: Vec<_> = events
        .iter()
        .map(|event| SignedMessage {
            public_key: &event.pubkey,
            message: event.id.as_bytes(),
            signature: &event.sig,
        })
        .collect();
    ours::verify_all(&signed).into_iter().map(u32::from).sum()
}

/// An event of about 640 bytes.
fn signed(author: u32) -> Event {
    let mut secret = [1; 32];
    secret[..4].copy_from_slice(&author.to_be_bytes());
    let keys = Keys::from_secret(&secret).expect("a secret below the order");
    let reference = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36";
    let event = UnsignedEvent::new(Kind(1), "lorem ipsum ".repeat(9));
    let event = event.tag(["e", reference]).tag(["p", reference]).tag(["t", "bench"]);
    Event::clone(&event.sign(&keys, Timestamp::from_seconds(1_800_000_000)))
}

fn by_ours(event: &Event) -> bool {
    ours::verify(&event.pubkey, event.id.as_bytes(), &event.sig)
}

fn by_k256(event: &Event) -> bool {
    let Ok(key) = schnorr::VerifyingKey::from_slice(event.pubkey.as_bytes()) else { return false };
    let Ok(signature) = schnorr::Signature::try_from(event.sig.as_bytes().as_slice()) else { return false };
    key.verify_raw(event.id.as_bytes(), &signature).is_ok()
}

fn whole_event(event: &Event) -> bool {
    event.clone().verify().is_ok()
}

fn hash(event: &Event) -> bool {
    // About as many escapes as in a typical event.
    let bytes = [event.id.as_bytes()[0]; 520];
    std::hint::black_box(Sha256::digest(bytes)).len() == 32
}
