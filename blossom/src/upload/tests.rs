//! Tests of what the head of an upload decides, and in which order.

use base64ct::{Base64UrlUnpadded, Encoding};
use openagents_host::http::{Body, Parts};
use openagents_host::nostr::UnsignedEvent;
use openagents_host::{Keys, Kind, Timestamp};

use super::{HashSource, UploadHead, UploadRequest};
use crate::config::{BlossomConfig, Uploaders};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn authorization(hashes: &[&str]) -> String {
    let token = UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, "").tag(["t", "upload"]);
    let token = hashes.iter().fold(token, |token, hash| token.tag(["x", hash]));
    let event = token.tag(["expiration", "1700000060"]).sign(&Keys::from_secret(&[1; 32]).unwrap(), NOW);
    format!("Nostr {}", Base64UrlUnpadded::encode_string(event.json().as_bytes()))
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri("/upload").header("host", "a.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::Empty).unwrap().into_parts().0
}

fn config(uploaders: Uploaders) -> BlossomConfig {
    BlossomConfig {
        max_blob_bytes: 1_000,
        allowed_types: "image/*".parse().unwrap(),
        ..BlossomConfig::new(uploaders)
    }
}

fn status(head: UploadHead, headers: &[(&str, &str)], config: &BlossomConfig) -> u16 {
    UploadRequest::of(head, &parts(headers), config, NOW)
        .and_then(|request| request.admitted(config, None))
        .map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
}

#[test]
fn form_and_size_come_first_then_the_signature_then_the_rules_for_its_owner() {
    let hash = "ab".repeat(32);
    let signed = authorization(&[&hash]);
    let nobody = config(Uploaders::Keys([].into()));
    let anyone = config(Uploaders::Anyone);
    for (prefix, head) in [("", UploadHead::Body), ("x-", UploadHead::Preflight)] {
        let (length, content_type) = (format!("{prefix}content-length"), format!("{prefix}content-type"));
        let (length, content_type) = (length.as_str(), content_type.as_str());
        let with = |config, headers: &[(&str, &str)]| status(head, headers, config);
        assert_eq!(with(&nobody, &[("x-sha-256", "AB"), (length, "1")]), 400);
        assert_eq!(with(&nobody, &[(content_type, "png"), (length, "1")]), 400);
        assert_eq!(with(&nobody, &[(length, "-1")]), 400);
        assert_eq!(with(&nobody, &[(length, "+1")]), 400);
        assert_eq!(with(&nobody, &[]), 411);
        assert_eq!(with(&nobody, &[(length, "1001")]), 413);
        assert_eq!(with(&nobody, &[(length, "99999999999999999999999")]), 413);
        assert_eq!(with(&nobody, &[(length, "1")]), 401);
        assert_eq!(with(&nobody, &[(length, "1"), ("authorization", &signed)]), 403);
        assert_eq!(with(&anyone, &[(length, "1"), ("authorization", &signed)]), 415);
        let image = [(length, "1"), (content_type, "image/png"), ("authorization", &signed)];
        assert_eq!(with(&anyone, &image), 200);
    }
}

#[test]
fn the_hash_is_that_of_the_header_or_the_only_one_of_the_token() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let anyone = BlossomConfig::new(Uploaders::Anyone);
    let request = |declared: Option<&str>, signed: &[&str]| {
        let signed = authorization(signed);
        let mut headers = vec![("content-length", "1"), ("authorization", signed.as_str())];
        headers.extend(declared.map(|hash| ("x-sha-256", hash)));
        UploadRequest::of(UploadHead::Body, &parts(&headers), &anyone, NOW)
    };
    let found = |declared, signed: &[&str]| {
        let request = request(declared, signed).unwrap();
        (request.hash.map(|hash| hash.to_hex()), request.source)
    };
    assert_eq!(found(None, &[&one]), (Some(one.clone()), HashSource::Authorization));
    assert_eq!(found(None, &[&one, &two]), (None, HashSource::Authorization));
    assert_eq!(found(Some(&two), &[&one, &two]), (Some(two.clone()), HashSource::Header));
    for (declared, signed) in [(Some(two.as_str()), &[one.as_str()][..]), (Some(&one), &[]), (None, &[])] {
        assert_eq!(request(declared, signed).unwrap_err().status.as_u16(), 401, "{declared:?} {signed:?}");
    }
}

#[test]
fn a_body_with_another_hash_is_a_conflict_or_not_authorized() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let anyone = BlossomConfig::new(Uploaders::Anyone);
    let other = openagents_host::BlobHash::from_bytes([1; 32]);
    let signed = authorization(&[&one, &two]);
    let base = [("content-length", "1"), ("authorization", signed.as_str())];
    let of = |headers: &[(&str, &str)]| {
        UploadRequest::of(UploadHead::Body, &parts(headers), &anyone, NOW).unwrap()
    };
    let token = of(&base);
    assert_eq!(token.wrong_hash(&other).status.as_u16(), 401);
    assert!(!token.is_for(&other) && token.is_for(&openagents_host::BlobHash::from_hex(&two).unwrap()));
    let declared = of(&[base[0], base[1], ("x-sha-256", one.as_str())]);
    assert_eq!(declared.wrong_hash(&other).status.as_u16(), 409);
    assert!(!declared.is_for(&openagents_host::BlobHash::from_hex(&two).unwrap()));
}
