//! `BlobClient`: uploads blobs to a server and downloads them (BUD-01, BUD-02), authorized by the client's key (BUD-11).

use std::time::Duration;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use openagents_host::http::{Bytes, Method};
use openagents_host::net::{HttpError, HttpLimits, HttpRequest, Reach, send};
use openagents_host::nostr::UnsignedEvent;
use openagents_host::{BlobHash, Keys, Kind, Timestamp};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::authorization::Verb;
use crate::descriptor::BlobDescriptor;
use crate::media_type::MediaType;

/// How long an authorization is valid.
const AUTHORIZATION_TIME: Duration = Duration::from_secs(300);

/// The longest descriptor that is read, in bytes.
const MAX_DESCRIPTOR_BYTES: usize = 64 * 1024;

/// A client of one blob server.
///
/// ```no_run
/// # async fn example(keys: openagents_host::Keys, now: openagents_host::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
/// use openagents_blossom::BlobClient;
///
/// let client = BlobClient::new("https://cdn.example.com", keys)?;
/// let blob = client.upload("hello", "text/plain".parse()?, now).await?;
/// assert_eq!(client.download(&blob.sha256, 1_000).await?, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BlobClient {
    server: Url,
    keys: Keys,
    timeout: Duration,
}

/// Why a blob could not be uploaded or downloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobClientError {
    /// The address of the server is not a URL of HTTP.
    #[error("`{0}` is not the address of a blob server: expected a URL such as https://cdn.example.com")]
    Server(String),
    /// The server cannot be reached, or breaks off.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server refuses.
    #[error("the blob server answered with status {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused {
        /// The status of its response.
        status: u16,
        /// The reason that it gives in `X-Reason`; empty if there is none.
        reason: String,
    },
    /// The server describes another blob, or sends one.
    #[error("the blob server has sent another blob than {expected}")]
    OtherBlob {
        /// The SHA-256 of the blob that was expected.
        expected: BlobHash,
    },
    /// The server's answer to an upload is not a descriptor.
    #[error("the blob server did not describe the uploaded blob (BUD-02): {0}")]
    Descriptor(String),
}

