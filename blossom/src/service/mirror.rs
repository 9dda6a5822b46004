//! `PUT /mirror` (BUD-04): fetches a blob from another server.

use openagents_host::BlobHash;
use openagents_host::http::{Parts, Response};
use openagents_host::net::public_url;
use serde::Deserialize;
use url::Url;

use super::host::BlobHost;
use super::{claim_existing, stored};
use crate::authorization::{Authorization, Verb};
use crate::config::BlossomConfig;
use crate::media_type::MediaType;
use crate::refusal::Refusal;
use crate::upload::{
    HashSource, UploadRequest, authorize, check_owner, check_size, check_type, request_host,
};

/// The longest body of a request, in bytes.
const MAX_BODY: usize = 8 * 1024;

#[derive(Deserialize)]
struct MirrorRequest {
    url: String,
}

pub(super) async fn mirror<H: BlobHost>(
    host: &H,
    parts: &Parts,
    body: H::Upload,
) -> Result<Response, Refusal> {
    let config = host.config();
    let authorization = authorize(parts, Verb::Upload, config, host.now())?;
    authorization.require(None)?;
    check_owner(&authorization.pubkey, config)?;
    let body = host.text(body, MAX_BODY).await?;
    let requested: MirrorRequest = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("expected {{\"url\": \"https://…\"}}: {error}")))?;
    let url = public_url(&requested.url, &["https", "http"], config.reach)
        .map_err(|error| Refusal::bad_request(format!("this URL cannot be mirrored: {error}")))?;
    if is_own(&url, config, request_host(parts)) {
        return Err(Refusal::bad_request(
            "this URL is of this server: a blob that is here need not be mirrored",
        ));
    }
    let mut request = UploadRequest {
        hash: expected_hash(&authorization, &url),
        source: HashSource::Mirror,
        authorization,
        size: None,
        media_type: MediaType::unknown(),
        expected: None,
    };
    if let Some(hash) = request.hash
        && let Some(answer) = claim_existing(host, request.upload(hash, 0, config, host.now())).await?
    {
        return stored(config, parts, answer);
    }
    let fetched = host.fetch(&url, config.max_blob_bytes).await?;
    if let Some(size) = fetched.size {
        check_size(size, config)?;
    }
    request.size = fetched.size;
    request.media_type =
        fetched.media_type.or_else(|| type_of_extension(&url)).unwrap_or_else(MediaType::unknown);
    check_type(&request.media_type, config)?;
    let answer = host.store(&request, fetched.body).await?;
    stored(config, parts, answer)
}

/// Whether a URL leads to this server.
fn is_own(url: &Url, config: &BlossomConfig, request_host: &str) -> bool {
    let own = Url::parse(&format!("{}://{request_host}", url.scheme()));
    let own = [own.ok(), config.public_url.clone()];
    own.into_iter().flatten().any(|own| own.origin() == url.origin())
}

/// The hash that the blob must have: the only one that the authorization names, or the one of those that the URL ends with.
fn expected_hash(authorization: &Authorization, url: &Url) -> Option<BlobHash> {
    authorization.only_hash().or_else(|| {
        let (name, _) = last_segment(url).split_once('.').unwrap_or((last_segment(url), ""));
        BlobHash::from_hex(name).ok().filter(|hash| authorization.names(hash))
    })
}

fn type_of_extension(url: &Url) -> Option<MediaType> {
    last_segment(url).rsplit_once('.').and_then(|(_, extension)| MediaType::of_extension(extension))
}

fn last_segment(url: &Url) -> &str {
    url.path().rsplit('/').next().unwrap_or_default()
}
