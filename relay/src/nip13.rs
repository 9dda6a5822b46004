//! Proof of work (NIP-13).

use openagents_host::{Event, EventId};

use crate::reason::{Prefix, Reason};

/// The number of leading zero bits.
pub(crate) fn difficulty(id: &EventId) -> u32 {
    let mut bits: u32 = 0;
    for byte in id.as_bytes() {
        bits = bits.saturating_add(byte.leading_zeros());
        if *byte != 0 {
            break;
        }
    }
    bits
}

/// Whether an event has at least this difficulty and was mined for it: an event with a lower target that is lucky does
/// not count. The target is the third element of the `nonce` tag. NIP-13 only says that it SHOULD be there, so an
/// event without it is judged by its id alone.
///
/// # Errors
/// What is missing.
pub(crate) fn admit(event: &Event, minimum: u8) -> Result<(), Reason> {
    if minimum == 0 {
        return Ok(());
    }
    let found = difficulty(&event.id);
    if found < u32::from(minimum) {
        return Err(Reason::new(Prefix::Pow, format!("difficulty {found} is less than {minimum}")));
    }
    let mut targets = event.tags_named("nonce").filter_map(|tag| tag.get(2));
    if targets.all(|target| target.parse::<u32>().is_ok_and(|target| target >= u32::from(minimum))) {
        return Ok(());
    }
    Err(Reason::new(
        Prefix::Pow,
        format!("the target in the nonce tag must be a number of at least {minimum}"),
    ))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use openagents_host::{Event, EventId};

    use super::{admit, difficulty};
    use crate::fixtures;

    fn of(id: &str, tags: &[&[&str]]) -> Event {
        let mut event = Event::clone(&fixtures::signed(1, 1, tags));
        event.id = EventId::from_hex(&format!("{id:f<64}")).unwrap();
        event
    }

    #[test]
    fn counts_the_leading_zero_bits() {
        for (id, bits) in [
            ("000000000e9d97a1ab09fc381030b346cdd7a142ad57e6df0b46dc9bef6c7e2d", 36),
            ("000006d8c378af1779d2feebc7603a125d99eca0ccf1085959b307f64e5dd358", 21),
            ("002f", 10),
            ("8", 0),
            ("7", 1),
            ("01", 7),
        ] {
            assert_eq!(difficulty(&of(id, &[]).id), bits, "{id}");
        }
        assert_eq!(difficulty(&EventId::from_hex(&"0".repeat(64)).unwrap()), 256);
    }

    #[test]
    fn wants_the_bits_and_no_smaller_target() {
        let cases: &[(&str, &[&[&str]], bool)] = &[
            ("00ff", &[], true),
            ("00ff", &[&["nonce", "1"]], true),
            ("00ff", &[&["nonce", "1", "8"]], true),
            ("00ff", &[&["nonce", "1", "20"]], true),
            ("00ff", &[&["nonce", "1", "7"]], false),
            ("00ff", &[&["nonce", "1", "8"], &["nonce", "2", "7"]], false),
            ("00ff", &[&["nonce", "1", "much"]], false),
            ("01ff", &[&["nonce", "1", "8"]], false),
            ("ffff", &[], false),
        ];
        for (id, tags, taken) in cases {
            let admitted = admit(&of(id, tags), 8);
            assert_eq!(admitted.is_ok(), *taken, "{id} {tags:?}");
            assert!(admitted.err().is_none_or(|reason| reason.to_string().starts_with("pow: ")));
        }
        assert!(admit(&of("ffff", &[&["nonce", "1", "much"]]), 0).is_ok());
    }
}
