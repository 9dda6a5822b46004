//! Tests of authorizations (BUD-11), in every form that clients send.

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use openagents_host::nostr::UnsignedEvent;
use openagents_host::{BlobHash, Keys, Kind, Timestamp};

use super::{Authorization, AuthorizationError, Verb};
use crate::config::OwnHosts;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const HASH: BlobHash = BlobHash::from_bytes([0xab; 32]);

fn keys() -> Keys {
    Keys::from_secret(&[1; 32]).unwrap()
}

/// A token without `x` and `server` tags that is valid for another minute.
fn token(verb: &str) -> UnsignedEvent {
    UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, "Upload ü?>")
        .tag(["t", verb])
        .tag(["expiration", "1700000060"])
}

fn json(token: UnsignedEvent, created_at: u64) -> String {
    token.sign(&keys(), Timestamp::from_seconds(created_at)).json().to_string()
}

fn header(json: &str) -> String {
    format!("Nostr {}", Base64UrlUnpadded::encode_string(json.as_bytes()))
}

fn check(header: &str, verb: Verb) -> Result<Authorization, AuthorizationError> {
    let own = OwnHosts::new(["cdn.example.com".to_owned()]);
    Authorization::of(header, verb, &own, "cdn.example.com", NOW)
}

fn check_token(token: UnsignedEvent) -> Result<Authorization, AuthorizationError> {
    check(&header(&json(token, 1_699_999_990)), Verb::Upload)
}

#[test]
fn takes_both_alphabets_padded_or_not() {
    let json = json(token("upload").tag(["x", &HASH.to_hex()]), 1_699_999_990);
    let encode: [fn(&[u8]) -> String; 4] = [
        Base64::encode_string,
        Base64Unpadded::encode_string,
        Base64Url::encode_string,
        Base64UrlUnpadded::encode_string,
    ];
    for encode in encode {
        for scheme in ["Nostr", "nostr"] {
            let found = check(&format!("{scheme} {}", encode(json.as_bytes())), Verb::Upload).unwrap();
            assert_eq!(found.pubkey, keys().public_key());
            assert_eq!(found.only_hash(), Some(HASH));
        }
    }
}

#[test]
fn refuses_a_token_for_something_else() {
    let with =
        |name: &str, value: &str| UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, "").tag([name, value]);
    for (token, expected) in [
        (UnsignedEvent::new(Kind::HTTP_AUTH, ""), AuthorizationError::Kind { found: Kind::HTTP_AUTH }),
        (with("t", "upload"), AuthorizationError::NoExpiration),
        (with("expiration", "soon"), AuthorizationError::NoExpiration),
        (token("upload").tag(["expiration", "1900000000"]), AuthorizationError::NoExpiration),
        (
            with("t", "upload").tag(["expiration", "1700000000"]),
            AuthorizationError::Expired { expired: 1_700_000_000, now: 1_700_000_000 },
        ),
        (with("expiration", "1700000060"), AuthorizationError::Verb { expected: "upload" }),
        (token("delete"), AuthorizationError::Verb { expected: "upload" }),
        (token("upload").tag(["t", "delete"]), AuthorizationError::Verb { expected: "upload" }),
        (token("upload").tag(["server", "evil.example"]), AuthorizationError::Server),
    ] {
        assert_eq!(check_token(token.clone()), Err(expected), "{token:?}");
    }
    let own = token("upload").tag(["server", "evil.example"]).tag(["server", "https://cdn.example.com/"]);
    assert!(check_token(own).is_ok());
}

#[test]
fn clocks_may_differ_by_a_minute_and_old_tokens_hold_until_they_expire() {
    let at = |created_at| check(&header(&json(token("upload"), created_at)), Verb::Upload).is_ok();
    assert!(at(1_700_000_060) && at(1));
    assert!(!at(1_700_000_061));
}

#[test]
fn a_forged_token_is_refused() {
    let json = json(token("upload").tag(["x", &HASH.to_hex()]), 1_699_999_990);
    let forged = json.replace(&HASH.to_hex(), &"cd".repeat(32));
    assert!(matches!(check(&header(&forged), Verb::Upload), Err(AuthorizationError::Verify(_))));
    for wrong in ["Bearer abc", "Nostr", "Nostr !", "Nostr e30"] {
        assert!(matches!(check(wrong, Verb::Upload), Err(AuthorizationError::Header(_))), "{wrong}");
    }
    assert_eq!(check(" ", Verb::Upload), Err(AuthorizationError::Missing));
}

#[test]
fn a_token_is_for_the_blobs_that_it_names() {
    let other = BlobHash::from_bytes([0xcd; 32]);
    let both =
        check_token(token("upload").tag(["x", &HASH.to_hex()]).tag(["x", &other.to_hex()]).tag(["x", "ab"]));
    let both = both.unwrap();
    assert!(
        both.require(Some(HASH)).is_ok() && both.require(Some(other)).is_ok() && both.require(None).is_ok()
    );
    assert_eq!(both.only_hash(), None);
    let third = BlobHash::from_bytes([1; 32]);
    assert_eq!(both.require(Some(third)), Err(AuthorizationError::Hash { expected: Some(third) }));
    let none = check_token(token("upload")).unwrap();
    assert_eq!(none.require(None), Err(AuthorizationError::Hash { expected: None }));
    let twice = check_token(token("upload").tag(["x", &HASH.to_hex()]).tag(["x", &HASH.to_hex()])).unwrap();
    assert_eq!(twice.only_hash(), Some(HASH));
}
