//! Tests of encryption (NIP-04, NIP-44), compared with the `nostr` crate.

use nostr::nips::{nip04, nip44};
use nostr::prelude::{PublicKey as NostrPublicKey, SecretKey};
use proptest::prelude::*;

use super::{DecryptError, Encryption};
use crate::nostr::keys::Keys;

const BOTH: [Encryption; 2] = [Encryption::Nip04, Encryption::Nip44];

fn customer() -> Keys {
    Keys::from_secret(&[1; 32]).unwrap()
}

fn provider() -> Keys {
    Keys::from_secret(&[2; 32]).unwrap()
}

/// The customer's secret key and the provider's public one, as the `nostr` crate has them.
fn theirs() -> (SecretKey, NostrPublicKey) {
    let secret = SecretKey::from_slice(&[1; 32]).unwrap();
    (secret, NostrPublicKey::from_slice(provider().public_key().as_bytes()).unwrap())
}

fn encrypt_theirs(text: &str, encryption: Encryption) -> String {
    let (secret, public) = theirs();
    match encryption {
        Encryption::Nip04 => nip04::encrypt(&secret, &public, text).unwrap(),
        Encryption::Nip44 => nip44::encrypt(&secret, &public, text, nip44::Version::V2).unwrap(),
    }
}

fn decrypt_theirs(payload: &str, encryption: Encryption) -> String {
    let (secret, public) = theirs();
    match encryption {
        Encryption::Nip04 => nip04::decrypt(&secret, &public, payload).unwrap(),
        Encryption::Nip44 => nip44::decrypt(&secret, &public, payload).unwrap(),
    }
}

fn encrypted(text: &str, encryption: Encryption) -> String {
    customer().encrypt(&provider().public_key(), text, encryption).unwrap()
}

fn decrypted(payload: &str) -> Result<(String, Encryption), DecryptError> {
    provider().decrypt(&customer().public_key(), payload)
}

#[test]
fn a_text_encrypts_differently_every_time_and_both_sides_can_read_it() {
    for encryption in BOTH {
        let payload = encrypted("text", encryption);
        assert_ne!(payload, encrypted("text", encryption));
        assert!(!payload.contains("text"));
        let expected = ("text".to_owned(), encryption);
        assert_eq!(decrypted(&payload).unwrap(), expected);
        assert_eq!(customer().decrypt(&provider().public_key(), &payload).unwrap(), expected);
    }
}

#[test]
fn agrees_with_the_nostr_crate_on_long_texts() {
    for encryption in BOTH {
        for length in [1, 31, 32, 33, 65_535, 65_536, 200_000] {
            let text = "a".repeat(length);
            assert_eq!(decrypted(&encrypt_theirs(&text, encryption)).unwrap(), (text.clone(), encryption));
            let payload = provider().encrypt(&customer().public_key(), &text, encryption).unwrap();
            assert_eq!(decrypt_theirs(&payload, encryption), text);
        }
    }
}

#[test]
fn a_third_key_reads_nothing() {
    let third = Keys::from_secret(&[3; 32]).unwrap();
    for (encryption, expected) in BOTH.into_iter().zip([DecryptError::Ciphertext, DecryptError::Mac]) {
        let payload = fixed(encryption);
        assert_eq!(third.decrypt(&customer().public_key(), &payload), Err(expected.clone()));
        assert_eq!(provider().decrypt(&third.public_key(), &payload), Err(expected));
    }
}

/// Always the same payload: with NIP-04, one in 256 wrong keys happens to produce valid padding.
fn fixed(encryption: Encryption) -> String {
    let shared = customer().shared_secret(&provider().public_key()).unwrap();
    match encryption {
        Encryption::Nip04 => super::nip04::encrypt(&shared, &[4; 16], "private parameters"),
        Encryption::Nip44 => {
            super::nip44::ConversationKey::of(&shared).encrypt(&[4; 32], "private parameters").unwrap()
        }
    }
}

#[test]
fn nip04_carries_the_empty_text() {
    assert_eq!(decrypted(&encrypted("", Encryption::Nip04)).unwrap().0, "");
    assert_eq!(decrypt_theirs(&encrypted("", Encryption::Nip04), Encryption::Nip04), "");
}

#[test]
fn rejects_malformed_nip04_and_says_why() {
    let payload = fixed(Encryption::Nip04);
    let (ciphertext, vector) = payload.split_once("?iv=").unwrap();
    for (payload, expected) in [
        (format!("{ciphertext}?iv="), DecryptError::InitializationVector),
        (format!("{ciphertext}?iv=AAAA"), DecryptError::InitializationVector),
        (format!("{ciphertext}?iv={vector}{vector}"), DecryptError::InitializationVector),
        (format!("{ciphertext}?iv={vector}?iv={vector}"), DecryptError::InitializationVector),
        (format!("!{ciphertext}?iv={vector}"), DecryptError::Base64),
        (format!("AAAA?iv={vector}"), DecryptError::Ciphertext),
        (format!("?iv={vector}"), DecryptError::Ciphertext),
    ] {
        assert_eq!(decrypted(&payload), Err(expected), "{payload}");
    }
}

#[test]
fn nip04_rejects_bytes_that_are_no_text() {
    let payload = fixed(Encryption::Nip04);
    let (ciphertext, _) = payload.split_once("?iv=").unwrap();
    // Another initialization vector changes only the first block: the padding is right, but the result is not text.
    let changed = format!("{ciphertext}?iv=////////////////////+w==");
    assert_eq!(decrypted(&changed), Err(DecryptError::Ciphertext));
}

proptest! {
    #[test]
    fn agrees_with_the_nostr_crate_on_any_text(text in ".{1,200}") {
        for encryption in BOTH {
            prop_assert_eq!(decrypted(&encrypt_theirs(&text, encryption)), Ok((text.clone(), encryption)));
            prop_assert_eq!(&decrypt_theirs(&encrypted(&text, encryption), encryption), &text);
        }
    }

    #[test]
    fn no_payload_makes_it_panic(
        text in any::<String>(),
        base64 in "[A-Za-z0-9+/]{0,300}={0,2}",
        vector in "[A-Za-z0-9+/]{21}[AQgw]==",
    ) {
        prop_assert!(decrypted(&text).is_err());
        prop_assert!(decrypted(&base64).is_err());
        let _ = decrypted(&format!("{base64}?iv={vector}"));
        let _ = decrypted(&format!("{base64}?iv={text}"));
    }

    #[test]
    fn no_changed_payload_is_read_as_it_was(position in any::<prop::sample::Index>(), character in any::<char>()) {
        for encryption in BOTH {
            let payload = fixed(encryption);
            let mut changed: Vec<char> = payload.chars().collect();
            let index = position.index(changed.len());
            prop_assume!(changed[index] != character);
            changed[index] = character;
            let changed: String = changed.into_iter().collect();
            match encryption {
                Encryption::Nip44 => prop_assert!(decrypted(&changed).is_err()),
                // Without authentication, it may decrypt to another text.
                Encryption::Nip04 => prop_assert_ne!(
                    decrypted(&changed).ok(), Some(("private parameters".to_owned(), encryption))
                ),
            }
            let _ = decrypted(payload.get(..index).unwrap());
        }
    }
}
