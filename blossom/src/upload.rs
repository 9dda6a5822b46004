//! `PUT` and `HEAD /upload` (BUD-02, BUD-06): everything that the head of a request decides, before a byte of its body is
//! read.

use openagents_host::http::{HeaderMap, HeaderName, Parts, StatusCode, header, header_text};
use openagents_host::{BlobHash, PublicKey, Timestamp};

use crate::authorization::{Authorization, AuthorizationError, Verb};
use crate::config::BlossomConfig;
use crate::expected::ExpectedUploadLimits;
use crate::index::{ExpectedUpload, Upload};
use crate::media_type::MediaType;
use crate::refusal::Refusal;

pub(crate) const X_SHA_256: HeaderName = HeaderName::from_static("x-sha-256");
const X_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-content-length");
const X_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-content-type");

/// Where the head of a request tells what is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadHead {
    /// `PUT /upload`: the usual headers, about the body.
    Body,
    /// `HEAD /upload`: the headers of BUD-06, about a later request.
    Preflight,
}

/// An upload that may be attempted, once it is [admitted](Self::admitted): its owner may upload this type and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadRequest {
    pub(crate) authorization: Authorization,
    /// The hash that the bytes must have, if it is known in advance.
    pub(crate) hash: Option<BlobHash>,
    pub(crate) source: HashSource,
    /// The announced size in bytes, if there is one.
    pub(crate) size: Option<u64>,
    pub(crate) media_type: MediaType,
    /// The limits of an owner who may not upload otherwise.
    pub(crate) expected: Option<ExpectedUploadLimits>,
}

/// What a body with another hash than the expected one contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashSource {
    /// The header `X-SHA-256`.
    Header,
    /// The authorization alone.
    Authorization,
    /// The authorization of a request to mirror (BUD-04).
    Mirror,
}

impl UploadRequest {
    /// Checks the head of a request: 400, 411 and 413 first, then 401. Clients send their authorization when `HEAD /upload`
    /// answers 401, so that must come before what only concerns an owner.
    pub(crate) fn of(
        head: UploadHead,
        parts: &Parts,
        config: &BlossomConfig,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let (length, content_type) = match head {
            UploadHead::Body => (&header::CONTENT_LENGTH, &header::CONTENT_TYPE),
            UploadHead::Preflight => (&X_CONTENT_LENGTH, &X_CONTENT_TYPE),
        };
        let declared = declared_hash(&parts.headers)?;
        let media_type = MediaType::of_header(header_text(&parts.headers, content_type))
            .map_err(|error| Refusal::bad_request(format!("{content_type}: {error}")))?;
        let size = size(&parts.headers, length)?;
        check_size(size, config)?;
        let authorization = authorize(parts, Verb::Upload, config, now)?;
        let request = Self {
            hash: declared.or_else(|| authorization.only_hash()),
            source: if declared.is_some() { HashSource::Header } else { HashSource::Authorization },
            authorization,
            size: Some(size),
            media_type,
            expected: None,
        };
        request.authorization.require(request.hash)?;
        Ok(request)
    }

    /// Checks what concerns its owner, which is a 403, 413 or 415. `expected` are the limits if the deployment expects this
    /// blob of an owner who may not upload otherwise.
    pub(crate) fn admitted(
        self,
        config: &BlossomConfig,
        expected: Option<ExpectedUploadLimits>,
    ) -> Result<Self, Refusal> {
        match &expected {
            Some(limits) => check_size_within(self.size.unwrap_or(u64::MAX), limits.max_bytes)?,
            None => check_owner(&self.owner(), config)?,
        }
        check_type(&self.media_type, config)?;
        Ok(Self { expected, ..self })
    }

    pub(crate) fn owner(&self) -> PublicKey {
        self.authorization.pubkey
    }

    /// The refusal of a body with another hash than the one that is expected.
    pub(crate) fn wrong_hash(&self, found: &BlobHash) -> Refusal {
        let named = self
            .hash
            .map_or_else(|| "the authorization names others".to_owned(), |hash| format!("expected {hash}"));
        match self.source {
            // BUD-02: "The provided `X-SHA-256` does not match the request body."
            HashSource::Header | HashSource::Mirror => {
                Refusal::new(StatusCode::CONFLICT, format!("the blob has the SHA-256 {found}; {named}"))
            }
            HashSource::Authorization => AuthorizationError::Hash { expected: Some(*found) }.into(),
        }
    }

