//! HTTP authentication by a signed event in the `Authorization` header (NIP-98).

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::nostr::bytes::PublicKey;
use crate::nostr::event::{Event, UnsignedEvent, VerifiedEvent, VerifyError};
use crate::nostr::keys::Keys;
use crate::nostr::kind::Kind;
use crate::time::Timestamp;

/// The kind of an event that authorizes an HTTP request.
pub const HTTP_AUTH: Kind = Kind(27_235);

/// How many seconds an event's `created_at` may differ from the time of the request.
pub const TIME_WINDOW: u64 = 60;

/// Why a header does not authorize a request. All of these are a `401 Unauthorized`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpAuthError {
    /// The header does not have the form of NIP-98.
    #[error("expected `Authorization: Nostr <event in base64>`")]
    Scheme,
    /// What follows `Nostr` is not base64.
    #[error("the event is not base64 (RFC 4648)")]
    Base64,
    /// What the base64 contains is not an event.
    #[error("what the base64 contains is not an event: {0}")]
    Event(String),
    /// The event has another kind.
    #[error("expected an event of kind {HTTP_AUTH}, found kind {found}")]
    Kind {
        /// The event's kind.
        found: Kind,
    },
    /// The event is for another time.
    #[error("created_at must be within {TIME_WINDOW} seconds of {now}, found {found}")]
    Time {
        /// When the request was made, in seconds since the Unix epoch.
        now: u64,
        /// The event's `created_at`.
        found: u64,
    },
    /// The event is for another URL.
    #[error("the event must have one `u` tag with exactly `{expected}`")]
    Url {
        /// The request's URL.
        expected: String,
    },
    /// The event is for another method.
    #[error("the event must have one `method` tag with `{expected}`")]
    Method {
        /// The request's method.
        expected: String,
    },
    /// The event is for another body.
    #[error("the `payload` tag must be the SHA-256 of the body, which is {expected}")]
    Payload {
        /// The SHA-256 of the request's body in hex.
        expected: String,
    },
    /// The event's id or signature is invalid.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The public key that authorized a request: `header` is the value of `Authorization`, `url` the absolute URL with its
/// query, and `body` the data that a `payload` tag must be the hash of.
///
/// The method is compared ignoring case, because some clients sign `get`. A `payload` tag is not required, as in
/// NIP-98. Within [`TIME_WINDOW`] the same header can authorize the same request again: for requests that change
/// something, use [`authorize_body`] and accept each event only once.
///
/// ```
/// use openagents_host::nostr::http_auth::{authorization, authorize};
/// use openagents_host::{Keys, Timestamp};
///
/// let (keys, now) = (Keys::generate().unwrap(), Timestamp::from_seconds(1_700_000_000));
/// let header = authorization(&keys, "https://a.example/blob", "GET", now);
/// assert_eq!(authorize(&header, "https://a.example/blob", "GET", now, None), Ok(keys.public_key()));
/// assert!(authorize(&header, "https://a.example/blob", "DELETE", now, None).is_err());
/// ```
///
/// # Errors
/// How the event differs from the request.
pub fn authorize(
    header: &str,
    url: &str,
    method: &str,
    now: Timestamp,
    body: Option<&[u8]>,
) -> Result<PublicKey, HttpAuthError> {
    let event = signed_event(header)?;
    check(&event, url, &|found| found == url, method, now)?;
    if let Some(body) = body {
        check_payload(&event, body)?;
    }
    Ok(event.verify()?.pubkey)
}

/// Authorizes a request without a body, like [`authorize`], but `is_url` decides which URLs are accepted (`url` is one
/// of them, for the error).
///
/// # Errors
/// How the event differs from the request.
pub fn authorize_any(
    header: &str,
    url: &str,
    is_url: &dyn Fn(&str) -> bool,
    method: &str,
    now: Timestamp,
) -> Result<PublicKey, HttpAuthError> {
    let event = signed_event(header)?;
    check(&event, url, is_url, method, now)?;
    Ok(event.verify()?.pubkey)
}