impl BlobClient {
    /// A client of the server at this URL, of which only the origin counts. It may have any address, also a private one.
    ///
    /// # Errors
    /// When it is not a URL of HTTP.
    pub fn new(server: &str, keys: Keys) -> Result<Self, BlobClientError> {
        let no_server = || BlobClientError::Server(server.to_owned());
        let url = Url::parse(server).map_err(|_| no_server())?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(no_server());
        }
        let server = url.join("/").map_err(|_| no_server())?;
        Ok(Self { server, keys, timeout: Duration::from_secs(120) })
    }

    /// The same client at another server.
    ///
    /// # Errors
    /// When it is not a URL of HTTP.
    pub fn at(&self, server: &str) -> Result<Self, BlobClientError> {
        Ok(Self::new(server, self.keys.clone())?.timeout(self.timeout))
    }

    /// Sets how long a request may take: two minutes by default.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The URL of a blob of this type.
    #[must_use]
    pub fn url_of(&self, hash: &BlobHash, media_type: &MediaType) -> String {
        format!("{}{hash}.{}", self.server, media_type.extension())
    }

    /// Uploads a blob, or becomes an owner of one that is there. The authorization is in the usual base64, and in its URL-safe
    /// variant, which BUD-11 demands, if the server does not understand that: many do not understand the latter.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn upload(
        &self,
        bytes: impl Into<Bytes>,
        media_type: MediaType,
        now: Timestamp,
    ) -> Result<BlobDescriptor, BlobClientError> {
        let bytes: Bytes = bytes.into();
        let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
        let token = self.authorization(Verb::Upload, &hash, now);
        let mut refusal = None;
        for token in
            [Base64::encode_string(token.as_bytes()), Base64UrlUnpadded::encode_string(token.as_bytes())]
        {
            let request = self
                .request(Method::PUT, "upload", MAX_DESCRIPTOR_BYTES)
                .header("authorization", format!("Nostr {token}"))
                .header("content-type", media_type.as_str())
                .header("x-sha-256", hash.to_hex());
            let response = send(HttpRequest { body: bytes.clone().into(), ..request }).await?;
            if response.is_success() {
                let described = response.json::<BlobDescriptor>().await;
                let descriptor = described.map_err(|error| BlobClientError::Descriptor(error.to_string()))?;
                return match descriptor.sha256 == hash {
                    true => Ok(descriptor),
                    false => Err(BlobClientError::OtherBlob { expected: hash }),
                };
            }
            let status = response.status();
            let reason = response.header("x-reason").unwrap_or_default().to_owned();
            refusal = Some(BlobClientError::Refused { status, reason });
            if status != 401 {
                break;
            }
        }
        Err(refusal.unwrap_or(BlobClientError::Refused { status: 401, reason: String::new() }))
    }

    /// The bytes of a blob, of which there may be `max_bytes`. They have this hash.
    ///
    /// # Errors
    /// When the server does not have it, sends another or cannot be reached.
    pub async fn download(&self, hash: &BlobHash, max_bytes: usize) -> Result<Bytes, BlobClientError> {
        let response = send(self.request(Method::GET, &hash.to_hex(), max_bytes)).await?;
        if !response.is_success() {
            let reason = response.header("x-reason").unwrap_or_default().to_owned();
            return Err(BlobClientError::Refused { status: response.status(), reason });
        }
        let bytes = response.bytes().await?;
        match BlobHash::from_bytes(Sha256::digest(&bytes).into()) == *hash {
            true => Ok(bytes),
            false => Err(BlobClientError::OtherBlob { expected: *hash }),
        }
    }

    fn request(&self, method: Method, path: &str, max_bytes: usize) -> HttpRequest {
        let limits =
            HttpLimits { reach: Reach::Anywhere, max_bytes, timeout: self.timeout, ..HttpLimits::default() };
        HttpRequest::new(method, format!("{}{path}", self.server)).limits(limits)
    }

    /// The signed event that allows this, for this server alone.
    fn authorization(&self, verb: Verb, hash: &BlobHash, now: Timestamp) -> String {
        let end = (now + AUTHORIZATION_TIME).as_seconds().to_string();
        let token = UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, format!("{} {hash}", verb.as_str()))
            .tag(["t", verb.as_str()])
            .tag(["x", &hash.to_hex()])
            .tag(["expiration", &end])
            .tag(["server", self.server.host_str().unwrap_or_default()]);
        token.sign(&self.keys, now).json().to_string()
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{BlobHash, Keys, Timestamp};

    use super::{BlobClient, BlobClientError, Verb};
    use crate::authorization::Authorization;
    use crate::config::OwnHosts;

    fn client(server: &str) -> Result<BlobClient, BlobClientError> {
        BlobClient::new(server, Keys::from_secret(&[1; 32]).unwrap())
    }

    #[test]
    fn knows_a_server_by_its_origin() {
        let hash = BlobHash::from_bytes([0xab; 32]);
        let url = client("https://a.example/some/path").unwrap().url_of(&hash, &"image/png".parse().unwrap());
        assert_eq!(url, format!("https://a.example/{}.png", "ab".repeat(32)));
        for wrong in ["a.example", "wss://a.example", ""] {
            assert_eq!(client(wrong).map(|_| ()), Err(BlobClientError::Server(wrong.to_owned())));
        }
    }

    #[test]
    fn an_authorization_is_for_one_blob_on_one_server() {
        use base64ct::{Base64, Encoding as _};
        let (hash, now) = (BlobHash::from_bytes([1; 32]), Timestamp::from_seconds(1_700_000_000));
        let token = client("http://127.0.0.1:8787").unwrap().authorization(Verb::Upload, &hash, now);
        let header = format!("Nostr {}", Base64::encode_string(token.as_bytes()));
        let on = |host: &str| Authorization::of(&header, Verb::Upload, &OwnHosts::default(), host, now);
        assert_eq!(on("127.0.0.1:8787").unwrap().only_hash(), Some(hash));
        assert!(on("a.example").is_err());
    }
}
