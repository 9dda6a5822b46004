//! Media types (RFC 9110, 8.3): what a blob is, which file extension it has, and which types may be uploaded.

use std::fmt;
use std::str::FromStr;

use openagents_host::http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The longest media type that is kept, in bytes, with its parameters.
const MAX_LENGTH: usize = 255;

/// Extensions of common types. Where several are in use, the first is the one that is written.
const EXTENSIONS: [(&str, &[&str]); 45] = [
    ("application/epub+zip", &["epub"]),
    ("application/gzip", &["gz"]),
    ("application/json", &["json"]),
    ("application/msword", &["doc"]),
    ("application/octet-stream", &["bin"]),
    ("application/pdf", &["pdf"]),
    ("application/vnd.android.package-archive", &["apk"]),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", &["pptx"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx"]),
    ("application/wasm", &["wasm"]),
    ("application/x-7z-compressed", &["7z"]),
    ("application/x-tar", &["tar"]),
    ("application/xml", &["xml"]),
    ("application/zip", &["zip"]),
    ("application/zstd", &["zst"]),
    ("audio/aac", &["aac"]),
    ("audio/flac", &["flac"]),
    ("audio/midi", &["mid", "midi"]),
    ("audio/mp4", &["m4a"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/ogg", &["ogg", "oga", "opus"]),
    ("audio/wav", &["wav"]),
    ("audio/webm", &["weba"]),
    ("font/ttf", &["ttf"]),
    ("font/woff", &["woff"]),
    ("font/woff2", &["woff2"]),
    ("image/avif", &["avif"]),
    ("image/bmp", &["bmp"]),
    ("image/gif", &["gif"]),
    ("image/heic", &["heic"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/svg+xml", &["svg"]),
    ("image/tiff", &["tiff", "tif"]),
    ("image/webp", &["webp"]),
    ("text/css", &["css"]),
    ("text/csv", &["csv"]),
    ("text/html", &["html", "htm"]),
    ("text/javascript", &["js", "mjs"]),
    ("text/markdown", &["md"]),
    ("text/plain", &["txt"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/quicktime", &["mov"]),
    ("video/webm", &["webm"]),
];

/// A media type such as `image/png` or `text/plain; charset=utf-8`, in a form that can be sent as a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

/// Text that is not a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a media type such as `image/png`")]
pub struct MediaTypeError;

impl MediaType {
    /// The type of blobs of which nothing is known (BUD-01).
    #[must_use]
    pub fn unknown() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// The value of a `Content-Type` header; [`unknown`](Self::unknown) if it is empty.
    ///
    /// # Errors
    /// When it is not a media type.
    pub fn of_header(value: &str) -> Result<Self, MediaTypeError> {
        if value.trim().is_empty() { Ok(Self::unknown()) } else { value.parse() }
    }

    /// The usual type of files with this extension, without its dot.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        let is_named = |known: &&str| known.eq_ignore_ascii_case(extension);
        let (media_type, _) = EXTENSIONS.iter().find(|(_, known)| known.iter().any(is_named))?;
        Some(Self((*media_type).to_owned()))
    }

    /// The type with its parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type without its parameters, in lower case.
    #[must_use]
    pub fn essence(&self) -> String {
        self.0.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The extension of files of this type, without a dot; `bin` if none is known.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        let essence = self.essence();
        let known = EXTENSIONS.iter().find(|(media_type, _)| *media_type == essence);
        known.and_then(|(_, extensions)| extensions.first()).copied().unwrap_or("bin")
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let text = text.trim();
        let essence = text.split(';').next().unwrap_or_default().trim();
        let is_pair =
            essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        if is_pair
            && text.len() <= MAX_LENGTH
            && HeaderValue::from_str(text).is_ok_and(|value| value.to_str().is_ok())
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(MediaTypeError)
        }
    }
}

impl TryFrom<String> for MediaType {
    type Error = MediaTypeError;

    fn try_from(text: String) -> Result<Self, MediaTypeError> {
        text.parse()
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// The types that may be uploaded: all, or those of a list such as `image/*, application/pdf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedTypes(Vec<String>);

impl AllowedTypes {
    /// Whether a blob of this type may be uploaded.
    #[must_use]
    pub fn contain(&self, media_type: &MediaType) -> bool {
        let essence = media_type.essence();
        let fits = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => essence.starts_with(beginning),
            None => *allowed == essence,
        };
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

impl FromStr for AllowedTypes {
    type Err = MediaTypeError;

    /// Reads a list separated by commas; an empty one allows all types.
    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let checked = entries.map(|entry| {
            let entry = entry.to_ascii_lowercase();
            let is_range = entry.strip_suffix("/*").is_some_and(|kind| is_token(kind) && !kind.contains('*'));
            let is_type = !entry.contains([';', '*']) && entry.parse::<MediaType>().is_ok();
            if is_range || is_type { Ok(entry) } else { Err(MediaTypeError) }
        });
        checked.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowedTypes, MediaType};

    fn media_type(text: &str) -> MediaType {
        text.parse().unwrap()
    }

    #[test]
    fn a_type_is_two_tokens_and_fits_a_header() {
        for text in ["image/png", "text/plain; charset=utf-8", "application/vnd.x+json", " a/b "] {
            assert_eq!(media_type(text).as_str(), text.trim());
        }
        let long = format!("a/{}", "b".repeat(254));
        for text in ["", "image", "image/", "/png", "a b/c", "a/b\r\nx: y", "a/b; ü", "a/b/c", &long] {
            assert!(text.parse::<MediaType>().is_err(), "{text:?}");
        }
        assert_eq!(MediaType::of_header(" ").unwrap(), MediaType::unknown());
    }

    #[test]
    fn extensions_follow_from_types_and_types_from_extensions() {
        for (text, extension) in [
            ("image/jpeg", "jpg"),
            ("IMAGE/PNG", "png"),
            ("text/plain; charset=utf-8", "txt"),
            ("x/y", "bin"),
        ] {
            assert_eq!(media_type(text).extension(), extension);
        }
        assert_eq!(MediaType::of_extension("JPEG").unwrap().as_str(), "image/jpeg");
        assert_eq!(MediaType::of_extension("exe"), None);
    }

    #[test]
    fn a_list_allows_types_and_ranges_of_types() {
        let all = AllowedTypes::default();
        let some: AllowedTypes = "image/*, application/PDF".parse().unwrap();
        for (text, is_listed) in [
            ("image/png", true),
            ("Image/SVG+xml", true),
            ("application/pdf; version=2", true),
            ("application/pdfx", false),
            ("imagex/png", false),
            ("text/html", false),
        ] {
            assert_eq!(some.contain(&media_type(text)), is_listed, "{text}");
            assert!(all.contain(&media_type(text)));
        }
        for wrong in ["image", "*/*", "image/*png", "a/b;c", "image/*/x"] {
            assert!(wrong.parse::<AllowedTypes>().is_err(), "{wrong}");
        }
    }
}
