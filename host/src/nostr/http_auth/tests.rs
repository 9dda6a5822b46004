//! Tests of HTTP authentication (NIP-98).

use base64ct::{Base64, Base64Unpadded, Encoding};
use nostr::nips::nip98::{HttpData, HttpMethod};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{HTTP_AUTH, HttpAuthError, authorization, authorization_of_body, authorize, authorize_body};
use crate::nostr::bytes::PublicKey;
use crate::nostr::event::{Event, UnsignedEvent, VerifiedEvent, VerifyError};
use crate::nostr::keys::Keys;
use crate::nostr::kind::Kind;
use crate::time::Timestamp;

const URL: &str = "https://agent.example/upload?name=a";
const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// The example in NIP-98. Its id is not the hash of its event.
const EXAMPLE: &str = "Nostr eyJpZCI6ImZlOTY0ZTc1ODkwMzM2MGYyOGQ4NDI0ZDA5MmRhODQ5NGVkMjA3Y2JhODIzMTEwYmUzYTU3ZGZlNGI1Nzg3MzQiLCJwdWJrZXkiOiI2M2ZlNjMxOGRjNTg1ODNjZmUxNjgxMGY4NmRkMDllMThiZmQ3NmFhYmMyNGEwMDgxY2UyODU2ZjMzMDUwNGVkIiwiY29udGVudCI6IiIsImtpbmQiOjI3MjM1LCJjcmVhdGVkX2F0IjoxNjgyMzI3ODUyLCJ0YWdzIjpbWyJ1IiwiaHR0cHM6Ly9hcGkuc25vcnQuc29jaWFsL2FwaS92MS9uNXNwL2xpc3QiXSxbIm1ldGhvZCIsIkdFVCJdXSwic2lnIjoiNWVkOWQ4ZWM5NThiYzg1NGY5OTdiZGMyNGFjMzM3ZDAwNWFmMzcyMzI0NzQ3ZWZlNGEwMGUyNGY0YzMwNDM3ZmY0ZGQ4MzA4Njg0YmVkNDY3ZDlkNmJlM2U1YTUxN2JiNDNiMTczMmNjN2QzMzk0OWEzYWFmODY3MDVjMjIxODQifQ";

fn keys() -> Keys {
    Keys::from_secret(&[1; 32]).unwrap()
}

fn request() -> UnsignedEvent {
    UnsignedEvent::new(HTTP_AUTH, "").tag(["u", URL]).tag(["method", "PUT"])
}

fn hash(body: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(body))
}

fn header(event: &VerifiedEvent) -> String {
    format!("Nostr {}", Base64::encode_string(event.json().as_bytes()))
}

fn answer(event: UnsignedEvent) -> Result<PublicKey, HttpAuthError> {
    authorize(&header(&event.sign(&keys(), NOW)), URL, "PUT", NOW, Some(b"body"))
}

#[test]
fn reads_the_example_of_the_specification_whose_id_is_wrong() {
    let now = Timestamp::from_seconds(1_682_327_852);
    let found = authorize(EXAMPLE, "https://api.snort.social/api/v1/n5sp/list", "GET", now, None);
    // The last of all checks: kind, time, URL and method have passed.
    assert!(matches!(found, Err(HttpAuthError::Verify(VerifyError::Id { .. }))), "{found:?}");
}

#[tokio::test]
async fn takes_what_the_nostr_crate_signs() {
    let theirs = nostr::prelude::Keys::generate();
    let data = HttpData::new(URL.parse().unwrap(), HttpMethod::PUT).payload(hash(b"body").parse().unwrap());
    let header = data.to_authorization(&theirs).await.unwrap();
    let now = Timestamp::from_seconds(nostr::prelude::Timestamp::now().as_secs());
    let key = authorize(&header, URL, "PUT", now, Some(b"body")).unwrap();
    assert_eq!(key.to_hex(), theirs.public_key().to_hex());
    assert!(authorize(&header, URL, "PUT", now, Some(b"another body")).is_err());
}

#[test]
fn takes_padded_and_unpadded_base64_and_any_case_of_scheme_and_method() {
    for content in ["", "a", "ab"] {
        let event =
            UnsignedEvent::new(HTTP_AUTH, content).tag(["u", URL]).tag(["method", "put"]).sign(&keys(), NOW);
        let json = event.json().as_bytes();
        for header in [
            format!("Nostr {}", Base64::encode_string(json)),
            format!("nostr  {} ", Base64Unpadded::encode_string(json)),
        ] {
            assert_eq!(authorize(&header, URL, "PUT", NOW, None), Ok(keys().public_key()));
        }
    }
}

#[test]
fn rejects_other_headers() {
    for header in ["", "Nostr", "Bearer bm9zdHI=", "bm9zdHI="] {
        assert_eq!(authorize(header, URL, "PUT", NOW, None), Err(HttpAuthError::Scheme), "{header}");
    }
    for header in ["Nostr ä", "Nostr {}", "Nostr a", "Nostr bm9 zdHI"] {
        assert_eq!(authorize(header, URL, "PUT", NOW, None), Err(HttpAuthError::Base64), "{header}");
    }
    for header in ["Nostr bm9zdHI=", "Nostr ", "Nostr gICAgA=="] {
        let found = authorize(header, URL, "PUT", NOW, None);
        assert!(matches!(found, Err(HttpAuthError::Event(_) | HttpAuthError::Scheme)), "{header}: {found:?}");
    }
}

