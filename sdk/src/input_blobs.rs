//! The blobs that `url` inputs name: what customers may upload for their jobs, and whether a blob can be had, on the agent's
//! own blob server or at its URL.

use std::time::Duration;

use futures_util::future::join_all;
use openagents_blossom::{BlobUri, ExpectedUploadLimits};
use openagents_host::BlobHash;
use openagents_host::http::Method;
use openagents_host::net::{HttpLimits, HttpRequest};

use crate::engine::WantedBlob;
use crate::host_port::HandlerHost;
use crate::log;

/// The size of the largest blob that a customer may upload, in bytes.
pub(crate) const MAX_BLOB_BYTES: usize = 25 * 1024 * 1024;

/// What customers may upload for their jobs. Blobs stay for long enough that a job in a queue still finds them.
pub(crate) const CUSTOMER_LIMITS: ExpectedUploadLimits = ExpectedUploadLimits {
    max_bytes: MAX_BLOB_BYTES as u64,
    quota: 10 * MAX_BLOB_BYTES as u64,
    total: 2 * 1024 * 1024 * 1024,
    kept_for: Duration::from_secs(6 * 3_600),
};

/// How long a server may take to say whether it has a blob.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The most servers that are tried for one `blossom:` URI.
const MAX_SERVERS: usize = 4;

/// Which of these blobs can be had.
pub(crate) async fn available(host: &dyn HandlerHost, wanted: &[WantedBlob]) -> Vec<BlobHash> {
    let found = wanted.iter().map(async |blob| is_available(host, blob).await.then_some(blob.hash));
    join_all(found).await.into_iter().flatten().collect()
}

async fn is_available(host: &dyn HandlerHost, blob: &WantedBlob) -> bool {
    match host.find_blob(&blob.hash).await {
        Ok(Some(_)) => return true,
        Ok(None) => {}
        Err(error) => log::warn(format_args!("cannot look for the blob {}: {error}", blob.hash)),
    }
    if blob.tries_url {
        for url in urls(&blob.url) {
            let limits = HttpLimits { timeout: HEAD_TIMEOUT, ..HttpLimits::default() };
            let request = HttpRequest::new(Method::HEAD, url).limits(limits);
            if host.send_http(request).await.is_ok_and(|response| response.is_success()) {
                return true;
            }
        }
    }
    false
}

/// Where the bytes of a `url` input may be found: the URL itself, or those that a `blossom:` URI leads to (BUD-10).
pub(crate) fn urls(input: &str) -> Vec<String> {
    match input.parse::<BlobUri>() {
        Ok(uri) => uri.urls().into_iter().take(MAX_SERVERS).map(String::from).collect(),
        Err(_) => vec![input.to_owned()],
    }
}
