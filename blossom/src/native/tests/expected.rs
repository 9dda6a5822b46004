//! Tests of uploads that a deployment expects of people who may not upload otherwise.

use std::sync::Mutex;

use openagents_host::PublicKey;

use super::*;
use crate::expected::{ExpectedUploadLimits, ExpectedUploads};

/// Expects one blob of one key.
struct OneExpected {
    owner: PublicKey,
    hash: BlobHash,
    arrived: Mutex<Vec<BlobHash>>,
}

impl ExpectedUploads for OneExpected {
    async fn expected(&self, owner: &PublicKey, hash: &BlobHash) -> Option<ExpectedUploadLimits> {
        let limits = ExpectedUploadLimits {
            max_bytes: 11,
            quota: 15,
            total: 1_000,
            kept_for: Duration::from_secs(600),
        };
        (*owner == self.owner && *hash == self.hash).then_some(limits)
    }

    async fn arrived(&self, _: &PublicKey, hash: &BlobHash) {
        self.arrived.lock().unwrap().push(*hash);
    }
}

impl Server {
    async fn put(&self, keys: &Keys, bytes: &'static [u8], expected: &OneExpected) -> Response {
        let signed = authorization(keys, "upload", Some(hash_of(bytes)));
        let request = http::Request::builder().method(Method::PUT).uri("/upload").header("host", "a.example");
        let request = request.header("content-length", bytes.len()).header("authorization", signed);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let route = BlobRoute::of(parts.uri.path()).unwrap();
        self.server.answer(route, &parts, Bytes::from_static(bytes).into(), expected).await
    }
}

#[tokio::test]
async fn who_may_not_upload_may_upload_what_is_expected() {
    let server = open(tempfile::tempdir().unwrap(), |config| {
        config.uploaders = Uploaders::Keys([].into());
        config.accepts_expected = true;
    })
    .await;
    let expects = |bytes: &[u8]| OneExpected {
        owner: keys(1).public_key(),
        hash: hash_of(bytes),
        arrived: Mutex::default(),
    };
    let expected = expects(b"hello world");
    assert_eq!(server.put(&keys(1), b"hello", &expected).await.status().as_u16(), 403, "another blob");
    assert_eq!(server.put(&keys(2), b"hello world", &expected).await.status().as_u16(), 403, "another key");
    assert!(expected.arrived.lock().unwrap().is_empty());
    assert_eq!(server.put(&keys(1), b"hello world", &expected).await.status().as_u16(), 201);
    assert_eq!(server.put(&keys(1), b"hello world", &expected).await.status().as_u16(), 200);
    assert_eq!(*expected.arrived.lock().unwrap(), [hash_of(b"hello world"); 2]);
    let read = server.get(&hash_of(b"hello world")).await;
    assert!(read.headers().contains_key("sunset"), "it ends");

    let large = server.put(&keys(1), b"hello, world", &expects(b"hello, world")).await;
    assert_eq!(large.status().as_u16(), 413, "{}", reason(&large));
    let more = server.put(&keys(1), b"hello", &expects(b"hello")).await;
    assert_eq!(more.status().as_u16(), 429, "{}", reason(&more));
}

#[tokio::test]
async fn nothing_is_expected_where_the_operator_names_who_uploads() {
    let server =
        open(tempfile::tempdir().unwrap(), |config| config.uploaders = Uploaders::Keys([].into())).await;
    let expected =
        OneExpected { owner: keys(1).public_key(), hash: hash_of(b"hello world"), arrived: Mutex::default() };
    assert_eq!(server.put(&keys(1), b"hello world", &expected).await.status().as_u16(), 403);
}
