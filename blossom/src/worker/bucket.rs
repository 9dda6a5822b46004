//! The R2 bucket: a blob is an object whose key is its hash, with its media type and what else a download tells.

use std::collections::HashMap;

use ::worker::web_sys::ReadableStream;
use ::worker::{Bucket, Conditional, Data, Env, HttpMetadata, Object, Range, ResponseBody, Result};
use openagents_host::BlobHash;
use openagents_host::http::range::ByteRange;

use super::BUCKET_BINDING;
use crate::index::BlobRecord;
use crate::media_type::MediaType;

/// When the blob was uploaded, in seconds since the Unix epoch.
const UPLOADED: &str = "uploaded";
/// When it will be gone, in seconds since the Unix epoch.
const EXPIRES: &str = "expires";

/// The code of R2's error for bytes with another hash.
const WRONG_HASH: &str = "(10037)";

/// The bytes of an upload.
pub(super) enum Bytes {
    Stream(ReadableStream),
    Vec(Vec<u8>),
}

/// What became of bytes that were sent to R2.
pub(super) enum Put {
    /// They are stored, or were already.
    Stored,
    /// They have another hash.
    WrongHash,
}

/// The blobs of a deployment.
pub(super) struct BlobBucket(Bucket);

impl BlobBucket {
    /// The bucket that is bound to this Worker.
    pub(super) fn of(env: &Env) -> Result<Self> {
        env.bucket(BUCKET_BINDING).map(Self)
    }

    /// Stores bytes that must have this hash, which R2 checks. The length of a stream must be known.
    pub(super) async fn put(&self, record: &BlobRecord, bytes: Bytes) -> Result<Put> {
        let mut metadata = HashMap::from([(UPLOADED.to_owned(), record.uploaded.to_string())]);
        metadata.extend(record.expires.map(|at| (EXPIRES.to_owned(), at.to_string())));
        let data = match bytes {
            Bytes::Stream(stream) => Data::ReadableStream(stream),
            Bytes::Vec(bytes) => Data::Bytes(bytes),
        };
        let content_type = Some(record.media_type.as_str().to_owned());
        let put = self
            .0
            .put(record.hash.to_hex(), data)
            .sha256(record.hash.as_bytes().to_vec())
            // An object that is there has the same bytes, and R2 takes only one write per second to one key.
            .only_if(Conditional { etag_does_not_match: Some("*".to_owned()), ..Conditional::default() })
            .http_metadata(HttpMetadata { content_type, ..HttpMetadata::default() })
            .custom_metadata(metadata);
        match put.execute().await {
            Ok(_) => Ok(Put::Stored),
            Err(error) if error.to_string().contains(WRONG_HASH) => Ok(Put::WrongHash),
            Err(error) => Err(error),
        }
    }

    /// A blob without its bytes.
    pub(super) async fn head(&self, hash: &BlobHash) -> Result<Option<BlobRecord>> {
        let object = self.0.head(hash.to_hex()).await?;
        object.map(|object| record(hash, &object)).transpose()
    }

    /// A blob, and a stream of its bytes or of a part of them. The stream stays in the runtime.
    pub(super) async fn read(
        &self,
        hash: &BlobHash,
        range: Option<ByteRange>,
    ) -> Result<Option<(BlobRecord, ReadableStream)>> {
        let get = self.0.get(hash.to_hex());
        let get = match range {
            Some(range) => {
                get.range(Range::OffsetWithLength { offset: range.first(), length: range.length() })
            }
            None => get,
        };
        let Some(object) = get.execute().await? else { return Ok(None) };
        let record = record(hash, &object)?;
        let body = object.body().map(::worker::ObjectBody::response_body).transpose()?;
        match body {
            Some(ResponseBody::Stream(stream)) => Ok(Some((record, stream))),
            _ => Ok(None),
        }
    }

    /// Removes blobs, at most 1,000. Those that are not there are fine.
    pub(super) async fn remove(&self, hashes: &[BlobHash]) -> Result<()> {
        self.0.delete_multiple(hashes.iter().map(BlobHash::to_hex).collect()).await
    }
}

fn record(hash: &BlobHash, object: &Object) -> Result<BlobRecord> {
    let metadata = object.custom_metadata()?;
    let number = |name: &str| metadata.get(name).and_then(|text| text.parse::<u64>().ok());
    let media_type = object.http_metadata().content_type.and_then(|text| text.parse().ok());
    Ok(BlobRecord {
        hash: *hash,
        size: object.size(),
        media_type: media_type.unwrap_or_else(MediaType::unknown),
        uploaded: number(UPLOADED).unwrap_or_else(|| object.uploaded().as_millis() / 1_000),
        expires: number(EXPIRES),
    })
}
