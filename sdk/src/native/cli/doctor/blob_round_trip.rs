//! Whether the blob server works (Blossom): with a key that may upload, a blob is stored, read and deleted.

use openagents_host::http::{Bytes, Method};
use openagents_host::native::now;
use openagents_host::nostr::http_auth;
use openagents_host::{BlobHash, Keys, Kind, UnsignedEvent};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::finding::Finding;
use super::http_answer::HttpAnswer;

const CHECK: &str = "blobs";

/// The kind of events that authorize uploads and deletions (BUD-11).
const BLOSSOM_AUTH: Kind = Kind(24_242);

/// How long an authorization is valid, in seconds.
const VALID_SECONDS: u64 = 60;

pub(super) async fn check(base: &Url, uploader: Option<&Keys>) -> Finding {
    let content = format!("openagents doctor {} {}", std::process::id(), now().as_millis());
    let blob = TriedBlob::new(content.into());
    match HttpAnswer::get(base, &blob.path, "*/*").await {
        Ok(answer) if answer.status == 404 => {}
        Ok(answer) if answer.status == 503 => {
            return Finding::warn(CHECK, answer.refusal(), "ignore this if the deployment needs no blobs");
        }
        Ok(answer) => return failed("reading a blob that is not there", &answer),
        Err(error) => return Finding::fail(CHECK, error.to_string(), LOOK),
    }
    let Some(keys) = uploader else {
        return Finding::skip(CHECK, "the blob server answers; nothing was uploaded, for want of a key");
    };
    match round_trip(base, keys, &blob).await {
        Ok(finding) => finding,
        Err(error) => Finding::fail(CHECK, error.to_string(), LOOK),
    }
}

const LOOK: &str = "look into the deployment's log";

struct TriedBlob {
    bytes: Bytes,
    hash: String,
    path: String,
}

impl TriedBlob {
    fn new(bytes: Bytes) -> Self {
        let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into()).to_hex();
        Self { path: format!("/{hash}"), bytes, hash }
    }

    /// The header that authorizes one action for this blob at this server.
    fn authorization(&self, base: &Url, keys: &Keys, verb: &str) -> String {
        let now = now();
        let expiration = now.as_seconds().saturating_add(VALID_SECONDS).to_string();
        let event = UnsignedEvent::new(BLOSSOM_AUTH, "openagents doctor")
            .tag(["t", verb])
            .tag(["x", &self.hash])
            .tag(["server", base.host_str().unwrap_or_default()])
            .tag(["expiration", &expiration]);
        http_auth::header(&event.sign(keys, now))
    }
}

async fn round_trip(
    base: &Url,
    keys: &Keys,
    blob: &TriedBlob,
) -> Result<Finding, openagents_host::net::HttpError> {
    let authorization = blob.authorization(base, keys, "upload");
    let headers = [("authorization", authorization.as_str()), ("content-type", "text/plain")];
    let uploaded = HttpAnswer::send(base, Method::PUT, "/upload", &headers, blob.bytes.clone()).await?;
    match uploaded.status {
        200 | 201 => {}
        401 | 403 => {
            let advice = "use the agent's key, or that of an operator (ADMIN_PUBKEYS)";
            return Ok(Finding::warn(
                CHECK,
                format!("this key may not upload: {}", uploaded.refusal()),
                advice,
            ));
        }
        _ => return Ok(failed("an upload", &uploaded)),
    }
    let read = HttpAnswer::get(base, &blob.path, "*/*").await?;
    let authorization = blob.authorization(base, keys, "delete");
    let headers = [("authorization", authorization.as_str())];
    let deleted = HttpAnswer::send(base, Method::DELETE, &blob.path, &headers, Bytes::new()).await?;
    if read.status != 200 {
        return Ok(failed("reading what was uploaded", &read));
    }
    if read.body != blob.bytes {
        let advice = "a proxy in front must not change bodies (compression, minification)";
        return Ok(Finding::fail(CHECK, "what was read is not what was uploaded", advice));
    }
    if !matches!(deleted.status, 200..=299) {
        return Ok(failed("the deletion", &deleted));
    }
    Ok(url_of(&uploaded, base))
}

/// Whether the URL that the deployment gives a blob leads back to it.
fn url_of(uploaded: &HttpAnswer, base: &Url) -> Finding {
    let descriptor: Value = serde_json::from_slice(&uploaded.body).unwrap_or_default();
    let url = descriptor.get("url").and_then(Value::as_str).unwrap_or_default();
    match Url::parse(url) {
        Ok(url) if url.origin() == base.origin() => {
            Finding::ok(CHECK, "a blob was uploaded, read and deleted")
        }
        _ => Finding::warn(
            CHECK,
            format!("a blob was uploaded, read and deleted, but its URL is `{url}`"),
            "set RELAY_URL to the address of this deployment: blobs get their URLs from it",
        ),
    }
}

fn failed(what: &str, answer: &HttpAnswer) -> Finding {
    Finding::fail(CHECK, format!("{what} got {}", answer.refusal()), LOOK)
}

#[cfg(test)]
mod tests {
    use super::url_of;
    use crate::native::cli::doctor::finding::Verdict;
    use crate::native::cli::doctor::http_answer::HttpAnswer;

    #[test]
    fn a_blob_has_a_url_of_this_deployment() {
        let base = "https://a.example/".parse().unwrap();
        for (descriptor, expected) in [
            (r#"{"url": "https://a.example/ab.txt"}"#, Verdict::Ok),
            (r#"{"url": "http://127.0.0.1:8787/ab.txt"}"#, Verdict::Warn),
            ("not JSON", Verdict::Warn),
        ] {
            let uploaded = HttpAnswer { status: 201, body: descriptor.into(), ..HttpAnswer::default() };
            assert_eq!(url_of(&uploaded, &base).verdict, expected, "{descriptor}");
        }
    }
}