/// Authorizes a request with a body, like [`authorize`], but `is_url` decides which URLs are accepted (`url` is one of
/// them, for the error), and the event must have a `payload` tag with the SHA-256 of the body, as NIP-86 requires. The
/// id of the returned event identifies it, so that it can be accepted only once.
///
/// # Errors
/// How the event differs from the request.
pub fn authorize_body(
    header: &str,
    url: &str,
    is_url: &dyn Fn(&str) -> bool,
    method: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<VerifiedEvent, HttpAuthError> {
    let event = signed_event(header)?;
    check(&event, url, is_url, method, now)?;
    check_payload(&event, body)?;
    if event.tags_named("payload").next().is_none() {
        return Err(HttpAuthError::Payload { expected: sha256(body) });
    }
    Ok(event.verify()?)
}

fn check(
    event: &Event,
    url: &str,
    is_url: &dyn Fn(&str) -> bool,
    method: &str,
    now: Timestamp,
) -> Result<(), HttpAuthError> {
    if event.kind != HTTP_AUTH {
        return Err(HttpAuthError::Kind { found: event.kind });
    }
    let now = now.as_seconds();
    if event.created_at.abs_diff(now) > TIME_WINDOW {
        return Err(HttpAuthError::Time { now, found: event.created_at });
    }
    if !event.only_tag_value("u").is_some_and(is_url) {
        return Err(HttpAuthError::Url { expected: url.to_owned() });
    }
    if event.only_tag_value("method").is_none_or(|found| !found.eq_ignore_ascii_case(method)) {
        return Err(HttpAuthError::Method { expected: method.to_owned() });
    }
    Ok(())
}

fn check_payload(event: &Event, body: &[u8]) -> Result<(), HttpAuthError> {
    let expected = sha256(body);
    let fits = |tag: &Vec<String>| tag.get(1).is_some_and(|found| found.eq_ignore_ascii_case(&expected));
    if event.tags_named("payload").all(fits) { Ok(()) } else { Err(HttpAuthError::Payload { expected }) }
}

fn sha256(body: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(body))
}

/// The `Authorization` header for a request without a body, signed by `keys`; the counterpart of [`authorize`].
#[must_use]
pub fn authorization(keys: &Keys, url: &str, method: &str, now: Timestamp) -> String {
    header(&request(url, method).sign(keys, now))
}

/// The `Authorization` header for a request with a body, signed by `keys`; the counterpart of [`authorize_body`].
#[must_use]
pub fn authorization_of_body(keys: &Keys, url: &str, method: &str, now: Timestamp, body: &[u8]) -> String {
    header(&request(url, method).tag(["payload", &sha256(body)]).sign(keys, now))
}

fn request(url: &str, method: &str) -> UnsignedEvent {
    UnsignedEvent::new(HTTP_AUTH, "").tag(["u", url]).tag(["method", method])
}

/// The `Authorization` header with a signed event (NIP-98, BUD-11), in standard base64, which every server reads.
#[must_use]
pub fn header(event: &VerifiedEvent) -> String {
    format!("Nostr {}", Base64::encode_string(event.json().as_bytes()))
}

/// The event in an `Authorization` header, in base64 of either alphabet (RFC 4648), padded or not: NIP-98 and BUD-11 differ
/// in what they demand, and clients differ from both. Nothing about the event is checked.
///
/// # Errors
/// When the header has another form.
pub fn signed_event(header: &str) -> Result<Event, HttpAuthError> {
    let (scheme, token) = header.trim().split_once(' ').ok_or(HttpAuthError::Scheme)?;
    // HTTP authentication schemes are case-insensitive (RFC 9110).
    if !scheme.eq_ignore_ascii_case("Nostr") {
        return Err(HttpAuthError::Scheme);
    }
    let token = token.trim().trim_end_matches('=').replace('-', "+").replace('_', "/");
    let json = Base64Unpadded::decode_vec(&token).map_err(|_| HttpAuthError::Base64)?;
    serde_json::from_slice(&json).map_err(|error| HttpAuthError::Event(error.to_string()))
}

#[cfg(test)]
mod tests;
