//! `blossom:` URIs (BUD-10): a blob by its hash, with hints where it may be found.

use std::fmt;
use std::str::FromStr;

use openagents_host::{BlobHash, PublicKey};
use url::Url;

/// A URI such as `blossom:<sha256>.png?xs=cdn.example.com&as=<pubkey>&sz=184292`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobUri {
    /// The SHA-256 of the blob's bytes.
    pub hash: BlobHash,
    /// The file extension, without its dot.
    pub extension: String,
    /// Servers that may have it: domains or URLs (`xs`).
    pub servers: Vec<String>,
    /// Authors whose server lists (kind 10063) may name others (`as`).
    pub authors: Vec<PublicKey>,
    /// Its size in bytes (`sz`).
    pub size: Option<u64>,
}

/// Why text is not a `blossom:` URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobUriError {
    /// It has another scheme.
    #[error("expected a URI that begins with `blossom:`")]
    Scheme,
    /// The hash is not one.
    #[error("expected 64 lowercase hex characters after `blossom:`")]
    Hash,
    /// The extension is missing or has other characters than letters and digits.
    #[error("expected a file extension after the hash, such as `.png` or `.bin`")]
    Extension,
    /// The size is not a number of bytes.
    #[error("expected a number of bytes in `sz`")]
    Size,
    /// An author is not a public key in hex.
    #[error("expected a public key in hex in `as`")]
    Author,
}

impl FromStr for BlobUri {
    type Err = BlobUriError;

    fn from_str(text: &str) -> Result<Self, BlobUriError> {
        let url = Url::parse(text.trim()).map_err(|_| BlobUriError::Scheme)?;
        if url.scheme() != "blossom" {
            return Err(BlobUriError::Scheme);
        }
        let (hash, extension) = url.path().split_once('.').ok_or(BlobUriError::Extension)?;
        let hash = BlobHash::from_hex(hash).map_err(|_| BlobUriError::Hash)?;
        if extension.is_empty() || !extension.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        {
            return Err(BlobUriError::Extension);
        }
        let mut uri = Self {
            hash,
            extension: extension.to_owned(),
            servers: Vec::new(),
            authors: Vec::new(),
            size: None,
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "xs" => uri.servers.push(value.into_owned()),
                "as" => uri.authors.push(PublicKey::from_hex(&value).map_err(|_| BlobUriError::Author)?),
                "sz" => uri.size = Some(value.parse().map_err(|_| BlobUriError::Size)?),
                _ => {}
            }
        }
        Ok(uri)
    }
}

/// The blob that a URL or a `blossom:` URI names: a URL does if the last segment of its path is a SHA-256 in hex, with or
/// without a file extension (BUD-01, BUD-03). `None` if it names none.
#[must_use]
pub fn named_hash(url: &str) -> Option<BlobHash> {
    let url = Url::parse(url.trim()).ok()?;
    if !matches!(url.scheme(), "blossom" | "https" | "http") {
        return None;
    }
    let name = url.path().rsplit('/').next()?.split('.').next()?;
    BlobHash::from_hex(name).ok()
}

impl BlobUri {
    /// Where the blob may be found on the servers that the URI names, in its order. A domain stands for `https`.
    #[must_use]
    pub fn urls(&self) -> Vec<Url> {
        let urls = self.servers.iter().filter_map(|server| {
            let base = if server.contains("://") {
                Url::parse(server)
            } else {
                Url::parse(&format!("https://{server}"))
            };
            base.ok()?.join(&format!("/{}.{}", self.hash, self.extension)).ok()
        });
        urls.collect()
    }
}

impl fmt::Display for BlobUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for server in &self.servers {
            query.append_pair("xs", server);
        }
        for author in &self.authors {
            query.append_pair("as", &author.to_hex());
        }
        if let Some(size) = self.size {
            query.append_pair("sz", &size.to_string());
        }
        let query = query.finish();
        write!(f, "blossom:{}.{}", self.hash, self.extension)?;
        if query.is_empty() { Ok(()) } else { write!(f, "?{query}") }
    }
}

#[cfg(test)]
mod tests {
    use super::{BlobUri, BlobUriError, named_hash};

    const HASH: &str = "b1674191a88ec5cdd733e4240a81803105dc412d6c6708d53ab94fc248f4f553";

    #[test]
    fn reads_the_hints_and_writes_them_again() {
        let author = "ec4425ff5e9446080d2f70440188e3ca5d6da8713db7bdeef73d0ed54d9093f0";
        let text = format!(
            "blossom:{HASH}.pdf?xs=cdn.example.com&xs=http%3A%2F%2Flocal%3A3000&as={author}&sz=184292"
        );
        let uri: BlobUri = text.parse().unwrap();
        assert_eq!((uri.extension.as_str(), uri.size, uri.authors.len()), ("pdf", Some(184_292), 1));
        assert_eq!(uri.to_string(), text);
        let urls: Vec<String> = uri.urls().iter().map(ToString::to_string).collect();
        assert_eq!(
            urls,
            [format!("https://cdn.example.com/{HASH}.pdf"), format!("http://local:3000/{HASH}.pdf")]
        );
    }

    #[test]
    fn a_url_names_the_blob_of_its_last_segment() {
        for named in ["blossom:{}.pdf", "https://a.example/{}", "http://a.example/x/{}.tar.gz?a=b"] {
            assert_eq!(named_hash(&named.replace("{}", HASH)).unwrap().to_hex(), HASH, "{named}");
        }
        for other in
            ["{}", "ftp://a.example/{}", "https://a.example/{}/", "https://a.example/?{}", "blossom:a{}"]
        {
            assert_eq!(named_hash(&other.replace("{}", HASH)), None, "{other}");
        }
        assert_eq!(named_hash(&format!("https://a.example/{}", HASH.to_uppercase())), None);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            (format!("https://a.example/{HASH}.pdf"), BlobUriError::Scheme),
            (HASH.to_owned(), BlobUriError::Scheme),
            (format!("blossom:{HASH}"), BlobUriError::Extension),
            (format!("blossom:{HASH}."), BlobUriError::Extension),
            (format!("blossom:{HASH}./../x"), BlobUriError::Extension),
            ("blossom:abc.pdf".to_owned(), BlobUriError::Hash),
            (format!("blossom:{}.pdf", HASH.to_uppercase()), BlobUriError::Hash),
            (format!("blossom:{HASH}.pdf?sz=many"), BlobUriError::Size),
            (format!("blossom:{HASH}.pdf?as=npub1"), BlobUriError::Author),
        ] {
            assert_eq!(text.parse::<BlobUri>(), Err(expected), "{text}");
        }
    }
}
