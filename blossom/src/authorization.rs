//! The signed event that authorizes a request (BUD-11, kind 24242).

use openagents_host::nostr::http_auth::{HttpAuthError, signed_event};
use openagents_host::nostr::{Event, VerifyError};
use openagents_host::{BlobHash, Kind, PublicKey, Timestamp};

use crate::config::OwnHosts;

/// How many seconds `created_at` may be ahead of the server's clock. BUD-11 demands the past, but clocks differ.
pub const MAX_CLOCK_SKEW: u64 = 60;

/// The action that a token allows: its `t` tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reading a blob.
    Get,
    /// Uploading or mirroring a blob.
    Upload,
    /// Listing somebody's blobs.
    List,
    /// Deleting a blob.
    Delete,
    /// Uploading a blob that the server optimises (BUD-05).
    Media,
}

impl Verb {
    /// The value of the `t` tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Upload => "upload",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Media => "media",
        }
    }
}

/// Why a header does not authorize a request. All of these are a `401 Unauthorized`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// There is no `Authorization` header.
    #[error(
        "this needs the header `Authorization: Nostr <base64>` with a signed event of kind 24242 (BUD-11)"
    )]
    Missing,
    /// The header has another form.
    #[error(transparent)]
    Header(#[from] HttpAuthError),
    /// The event has another kind.
    #[error("expected an event of kind 24242 (BUD-11), found kind {found}")]
    Kind {
        /// The event's kind.
        found: Kind,
    },
    /// The event is from the future.
    #[error("created_at is in the future: expected at most {now}, found {found}")]
    Future {
        /// The server's time, in seconds since the Unix epoch.
        now: u64,
        /// The event's `created_at`.
        found: u64,
    },
    /// There is no `expiration` tag with a time, or more than one.
    #[error("the event must have one `expiration` tag with a time in seconds")]
    NoExpiration,
    /// The event has expired.
    #[error("the event expired at {expired}, and it is {now}")]
    Expired {
        /// The time in the `expiration` tag, in seconds since the Unix epoch.
        expired: u64,
        /// The server's time.
        now: u64,
    },
    /// The event allows something else.
    #[error("the event must have one `t` tag with `{expected}`")]
    Verb {
        /// The value that the endpoint requires.
        expected: &'static str,
    },
    /// The event is for other servers.
    #[error("the `server` tags of the event do not name this server")]
    Server,
    /// The event is for other blobs, or names none where it must.
    #[error("the event must have an `x` tag with the SHA-256 of the blob{}", expected.map(|hash| format!(", {hash}")).unwrap_or_default())]
    Hash {
        /// The hash that the request implies, if it implies one.
        expected: Option<BlobHash>,
    },
    /// The event's id or signature is invalid.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// A verified authorization. It can be used again until it expires: with several `x` tags, it allows several uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Who signed it.
    pub pubkey: PublicKey,
    /// The blobs that it names.
    hashes: Vec<BlobHash>,
}

impl Authorization {
    /// Checks everything that does not depend on the blob. `request_host` is the host that the client has addressed.
    ///
    /// # Errors
    /// How the header differs from what BUD-11 demands.
    pub fn of(
        header: &str,
        verb: Verb,
        own: &OwnHosts,
        request_host: &str,
        now: Timestamp,
    ) -> Result<Self, AuthorizationError> {
        if header.trim().is_empty() {
            return Err(AuthorizationError::Missing);
        }
        let event = signed_event(header)?;
        check(&event, verb, own, request_host, now.as_seconds())?;
        let hashes = event.tag_values("x").filter_map(|hash| BlobHash::from_hex(hash).ok()).collect();
        Ok(Self { pubkey: event.verify()?.pubkey, hashes })
    }

    /// That of the deployment's own agent, which needs no token.
    pub(crate) fn of_own(pubkey: PublicKey, hash: BlobHash) -> Self {
        Self { pubkey, hashes: vec![hash] }
    }

    /// Whether it names this blob.
    #[must_use]
    pub fn names(&self, hash: &BlobHash) -> bool {
        self.hashes.contains(hash)
    }

    /// The hash of the only blob that it names.
    #[must_use]
    pub fn only_hash(&self) -> Option<BlobHash> {
        match self.hashes.as_slice() {
            [first, rest @ ..] if rest.iter().all(|hash| hash == first) => Some(*first),
            _ => None,
        }
    }

    /// Requires that it names a blob, and this one if it is known (BUD-11: "`x` tag requirement").
    ///
    /// # Errors
    /// When it does not.
    pub fn require(&self, hash: Option<BlobHash>) -> Result<(), AuthorizationError> {
        let is_named = match &hash {
            Some(hash) => self.names(hash),
            None => !self.hashes.is_empty(),
        };
        if is_named { Ok(()) } else { Err(AuthorizationError::Hash { expected: hash }) }
    }
}

fn check(
    event: &Event,
    verb: Verb,
    own: &OwnHosts,
    request_host: &str,
    now: u64,
) -> Result<(), AuthorizationError> {
    if event.kind != Kind::BLOSSOM_AUTHORIZATION {
        return Err(AuthorizationError::Kind { found: event.kind });
    }
    if event.created_at > now.saturating_add(MAX_CLOCK_SKEW) {
        return Err(AuthorizationError::Future { now, found: event.created_at });
    }
    let expiration = event.only_tag_value("expiration").and_then(|time| time.parse::<u64>().ok());
    let expired = expiration.ok_or(AuthorizationError::NoExpiration)?;
    if expired <= now {
        return Err(AuthorizationError::Expired { expired, now });
    }
    if event.only_tag_value("t") != Some(verb.as_str()) {
        return Err(AuthorizationError::Verb { expected: verb.as_str() });
    }
    let mut servers = event.tag_values("server").peekable();
    if servers.peek().is_some() && !servers.any(|server| own.is_named_by(server, request_host)) {
        return Err(AuthorizationError::Server);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
