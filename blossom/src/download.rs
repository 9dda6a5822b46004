//! `GET` and `HEAD /<sha256>` (BUD-01): which bytes of a blob a request gets, and the headers that come with them.

use openagents_host::Timestamp;
use openagents_host::http::conditional::{self, Precondition, Validators};
use openagents_host::http::range::{self, ByteRange, Selection};
use openagents_host::http::response::{self, set_validators, with_header};
use openagents_host::http::{
    ETag, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, date, header,
};

use crate::index::BlobRecord;

/// How long a blob may be cached, in seconds: what a hash names never changes.
const MAX_AGE: u64 = 31_536_000;

/// When a blob will be gone (RFC 8594).
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The answer to a request for a blob that exists.
#[derive(Debug)]
pub(crate) enum Download {
    /// Bytes of the blob, or all of them. The head has every header that tells of them; its body is still missing.
    Content { head: Response, range: Option<ByteRange> },
    /// No bytes: the client has them already, or asks for what is not there.
    Finished(Response),
}

/// Whether the answer depends on nothing but the blob's existence, so that it can be read at once.
pub(crate) fn is_unconditional(method: &Method, headers: &HeaderMap) -> bool {
    let conditions = [
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    method == Method::GET && !conditions.iter().any(|name| headers.contains_key(name))
}

/// Which bytes of this blob a request gets.
pub(crate) fn download(
    method: &Method,
    headers: &HeaderMap,
    record: &BlobRecord,
    now: Timestamp,
) -> Download {
    let current = Validators {
        etag: ETag::strong(&record.hash.to_hex()),
        last_modified: Some(Timestamp::from_seconds(record.uploaded)),
    };
    match conditional::evaluate(method, headers, Some(&current)) {
        Precondition::Holds => {}
        Precondition::NotModified => {
            return Download::Finished(cached(response::not_modified(&current), record, now));
        }
        Precondition::Failed => {
            let reason = "The blob exists, and the request has a condition that it does not meet.";
            return Download::Finished(response::error(StatusCode::PRECONDITION_FAILED, reason));
        }
    }
    let (status, range) = match range::select(method, headers, &current, record.size) {
        Selection::Whole => (StatusCode::OK, None),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Selection::Unsatisfiable => return Download::Finished(response::range_not_satisfiable(record.size)),
    };
    let mut head = cached(response::empty(status), record, now);
    let length = range.map_or(record.size, ByteRange::length);
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(media_type) = HeaderValue::from_str(record.media_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, range.content_range(record.size));
    }
    set_validators(headers, &current);
    Download::Content { head, range }
}

/// Adds how long the blob may be cached, and when it will be gone.
fn cached(response: Response, record: &BlobRecord, now: Timestamp) -> Response {
    let left = record.expires.map_or(MAX_AGE, |at| at.saturating_sub(now.as_seconds()).min(MAX_AGE));
    let policy = format!("public, max-age={left}, immutable, no-transform");
    let sunset = record.expires.map(|at| date::format(Timestamp::from_seconds(at)));
    let mut response = response;
    for (name, text) in [(header::CACHE_CONTROL, Some(policy)), (SUNSET, sunset)] {
        if let Some(Ok(value)) = text.map(HeaderValue::try_from) {
            response = with_header(response, name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use openagents_host::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
    use openagents_host::{BlobHash, Timestamp};

    use super::{Download, download, is_unconditional};
    use crate::index::BlobRecord;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn record() -> BlobRecord {
        BlobRecord {
            hash: BlobHash::from_bytes([0xab; 32]),
            size: 10,
            media_type: "image/png".parse().unwrap(),
            uploaded: 900,
            expires: None,
        }
    }

    fn get(method: &Method, headers: &[(HeaderName, &str)]) -> Download {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        download(method, &headers, &record(), NOW)
    }

    fn head(download: &Download) -> &Response {
        match download {
            Download::Content { head, .. } | Download::Finished(head) => head,
        }
    }

    fn value<'a>(download: &'a Download, name: &str) -> &'a str {
        head(download).headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn tells_all_that_clients_and_caches_need() {
        for method in [Method::GET, Method::HEAD] {
            let whole = get(&method, &[]);
            assert_eq!(head(&whole).status().as_u16(), 200);
            for (name, expected) in [
                ("content-type", "image/png"),
                ("content-length", "10"),
                ("accept-ranges", "bytes"),
                ("etag", &format!("\"{}\"", "ab".repeat(32))),
                ("cache-control", "public, max-age=31536000, immutable, no-transform"),
                ("sunset", ""),
            ] {
                assert_eq!(value(&whole, name), expected, "{name}");
            }
        }
    }

    #[test]
    fn answers_a_part_and_says_where_it_is() {
        for (range, status, content_range, length) in [
            ("bytes=2-4", 206, "bytes 2-4/10", "3"),
            ("bytes=8-99", 206, "bytes 8-9/10", "2"),
            ("bytes=-3", 206, "bytes 7-9/10", "3"),
            ("bytes=10-", 416, "bytes */10", ""),
            ("bytes=0-1,3-4", 200, "", "10"),
            ("lines=0-1", 200, "", "10"),
        ] {
            let part = get(&Method::GET, &[(header::RANGE, range)]);
            let found = (
                head(&part).status().as_u16(),
                value(&part, "content-range"),
                value(&part, "content-length"),
            );
            assert_eq!(found, (status, content_range, length), "{range}");
        }
    }

    #[test]
    fn a_client_that_has_the_blob_gets_304() {
        let etag = format!("\"{}\"", "ab".repeat(32));
        let known = get(&Method::GET, &[(header::IF_NONE_MATCH, &etag)]);
        assert!(matches!(&known, Download::Finished(response) if response.status().as_u16() == 304));
        assert_eq!(value(&known, "etag"), etag);
        let other = get(&Method::GET, &[(header::IF_MATCH, "\"other\"")]);
        assert_eq!(head(&other).status().as_u16(), 412);
        let resumed = get(&Method::GET, &[(header::RANGE, "bytes=5-"), (header::IF_RANGE, "\"other\"")]);
        assert_eq!(head(&resumed).status().as_u16(), 200);
    }

    #[test]
    fn a_blob_that_expires_is_not_cached_beyond_its_end() {
        let record = BlobRecord { expires: Some(1_060), ..record() };
        let found = download(&Method::GET, &HeaderMap::new(), &record, NOW);
        assert_eq!(value(&found, "cache-control"), "public, max-age=60, immutable, no-transform");
        assert_eq!(value(&found, "sunset"), "Thu, 01 Jan 1970 00:17:40 GMT");
    }

    #[test]
    fn only_a_get_without_conditions_is_answered_unseen() {
        let with = |name: HeaderName| HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
        assert!(is_unconditional(&Method::GET, &with(header::ACCEPT)));
        assert!(!is_unconditional(&Method::HEAD, &HeaderMap::new()));
        for name in [header::RANGE, header::IF_NONE_MATCH, header::IF_MATCH] {
            assert!(!is_unconditional(&Method::GET, &with(name.clone())), "{name}");
        }
    }
}
