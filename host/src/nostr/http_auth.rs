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

/// How many seconds an event may be older or younger than the request it authorizes.
pub const TIME_WINDOW: u64 = 60;

/// Why a header does not authorize a request. Each is a `401 Unauthorized`.
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
    /// An event for another purpose.
    #[error("expected an event of kind {HTTP_AUTH}, found kind {found}")]
    Kind {
        /// The event's kind.
        found: Kind,
    },
    /// An event for another time.
    #[error("created_at must be within {TIME_WINDOW} seconds of {now}, found {found}")]
    Time {
        /// When the request was made, in seconds since the Unix epoch.
        now: u64,
        /// The event's `created_at`.
        found: u64,
    },
    /// An event for another address.
    #[error("the event must have one `u` tag with exactly `{expected}`")]
    Url {
        /// The request's URL.
        expected: String,
    },
    /// An event for another method.
    #[error("the event must have one `method` tag with `{expected}`")]
    Method {
        /// The request's method.
        expected: String,
    },
    /// An event for another body.
    #[error("the `payload` tag must be the SHA-256 of the body, which is {expected}")]
    Payload {
        /// The SHA-256 of the request's body in hex.
        expected: String,
    },
    /// An event that its author did not sign.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The public key of whoever sent a request: `header` is its `Authorization`, `url` its absolute URL with the query, and
/// `body` what a `payload` tag must be the hash of.
///
/// The method's case does not matter, since some clients sign `get`. A `payload` tag is not required: NIP-98 leaves it to
/// the client. Within [`TIME_WINDOW`] the same header authorizes the same request again: where a request changes
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
/// Says what in the event does not fit the request.
pub fn authorize(
    header: &str,
    url: &str,
    method: &str,
    now: Timestamp,
    body: Option<&[u8]>,
) -> Result<PublicKey, HttpAuthError> {
    let event = event(header)?;
    check(&event, url, |found| found == url, method, now)?;
    if let Some(body) = body {
        check_payload(&event, body)?;
    }
    Ok(event.verify()?.pubkey)
}

/// The event that authorizes a request with a body: as [`authorize`], but `is_url` says which URLs are right, `url` is one
/// of them, and the event must have the SHA-256 of the body in a `payload` tag, as NIP-86 demands. The event's id tells
/// whether it was used before.
///
/// # Errors
/// Says what in the event does not fit the request.
pub fn authorize_body(
    header: &str,
    url: &str,
    is_url: impl Fn(&str) -> bool,
    method: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<VerifiedEvent, HttpAuthError> {
    let event = event(header)?;
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
    is_url: impl Fn(&str) -> bool,
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
    if !only_value(event, "u").is_some_and(is_url) {
        return Err(HttpAuthError::Url { expected: url.to_owned() });
    }
    if only_value(event, "method").is_none_or(|found| !found.eq_ignore_ascii_case(method)) {
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

/// The `Authorization` header for a request without a body, signed by `keys`: what [`authorize`] reads.
#[must_use]
pub fn authorization(keys: &Keys, url: &str, method: &str, now: Timestamp) -> String {
    header(&request(url, method).sign(keys, now))
}

/// The `Authorization` header for a request with a body, signed by `keys`: what [`authorize_body`] reads.
#[must_use]
pub fn authorization_of_body(keys: &Keys, url: &str, method: &str, now: Timestamp, body: &[u8]) -> String {
    header(&request(url, method).tag(["payload", &sha256(body)]).sign(keys, now))
}

fn request(url: &str, method: &str) -> UnsignedEvent {
    UnsignedEvent::new(HTTP_AUTH, "").tag(["u", url]).tag(["method", method])
}

fn header(event: &VerifiedEvent) -> String {
    format!("Nostr {}", Base64::encode_string(event.json().as_bytes()))
}

fn event(header: &str) -> Result<Event, HttpAuthError> {
    let (scheme, token) = header.trim().split_once(' ').ok_or(HttpAuthError::Scheme)?;
    // HTTP's schemes have no case (RFC 9110).
    if !scheme.eq_ignore_ascii_case("Nostr") {
        return Err(HttpAuthError::Scheme);
    }
    // NIP-98's own example has no padding, most clients pad.
    let token = token.trim().trim_end_matches('=');
    let json = Base64Unpadded::decode_vec(token).map_err(|_| HttpAuthError::Base64)?;
    serde_json::from_slice(&json).map_err(|error| HttpAuthError::Event(error.to_string()))
}

/// The value of the only tag of this name. With two of them neither counts: another reader might take the other one.
fn only_value<'a>(event: &'a Event, name: &'a str) -> Option<&'a str> {
    let mut values = event.tag_values(name);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests;
