//! The words of five bits of which a BOLT 11 invoice is made.

/// The characters of Bech32 (BIP-173), each by its word.
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Some words, each below 32.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [u8]);

impl<'a> Words<'a> {
    /// Takes a tagged field from the front: its letter, and its words. `None` if it is cut off.
    pub(super) fn take_field(&mut self) -> Option<(u8, Self)> {
        let [tag, high, low, rest @ ..] = self.0 else { return None };
        let length = usize::from(*high).checked_mul(32)?.checked_add(usize::from(*low))?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*ALPHABET.get(usize::from(*tag))?, Words(field)))
    }

    /// The number, the highest word first. `None` beyond 64 bits.
    pub(super) fn number(self) -> Option<u64> {
        self.0.iter().try_fold(0_u64, |number, word| number.checked_mul(32)?.checked_add(u64::from(*word)))
    }

    /// The whole bytes; what is left of the last word is padding.
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.padded_bytes();
        bytes.truncate(self.0.len().saturating_mul(5) / 8);
        bytes
    }

    /// The bytes, the last of which is filled up with zeros.
    pub(super) fn padded_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len());
        let (mut pending, mut bits) = (0_u16, 0_u32);
        for word in self.0 {
            pending = (pending << 5) | u16::from(word & 31);
            bits = bits.saturating_add(5);
            if let Some(rest) = bits.checked_sub(8) {
                bytes.push(pending.checked_shr(rest).unwrap_or_default().to_be_bytes()[1]);
                pending &= (1_u16 << rest).wrapping_sub(1);
                bits = rest;
            }
        }
        if bits > 0 {
            bytes.push(pending.checked_shl(8_u32.saturating_sub(bits)).unwrap_or_default().to_be_bytes()[1]);
        }
        bytes
    }

    /// The bytes as an array of exactly this length.
    pub(super) fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.bytes().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn words_are_bytes_with_padding() {
        assert_eq!(Words(&[31, 28]).bytes(), [0xff]);
        assert_eq!(Words(&[31, 31]).padded_bytes(), [0xff, 0xc0]);
        assert_eq!(Words(&[1; 8]).bytes(), Words(&[1; 8]).padded_bytes());
        assert!(Words(&[]).padded_bytes().is_empty());
    }

    #[test]
    fn a_number_has_at_most_64_bits() {
        assert_eq!(Words(&[1, 0]).number(), Some(32));
        assert_eq!(Words(&[15, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31]).number(), Some(u64::MAX));
        assert_eq!(Words(&[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).number(), None);
    }

    #[test]
    fn a_field_that_is_cut_off_is_none() {
        let mut words = Words(&[1, 0, 2, 7, 8, 3, 0, 0]);
        let (tag, field) = words.take_field().unwrap();
        assert_eq!((tag, field.0), (b'p', &[7, 8][..]));
        assert_eq!(words.take_field().unwrap().0, b'r');
        assert!(words.take_field().is_none());
        assert!(Words(&[1, 0, 2, 7]).take_field().is_none());
        assert!(Words(&[1, 0]).take_field().is_none());
    }
}
