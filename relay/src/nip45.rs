//! HyperLogLog registers for `COUNT` (NIP-45): an estimate of the number of authors that clients can merge across
//! relays.

use openagents_host::{EventId, PublicKey};
use sha2::{Digest, Sha256};

use openagents_host::nostr::filter::Filter;

/// The registers for one filter. Relays compute the same registers from the same filter and authors, so a client can
/// merge them by taking the greater value of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HyperLogLog {
    offset: usize,
    registers: Box<[u8; 256]>,
}

impl HyperLogLog {
    /// Empty registers for a filter, if NIP-45 defines any for it.
    ///
    /// NIP-45 uses the first item of the first tag attribute in the JSON. The order is not kept here, so only filters
    /// with a single attribute with a single item have registers, which covers everything that NIP-45 lists.
    #[must_use]
    pub(crate) fn of(filter: &Filter) -> Option<Self> {
        let mut attributes = filter.tags.values();
        let (Some(values), None) = (attributes.next(), attributes.next()) else { return None };
        Some(Self { offset: offset(values.only()?), registers: Box::new([0; 256]) })
    }

    /// Counts the author of an event.
    pub(crate) fn add(&mut self, author: &PublicKey) {
        let Some((index, rest)) = author.as_bytes().get(self.offset..).and_then(<[u8]>::split_first) else {
            return;
        };
        let mut zeros: u8 = 0;
        for byte in rest {
            let leading = u8::try_from(byte.leading_zeros()).unwrap_or(8);
            zeros = zeros.saturating_add(leading);
            if leading < 8 {
                break;
            }
        }
        if let Some(register) = self.registers.get_mut(usize::from(*index)) {
            *register = (*register).max(zeros.saturating_add(1));
        }
    }

    /// The registers.
    #[must_use]
    pub(crate) fn into_registers(self) -> Box<[u8; 256]> {
        self.registers
    }
}

/// Which byte of a public key selects the register, between 8 and 23 (NIP-45, "`offset` computation").
fn offset(value: &str) -> usize {
    let bytes: [u8; 32] = if let Ok(id) = EventId::from_hex(value) {
        *id.as_bytes()
    } else if let Some(author) = author_of_address(value) {
        *author.as_bytes()
    } else {
        Sha256::digest(value.as_bytes()).into()
    };
    // The hex character at position 32 is the upper half of this byte.
    bytes.get(16).map_or(0, |byte| usize::from(byte >> 4)).saturating_add(8)
}

fn author_of_address(value: &str) -> Option<PublicKey> {
    let (kind, rest) = value.split_once(':')?;
    let (author, _) = rest.split_once(':')?;
    kind.parse::<u16>().ok()?;
    PublicKey::from_hex(author).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::cast_precision_loss)]

    use openagents_host::PublicKey;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::HyperLogLog;
    use openagents_host::nostr::filter::Filter;

    fn author(number: u64) -> PublicKey {
        PublicKey::from_bytes(Sha256::digest(number.to_le_bytes()).into())
    }

    fn registers(filter: &str, authors: impl IntoIterator<Item = PublicKey>) -> Box<[u8; 256]> {
        let mut registers = HyperLogLog::of(&Filter::from_json(filter).unwrap()).unwrap();
        authors.into_iter().for_each(|author| registers.add(&author));
        registers.into_registers()
    }

    /// NIP-45 implemented literally, on hex and on strings of bits.
    fn by_the_letter(thirty_two_bytes: &str, authors: &[PublicKey]) -> Vec<u8> {
        let offset = thirty_two_bytes.chars().nth(32).unwrap().to_digit(16).unwrap() as usize + 8;
        let mut registers = vec![0; 256];
        for author in authors {
            let bits: String = author.as_bytes().iter().map(|byte| format!("{byte:08b}")).collect();
            let (before, rest) = bits.split_at((offset + 1) * 8);
            let (_, index) = before.split_at(offset * 8);
            let index = usize::from_str_radix(index, 2).unwrap();
            let zeros = rest.chars().take_while(|bit| *bit == '0').count();
            registers[index] = registers[index].max(u8::try_from(zeros).unwrap() + 1);
        }
        registers
    }

    /// The usual estimator with the correction for small numbers.
    fn estimate(registers: &[u8; 256]) -> f64 {
        let size = 256.0;
        let sum: f64 = registers.iter().map(|register| 2.0_f64.powi(-i32::from(*register))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
        let empty = registers.iter().filter(|register| **register == 0).count();
        if raw <= 2.5 * size && empty > 0 { size * (size / empty as f64).ln() } else { raw }
    }

    proptest! {
        #[test]
        fn agrees_with_a_literal_implementation_of_nip45(
            value in prop_oneof!["[0-9a-f]{64}", "[0-9]{1,5}:[0-9a-f]{64}:[a-z:]{0,4}", "\\PC{0,12}"],
            authors in prop::collection::vec(any::<[u8; 32]>(), 0..20), zeros in 0..32_usize,
        ) {
            let mut authors: Vec<PublicKey> = authors.into_iter().map(PublicKey::from_bytes).collect();
            let mut mined = [0xff; 32];
            mined[..zeros].fill(0);
            authors.push(PublicKey::from_bytes(mined));
            let hex = if value.len() == 64 && value.chars().all(|c| c.is_ascii_hexdigit()) {
                value.clone()
            } else if let Some(pubkey) = value.split(':').nth(1).filter(|part| {
                part.len() == 64 && value.split(':').next().unwrap().parse::<u16>().is_ok()
            }) {
                pubkey.to_owned()
            } else {
                base16ct::lower::encode_string(&Sha256::digest(value.as_bytes()))
            };
            let filter = serde_json::json!({ "#x": [value] }).to_string();
            prop_assert_eq!(registers(&filter, authors.iter().copied()).to_vec(), by_the_letter(&hex, &authors));
        }
    }

    #[test]
    fn estimates_ten_thousand_authors_within_a_tenth() {
        for topic in ["nostr", "bitcoin", "dvm", "a"] {
            let filter = format!(r##"{{"#t":["{topic}"]}}"##);
            for authors in [100_u64, 10_000] {
                let estimate = estimate(&registers(&filter, (0..authors).map(author)));
                let error = (estimate - authors as f64).abs() / authors as f64;
                assert!(error < 0.1, "{topic}: {estimate} of {authors}");
            }
        }
    }

    #[test]
    fn an_author_counts_once_and_relays_can_be_merged() {
        let filter = r##"{"#t":["nostr"]}"##;
        let once = registers(filter, (0..50).map(author));
        assert_eq!(registers(filter, (0..50).chain(0..50).map(author)), once);
        let [first, second] = [0..30, 20..50].map(|range| registers(filter, range.map(author)));
        let merged: Vec<u8> = first.iter().zip(second.iter()).map(|(a, b)| *a.max(b)).collect();
        assert_eq!(merged, once.to_vec());
    }

    #[test]
    fn only_a_single_attribute_with_a_single_item_has_registers() {
        for (filter, eligible) in [
            (r##"{"kinds":[1],"#t":["a"]}"##, true),
            (r##"{"#t":["a","b"]}"##, false),
            (r##"{"#t":["a"],"#d":["b"]}"##, false),
            (r##"{"#t":[]}"##, false),
            (r#"{"kinds":[1]}"#, false),
        ] {
            assert_eq!(HyperLogLog::of(&Filter::from_json(filter).unwrap()).is_some(), eligible, "{filter}");
        }
    }
}
