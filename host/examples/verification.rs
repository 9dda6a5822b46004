//! Benchmark: the cost of each step from JSON to a verified event, and which library verifies signatures fastest here.
//!
//! ```text
//! cargo run --release -p openagents-host --example verification
//! ```
//!
//! The events resemble those of a relay for agents: about 640 bytes, three tags, twenty authors. `ceiling` is how many
//! events this machine could verify per second if it did nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use openagents_host::nostr::schnorr;
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent};
use secp256k1::{Secp256k1, XOnlyPublicKey};
use sha2::{Digest, Sha256};

const EVENTS: usize = 2_000;
const ROUNDS: usize = 7;

fn main() {
    let events = events();
    let texts: Vec<String> =
        events.iter().map(|event| serde_json::to_string(event).unwrap_or_default()).collect();
    let length = texts.iter().map(String::len).sum::<usize>() / EVENTS;
    println!("µs per event, of {length} bytes on average; the best of {ROUNDS} rounds\n");

    row("read the JSON", best(&texts, |text| Event::from_json(text).is_ok()));
    row(
        "write the JSON",
        best(&events, |event| serde_json::to_string(event).is_ok_and(|json| !json.is_empty())),
    );
    row("SHA-256 of as many bytes", best(&texts, |text| !Sha256::digest(text.as_bytes()).is_empty()));
    row(
        "key to point, libsecp256k1",
        best(&events, |event| XOnlyPublicKey::from_byte_array(event.pubkey.as_bytes()).is_ok()),
    );
    let verified_as_here =
        best(&events, |event| schnorr::verify(&event.pubkey, event.id.as_bytes(), &event.sig));
    row("signature, libsecp256k1", best(&events, libsecp256k1()));
    row("signature, k256", best(&events, by_k256));
    row("signature, as in this host", verified_as_here);
    let whole = best(&texts, |text| Event::from_json(text).is_ok_and(|event| event.verify().is_ok()));
    row("text to verified event", whole);

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("\nceiling on {cores} cores: {:.0} signatures/s", cores as f64 / verified_as_here.as_secs_f64());
    println!("                     {:.0} texts to verified events/s", cores as f64 / whole.as_secs_f64());
}

fn events() -> Vec<Event> {
    let authors: Vec<Keys> = (0..20).map(|_| Keys::generate().unwrap()).collect();
    let reference = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36";
    let tags = [["e", reference], ["p", reference], ["t", "bench"]];
    authors
        .iter()
        .cycle()
        .zip(0..)
        .take(EVENTS)
        .map(|(author, second)| {
            let tags = tags.iter().map(|tag| tag.map(str::to_owned).to_vec());
            let event = UnsignedEvent::new(Kind(1), "lorem ipsum ".repeat(9)).tags(tags);
            Event::clone(&event.sign(author, Timestamp::from_seconds(1_700_000_000 + second)))
        })
        .collect()
}

fn libsecp256k1() -> impl Fn(&Event) -> bool {
    let context = Secp256k1::verification_only();
    move |event| {
        let signature = secp256k1::schnorr::Signature::from_byte_array(*event.sig.as_bytes());
        XOnlyPublicKey::from_byte_array(event.pubkey.as_bytes())
            .is_ok_and(|key| context.verify_schnorr(&signature, event.id.as_bytes(), &key).is_ok())
    }
}

fn by_k256(event: &Event) -> bool {
    let key = k256::schnorr::VerifyingKey::from_slice(event.pubkey.as_bytes());
    let signature = k256::schnorr::Signature::try_from(event.sig.as_bytes().as_slice());
    key.is_ok_and(|key| {
        signature.is_ok_and(|signature| key.verify_raw(event.id.as_bytes(), &signature).is_ok())
    })
}

/// The time of one call: the mean of the fastest round, since other work can only slow a round down.
fn best<T>(inputs: &[T], step: impl Fn(&T) -> bool) -> Duration {
    let round = || {
        let began = Instant::now();
        for input in inputs {
            assert!(step(black_box(input)), "every event is good");
        }
        began.elapsed()
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default() / u32::try_from(inputs.len()).unwrap_or(u32::MAX)
}

fn row(step: &str, time: Duration) {
    println!("{step:<28}{:>8.2}", time.as_secs_f64() * 1e6);
}