    /// The refusal of a body with another hash, which is not known.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn wrong_body(&self) -> Refusal {
        match self.source {
            HashSource::Header | HashSource::Mirror => {
                Refusal::new(StatusCode::CONFLICT, "the blob has another SHA-256 than announced")
            }
            HashSource::Authorization => AuthorizationError::Hash { expected: None }.into(),
        }
    }

    /// Whether a blob with this hash is what was announced.
    pub(crate) fn is_for(&self, found: &BlobHash) -> bool {
        self.hash.is_none_or(|expected| expected == *found) && self.authorization.names(found)
    }

    /// The upload of a blob with this hash and size.
    pub(crate) fn upload(&self, hash: BlobHash, size: u64, config: &BlossomConfig, now: Timestamp) -> Upload {
        let owner = self.owner();
        let quotas = [config.quota_of(&owner), self.expected.map(|limits| limits.quota)];
        let expected = self.expected.map(|limits| ExpectedUpload {
            keep_until: (now + limits.kept_for).as_seconds(),
            total: limits.total,
        });
        let quota = quotas.into_iter().flatten().min();
        Upload { hash, owner, size, media_type: self.media_type.clone(), quota, expected }
    }
}

/// Verifies the authorization of a request.
pub(crate) fn authorize(
    parts: &Parts,
    verb: Verb,
    config: &BlossomConfig,
    now: Timestamp,
) -> Result<Authorization, Refusal> {
    let authorization = header_text(&parts.headers, &header::AUTHORIZATION);
    Ok(Authorization::of(authorization, verb, &config.hosts, request_host(parts), now)?)
}

/// The host that the client has addressed, perhaps with a port.
pub(crate) fn request_host(parts: &Parts) -> &str {
    match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => header_text(&parts.headers, &header::HOST),
    }
}

/// Refuses owners who may not upload.
pub(crate) fn check_owner(owner: &PublicKey, config: &BlossomConfig) -> Result<(), Refusal> {
    if config.may_upload(owner) {
        return Ok(());
    }
    let reason = format!(
        "{owner} may not upload this here: customers may upload the blobs that `url` inputs of their unfinished jobs name, \
         and the operator names who may upload others in BLOSSOM_UPLOAD and BLOSSOM_ALLOWED_PUBKEYS"
    );
    Err(Refusal::new(StatusCode::FORBIDDEN, reason))
}

/// Refuses types that are not accepted.
pub(crate) fn check_type(media_type: &MediaType, config: &BlossomConfig) -> Result<(), Refusal> {
    if config.allowed_types.contain(media_type) {
        return Ok(());
    }
    let reason = format!("blobs of the type {} are not accepted here", media_type.essence());
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
}

/// Refuses blobs that are too large.
pub(crate) fn check_size(size: u64, config: &BlossomConfig) -> Result<(), Refusal> {
    check_size_within(size, config.max_blob_bytes)
}

fn check_size_within(size: u64, max_bytes: u64) -> Result<(), Refusal> {
    if size <= max_bytes {
        return Ok(());
    }
    let reason = format!("{size} bytes are too many: a blob may have {max_bytes}");
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
}

/// The header `X-SHA-256`, if there is one.
pub(crate) fn declared_hash(headers: &HeaderMap) -> Result<Option<BlobHash>, Refusal> {
    let Some(value) = headers.get(X_SHA_256) else { return Ok(None) };
    let hash = value.to_str().ok().and_then(|hex| BlobHash::from_hex(hex.trim()).ok());
    match hash {
        Some(hash) => Ok(Some(hash)),
        None => Err(Refusal::bad_request("X-SHA-256 must be 64 lowercase hex characters")),
    }
}

fn size(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Refusal> {
    if !headers.contains_key(name) {
        return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, format!("the header {name} is needed")));
    }
    let number = header_text(headers, name).trim();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<u64>() {
        Ok(size) if is_number => Ok(size),
        // Digits only, but beyond 2^64.
        Err(_) if is_number => Ok(u64::MAX),
        _ => Err(Refusal::bad_request(format!("{name} must be a number of bytes"))),
    }
}

#[cfg(test)]
mod tests;
