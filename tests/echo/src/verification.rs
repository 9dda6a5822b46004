//! The cost of verifying an event.

use k256::schnorr;
use openagents_host::nostr::schnorr as ours;
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent};
use sha2::{Digest, Sha256};
use worker::{Date, Url};

/// The microseconds of the check that the URL names; `None` if it names none.
pub(crate) fn measured(url: &Url) -> Option<f64> {
    let check = match url.path() {
        "/verify/ours" => by_ours,
        "/verify/k256" => by_k256,
        "/event" => whole_event,
        "/hash" => hash,
        _ => return None,
    };
    let number = |name: &str, default: u32| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    };
    let (count, authors) = (number("count", 5000), number("authors", 20).clamp(1, 5000));
    let events: Vec<Event> = (0..authors).map(signed).collect();
    // A first run, so that the code is compiled.
    run(&events, count / 4, check);
    let began = Date::now().as_millis();
    let passed = run(&events, count, check);
    let elapsed = Date::now().as_millis().saturating_sub(began);
    // Ensures that the verification succeeds.
    (passed == count).then(|| elapsed as f64 * 1000.0 / f64::from(count))
}

fn run(events: &[Event], count: u32, check: fn(&Event) -> bool) -> u32 {
    events.iter().cycle().zip(0..count).map(|(event, _)| u32::from(check(event))).sum()
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
