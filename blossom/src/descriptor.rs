//! Blob descriptors (BUD-02), with the tags of NIP-94 (BUD-08).

use openagents_host::BlobHash;
use serde::{Deserialize, Serialize};

use crate::index::BlobRecord;
use crate::media_type::MediaType;

/// The description of a blob, as servers answer to an upload and list blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobDescriptor {
    /// Where the blob can be read, with a file extension.
    pub url: String,
    /// The SHA-256 of its bytes.
    pub sha256: BlobHash,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    #[serde(rename = "type", default = "MediaType::unknown")]
    pub media_type: MediaType,
    /// When it was uploaded, in seconds since the Unix epoch.
    pub uploaded: u64,
    /// The tags of an event that describes the blob (NIP-94), with their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nip94: Vec<(String, String)>,
}

impl BlobDescriptor {
    /// Describes a blob that is found below `base`, a URL without a slash at its end, or of which only the hash is known.
    pub(crate) fn new(base: Option<&str>, record: &BlobRecord) -> Self {
        let hash = record.hash.to_hex();
        let extension = record.media_type.extension();
        let url = match base {
            Some(base) => format!("{base}/{hash}.{extension}"),
            None => format!("blossom:{hash}.{extension}"),
        };
        let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let nip94 = vec![
            tag("url", &url),
            tag("m", &record.media_type.essence()),
            tag("x", &hash),
            tag("ox", &hash),
            tag("size", &record.size.to_string()),
        ];
        Self {
            url,
            sha256: record.hash,
            size: record.size,
            media_type: record.media_type.clone(),
            uploaded: record.uploaded,
            nip94,
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::BlobHash;
    use serde_json::json;

    use super::BlobDescriptor;
    use crate::index::BlobRecord;

    #[test]
    fn a_descriptor_is_the_json_of_bud_02_and_bud_08() {
        let record = BlobRecord {
            hash: BlobHash::from_bytes([0xab; 32]),
            size: 7,
            media_type: "image/png".parse().unwrap(),
            uploaded: 1_725_105_921,
            expires: None,
        };
        let descriptor = BlobDescriptor::new(Some("https://cdn.example.com"), &record);
        let (hash, url) = ("ab".repeat(32), format!("https://cdn.example.com/{}.png", "ab".repeat(32)));
        let expected = json!({
            "url": url, "sha256": hash, "size": 7, "type": "image/png", "uploaded": 1_725_105_921,
            "nip94": [["url", url], ["m", "image/png"], ["x", hash], ["ox", hash], ["size", "7"]],
        });
        assert_eq!(serde_json::to_value(&descriptor).unwrap(), expected);
        assert_eq!(serde_json::from_value::<BlobDescriptor>(expected).unwrap(), descriptor);
        let unplaced = BlobDescriptor::new(None, &record);
        assert_eq!(unplaced.url, format!("blossom:{}.png", "ab".repeat(32)));
        assert!(unplaced.url.parse::<crate::BlobUri>().is_ok());
    }

    #[test]
    fn a_descriptor_of_another_server_may_have_less_and_more() {
        let text = format!(
            r#"{{"url":"https://a.example/x","sha256":"{}","size":1,"uploaded":2,"magnet":"m"}}"#,
            "cd".repeat(32)
        );
        let descriptor: BlobDescriptor = serde_json::from_str(&text).unwrap();
        assert_eq!(descriptor.media_type.as_str(), "application/octet-stream");
    }
}
