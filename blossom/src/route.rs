//! Which requests are for the blob server: the endpoints of BUD-01 to BUD-12 at the root of the domain.

use openagents_host::http::Method;
use openagents_host::{BlobHash, PublicKey};

/// An endpoint of the blob server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRoute {
    /// `GET`, `HEAD` or `DELETE /<sha256>[.ext]`. `None` if the path is meant as a hash, but is not one.
    Blob(Option<BlobHash>),
    /// `PUT` or `HEAD /upload`.
    Upload,
    /// `PUT /mirror`.
    Mirror,
    /// `PUT /report`.
    Report,
    /// `GET /list/<pubkey>`. `None` if the path does not end with a public key in hex.
    List(Option<PublicKey>),
}

impl BlobRoute {
    /// The endpoint of a path, if it is one.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        Some(match path {
            "upload" => Self::Upload,
            "mirror" => Self::Mirror,
            "report" => Self::Report,
            path => match path.strip_prefix("list/") {
                Some(key) => Self::List(PublicKey::from_hex(key).ok()),
                None => Self::Blob(blob(path)?),
            },
        })
    }

    /// The methods of this endpoint; `OPTIONS` is answered for every path.
    #[must_use]
    pub const fn methods(self) -> &'static [Method] {
        match self {
            Self::Blob(_) => &[Method::GET, Method::HEAD, Method::DELETE],
            Self::Upload => &[Method::PUT, Method::HEAD],
            Self::Mirror | Self::Report => &[Method::PUT],
            Self::List(_) => &[Method::GET, Method::HEAD],
        }
    }
}

/// The hash in a path with or without an extension; `Some(None)` for one that is malformed, `None` for any other path.
fn blob(path: &str) -> Option<Option<BlobHash>> {
    let (name, extension) = path.split_once('.').unwrap_or((path, ""));
    // Something that is as long as a hash, or nearly: telling what is wrong with it is more use than "not found".
    let is_meant_as_hash =
        (60..=68).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_extension =
        extension.len() <= 32 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let hash = BlobHash::from_hex(name).ok().filter(|_| is_extension);
    (is_meant_as_hash).then_some(hash)
}

#[cfg(test)]
mod tests {
    use openagents_host::{BlobHash, PublicKey};
    use proptest::prelude::*;

    use super::BlobRoute;

    #[test]
    fn finds_the_endpoints_of_the_specifications() {
        let hex = "ab".repeat(32);
        let (hash, key) = (BlobHash::from_bytes([0xab; 32]), PublicKey::from_bytes([0xab; 32]));
        for (path, expected) in [
            ("/upload", Some(BlobRoute::Upload)),
            ("/mirror", Some(BlobRoute::Mirror)),
            ("/report", Some(BlobRoute::Report)),
            (&format!("/{hex}"), Some(BlobRoute::Blob(Some(hash)))),
            (&format!("/{hex}.png"), Some(BlobRoute::Blob(Some(hash)))),
            (&format!("/{hex}.tar.gz"), Some(BlobRoute::Blob(Some(hash)))),
            (&format!("/list/{hex}"), Some(BlobRoute::List(Some(key)))),
            ("/list/npub1abc", Some(BlobRoute::List(None))),
            ("/", None),
            ("/health", None),
            ("/upload/", None),
            ("/index.html", None),
        ] {
            assert_eq!(BlobRoute::of(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_meant_as_a_hash_but_is_not_one_is_malformed_and_not_missing() {
        let hex = "ab".repeat(32);
        for path in [
            format!("/{}", hex.to_uppercase()),
            format!("/{hex}0"),
            format!("/{}", hex.strip_prefix('a').unwrap()),
            format!("/{}", "xy".repeat(32)),
            format!("/{hex}.p%6eg"),
            format!("/{hex}.{}", "a".repeat(33)),
        ] {
            assert_eq!(BlobRoute::of(&path), Some(BlobRoute::Blob(None)), "{path}");
        }
        assert_eq!(BlobRoute::of(&format!("/{hex}/../etc")), None);
    }

    proptest! {
        #[test]
        fn every_path_has_one_answer(path in "/?\\PC{0,80}") {
            let _ = BlobRoute::of(&path);
        }
    }
}
