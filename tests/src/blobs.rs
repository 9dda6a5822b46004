//! A client of a blob server (Blossom), written for tests: it signs what it is told to.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use nostr_sdk::nostr::Keys;
use nostr_sdk::nostr::hashes::Hash as _;
use nostr_sdk::nostr::hashes::sha256::Hash;

use crate::events::{as_json, event_at, now};
use crate::http::{Response, request, request_with_body};

/// The SHA-256 of a blob, in hex.
pub fn sha256(blob: &[u8]) -> String {
    Hash::hash(blob).to_string()
}

/// The `Authorization` header for an action (BUD-11), which names these blobs and is valid for a minute.
pub fn authorization(author: &Keys, verb: &str, hashes: &[&str]) -> String {
    let end = (now() + 60).to_string();
    let mut tags = vec![vec!["t", verb], vec!["expiration", &end]];
    tags.extend(hashes.iter().map(|hash| vec!["x", hash]));
    token(author, now(), &tags.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The `Authorization` header with an event of kind 24242 with these tags.
pub fn token(author: &Keys, created_at: u64, tags: &[&[&str]]) -> String {
    let event = event_at(author, created_at, 24_242, tags, "A test");
    format!("Nostr {}", Base64UrlUnpadded::encode_string(as_json(&event).to_string().as_bytes()))
}

/// Uploads a blob of this type.
pub async fn upload(address: &str, author: &Keys, blob: &[u8], media_type: &str) -> Response {
    let hash = sha256(blob);
    let signed = authorization(author, "upload", &[&hash]);
    let headers = [("authorization", signed.as_str()), ("content-type", media_type)];
    request_with_body(address, "PUT", "/upload", &headers, blob).await.expect("an answer to an upload")
}

/// Reads `path` with these headers.
pub async fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    request(address, "GET", path, headers).await.expect("an answer")
}

/// Deletes a blob.
pub async fn delete(address: &str, author: &Keys, hash: &str) -> Response {
    let signed = authorization(author, "delete", &[hash]);
    request(address, "DELETE", &format!("/{hash}"), &[("authorization", &signed)]).await.expect("an answer")
}