#[test]
fn rejects_event_of_another_kind() {
    let event = UnsignedEvent::new(Kind(22_242), "").tag(["u", URL]).tag(["method", "PUT"]);
    assert_eq!(answer(event), Err(HttpAuthError::Kind { found: Kind(22_242) }));
}

#[test]
fn rejects_event_of_another_time() {
    let header = header(&request().sign(&keys(), NOW));
    for (seconds, ok) in [(-61, false), (-60, true), (0, true), (60, true), (61, false)] {
        let now = Timestamp::from_seconds(NOW.as_seconds().checked_add_signed(seconds).unwrap());
        assert_eq!(authorize(&header, URL, "PUT", now, None).is_ok(), ok, "{seconds}");
    }
}

#[test]
fn rejects_event_for_another_address() {
    let expected = Err(HttpAuthError::Url { expected: URL.to_owned() });
    let event = || UnsignedEvent::new(HTTP_AUTH, "").tag(["method", "PUT"]);
    for url in [
        "https://agent.example/upload",
        "https://agent.example/upload?name=a&b",
        "HTTPS://agent.example/upload?name=a",
        "",
    ] {
        assert_eq!(answer(event().tag(["u", url])), expected, "{url}");
    }
    assert_eq!(answer(event()), expected);
    assert_eq!(answer(event().tag(["u"])), expected);
    assert_eq!(answer(request().tag(["u", "https://other.example/"])), expected, "two addresses");
}

#[test]
fn rejects_event_for_another_method() {
    let expected = Err(HttpAuthError::Method { expected: "PUT".to_owned() });
    let event = || UnsignedEvent::new(HTTP_AUTH, "").tag(["u", URL]);
    assert_eq!(answer(event()), expected);
    assert_eq!(answer(event().tag(["method", "GET"])), expected);
    assert_eq!(answer(request().tag(["method", "DELETE"])), expected, "two methods");
}

#[test]
fn rejects_event_for_another_body() {
    assert!(answer(request()).is_ok(), "without a hash");
    assert!(answer(request().tag(["payload", &hash(b"body")])).is_ok());
    assert!(answer(request().tag(["payload", &hash(b"body").to_uppercase()])).is_ok());
    let expected = Err(HttpAuthError::Payload { expected: hash(b"body") });
    assert_eq!(answer(request().tag(["payload", &hash(b"other")])), expected);
    assert_eq!(answer(request().tag(["payload"])), expected);
    assert_eq!(answer(request().tag(["payload", &hash(b"body")]).tag(["payload", ""])), expected);
    let header = header(&request().tag(["payload", &hash(b"other")]).sign(&keys(), NOW));
    assert!(authorize(&header, URL, "PUT", NOW, None).is_ok(), "the body is not known");
}

#[test]
fn rejects_event_that_its_author_did_not_sign() {
    let mut event: Event = Event::from_json(request().sign(&keys(), NOW).json()).unwrap();
    event.pubkey = Keys::from_secret(&[2; 32]).unwrap().public_key();
    let json = serde_json::to_string(&event).unwrap();
    let found =
        authorize(&format!("Nostr {}", Base64::encode_string(json.as_bytes())), URL, "PUT", NOW, None);
    assert!(matches!(found, Err(HttpAuthError::Verify(VerifyError::Id { .. }))), "{found:?}");

    let mut event: Event = Event::from_json(request().sign(&keys(), NOW).json()).unwrap();
    event.sig = request().sign(&keys(), Timestamp::EPOCH).sig;
    let json = serde_json::to_string(&event).unwrap();
    let found =
        authorize(&format!("Nostr {}", Base64::encode_string(json.as_bytes())), URL, "PUT", NOW, None);
    assert_eq!(found, Err(HttpAuthError::Verify(VerifyError::Signature)));
}

#[test]
fn a_body_has_to_be_named_where_that_is_asked_for() {
    let of_body =
        |header: &str, body: &[u8]| authorize_body(header, URL, &|url| url == URL, "POST", NOW, body);
    let header = authorization_of_body(&keys(), URL, "POST", NOW, b"body");
    assert_eq!(of_body(&header, b"body").unwrap().pubkey, keys().public_key());
    assert_eq!(of_body(&header, b"other").unwrap_err(), HttpAuthError::Payload { expected: hash(b"other") });
    let unnamed = authorization(&keys(), URL, "POST", NOW);
    assert_eq!(of_body(&unnamed, b"body").unwrap_err(), HttpAuthError::Payload { expected: hash(b"body") });
    let elsewhere = authorization_of_body(&keys(), "https://other.example/", "POST", NOW, b"body");
    assert_eq!(of_body(&elsewhere, b"body").unwrap_err(), HttpAuthError::Url { expected: URL.to_owned() });
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = authorize(&text, URL, "PUT", NOW, None);
        let _ = authorize(&format!("Nostr {text}"), URL, "PUT", NOW, None);
        let _ = authorize(&format!("Nostr {}", Base64::encode_string(&bytes)), URL, "PUT", NOW, None);
    }
}
