//! The padding of NIP-44, which hides most of a text's length: `length ‖ text ‖ zeros`.

/// From this length on, the length takes six bytes instead of two.
const EXTENDED: usize = 65_536;

/// The text with its length in front and zeros behind; `None` for a text that NIP-44 cannot encrypt (empty, or at
/// least 4 GiB).
pub(super) fn pad(plaintext: &str) -> Option<Vec<u8>> {
    let length = plaintext.len();
    let mut padded = match u16::try_from(length) {
        Ok(0) => return None,
        Ok(length) => length.to_be_bytes().to_vec(),
        Err(_) => [[0; 2].as_slice(), &u32::try_from(length).ok()?.to_be_bytes()].concat(),
    };
    let total = padded.len().checked_add(padded_length(length)?)?;
    padded.reserve_exact(total.saturating_sub(padded.len()));
    padded.extend_from_slice(plaintext.as_bytes());
    padded.resize(total, 0);
    Some(padded)
}

/// The text's bytes without padding; `None` if the padding is not exactly what [`pad`] creates for this length.
pub(super) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (&short, rest) = padded.split_first_chunk()?;
    let (length, text) = match u16::from_be_bytes(short) {
        0 => {
            let (&long, text) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(long)).ok()?;
            (length >= EXTENDED).then_some((length, text))?
        }
        length => (usize::from(length), rest),
    };
    if text.len() != padded_length(length)? {
        return None;
    }
    text.get(..length)
}

/// The padded length of a text of `length` bytes.
fn padded_length(length: usize) -> Option<usize> {
    let chunk = (length.checked_next_power_of_two()? / 8).max(32);
    length.checked_next_multiple_of(chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{pad, padded_length, unpad};

    #[test]
    fn hides_a_length_as_the_specification_does() {
        for (length, expected) in [
            (1, 32),
            (16, 32),
            (32, 32),
            (33, 64),
            (37, 64),
            (45, 64),
            (49, 64),
            (64, 64),
            (65, 96),
            (100, 128),
            (111, 128),
            (200, 224),
            (250, 256),
            (320, 320),
            (383, 384),
            (384, 384),
            (400, 448),
            (500, 512),
            (512, 512),
            (515, 640),
            (700, 768),
            (800, 896),
            (900, 1_024),
            (1_020, 1_024),
            (65_535, 65_536),
            (65_536, 65_536),
            (65_537, 81_920),
        ] {
            assert_eq!(padded_length(length), Some(expected), "for {length}");
        }
        assert_eq!(padded_length(usize::MAX), None);
    }

    #[test]
    fn writes_the_length_in_two_bytes_or_six() {
        assert_eq!(pad(&"a".repeat(65_535)).unwrap()[..3], [255, 255, b'a']);
        assert_eq!(pad(&"a".repeat(65_536)).unwrap()[..7], [0, 0, 0, 1, 0, 0, b'a']);
        assert_eq!(pad(""), None);
    }

    #[test]
    fn refuses_any_other_padding() {
        let good = pad("abc").unwrap();
        assert_eq!(unpad(&good), Some(b"abc".as_slice()));
        let mut longer = good.clone();
        longer.extend([0; 32]);
        let extended_without_need = [[0, 0, 0, 0, 0, 3].as_slice(), &good[2..]].concat();
        let beyond_its_end = [[0, 33].as_slice(), &good[2..]].concat();
        let most_it_can_say = [[0, 0, 255, 255, 255, 255].as_slice(), &good[2..]].concat();
        let empty = vec![0; 34];
        for bad in [
            &longer,
            &extended_without_need,
            &beyond_its_end,
            &most_it_can_say,
            &empty,
            &good[..33].to_vec(),
            &vec![],
            &vec![0],
        ] {
            assert_eq!(unpad(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn gives_back_what_it_padded(text in ".{1,300}") {
            let padded = pad(&text).unwrap();
            prop_assert_eq!(unpad(&padded), Some(text.as_bytes()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), length in any::<u32>()) {
            let _ = unpad(&bytes);
            let _ = unpad(&[[0; 2].as_slice(), &length.to_be_bytes(), &bytes].concat());
        }
    }
}
