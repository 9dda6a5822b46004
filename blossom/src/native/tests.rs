//! Tests of the native blob server: requests against files and an index on a real disk.

mod expected;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use futures_util::StreamExt as _;
use openagents_host::http::{Body, BodyError, ByteStream, Method, Response};
use openagents_host::native::{Durability, now};
use openagents_host::nostr::UnsignedEvent;
use openagents_host::{BlobHash, Keys, Kind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{BlobServer, BlobServerConfig, BlobServerThread};
use crate::config::{BlossomConfig, Uploaders};
use crate::expected::NothingExpected;
use crate::route::BlobRoute;

struct Server {
    server: BlobServer,
    thread: BlobServerThread,
    folder: TempDir,
}

fn keys(number: u8) -> Keys {
    Keys::from_secret(&[number; 32]).unwrap()
}

fn hash_of(bytes: &[u8]) -> BlobHash {
    BlobHash::from_bytes(Sha256::digest(bytes).into())
}

async fn open(folder: TempDir, change: impl FnOnce(&mut BlossomConfig)) -> Server {
    let mut blossom = BlossomConfig::new(Uploaders::Anyone);
    blossom.max_blob_bytes = 1_000_000;
    change(&mut blossom);
    let (server, thread) = BlobServer::start(BlobServerConfig {
        database: folder.path().join("blossom.sqlite"),
        folder: folder.path().join("blobs"),
        durability: Durability::Process,
        forget_memory: true,
        blossom,
    })
    .await
    .unwrap();
    Server { server, thread, folder }
}

async fn start() -> Server {
    open(tempfile::tempdir().unwrap(), |_| {}).await
}

fn authorization(keys: &Keys, verb: &str, hash: Option<BlobHash>) -> String {
    let end = (now() + Duration::from_secs(60)).as_seconds().to_string();
    let token =
        UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, "").tag(["t", verb]).tag(["expiration", &end]);
    let token = hash.into_iter().fold(token, |token, hash| token.tag(["x", &hash.to_hex()]));
    format!("Nostr {}", Base64UrlUnpadded::encode_string(token.sign(keys, now()).json().as_bytes()))
}

impl Server {
    async fn send(&self, method: Method, path: &str, headers: &[(&str, String)], body: Body) -> Response {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "127.0.0.1:8787");
        if let Some(length) = body.length().filter(|length| *length > 0) {
            request = request.header("content-length", length);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let route = BlobRoute::of(parts.uri.path()).unwrap();
        self.server.answer(route, &parts, body, &NothingExpected).await
    }

    async fn upload(&self, keys: &Keys, bytes: &'static [u8]) -> Response {
        let signed = authorization(keys, "upload", Some(hash_of(bytes)));
        let headers = [("authorization", signed), ("content-type", "text/plain".to_owned())];
        self.send(Method::PUT, "/upload", &headers, Bytes::from_static(bytes).into()).await
    }

    async fn get(&self, hash: &BlobHash) -> Response {
        self.send(Method::GET, &format!("/{hash}"), &[], Body::Empty).await
    }

    async fn delete(&self, keys: &Keys, hash: BlobHash) -> u16 {
        let headers = [("authorization", authorization(keys, "delete", Some(hash)))];
        self.send(Method::DELETE, &format!("/{hash}.txt"), &headers, Body::Empty).await.status().as_u16()
    }

    async fn stop(self) -> TempDir {
        drop(self.server);
        self.thread.stop().await;
        self.folder
    }

    /// All files of blobs, complete or not.
    fn files(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.folder.path().join("blobs")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Waits until there are this many files.
    async fn wait_for_files(&self, count: usize) {
        for _ in 0..500 {
            if self.files().len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.files());
    }
}

async fn bytes(response: Response) -> Bytes {
    response.into_body().read_to_end(10_000_000).await.unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

fn stream(chunks: Vec<Result<Bytes, BodyError>>) -> Body {
    ByteStream::new(Box::pin(futures_util::stream::iter(chunks))).into()
}

fn reason(response: &Response) -> String {
    response.headers().get("x-reason").map_or(String::new(), |reason| reason.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_blob_is_uploaded_read_listed_and_deleted() {
    let server = start().await;
    let (anna, hash) = (keys(1), hash_of(b"hello world"));
    let created = server.upload(&anna, b"hello world").await;
    assert_eq!(created.status().as_u16(), 201);
    assert_eq!(created.headers()["access-control-allow-origin"], "*");
    let descriptor = json_of(created).await;
    assert_eq!(descriptor["url"], format!("http://127.0.0.1:8787/{hash}.txt"));
    assert_eq!((descriptor["size"].as_u64(), descriptor["type"].as_str()), (Some(11), Some("text/plain")));
    let again = server.upload(&anna, b"hello world").await;
    assert_eq!((again.status().as_u16(), json_of(again).await), (200, descriptor.clone()));

    let read = server.get(&hash).await;
    assert_eq!(read.headers()["content-type"], "text/plain");
    assert!(read.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
    assert_eq!(read.headers()["x-content-type-options"], "nosniff");
    assert_eq!(bytes(read).await, "hello world");
    let range = [("range", "bytes=6-".to_owned())];
    let part = server.send(Method::GET, &format!("/{hash}.png"), &range, Body::Empty).await;
    assert_eq!((part.status().as_u16(), bytes(part).await), (206, Bytes::from_static(b"world")));
    let head = server.send(Method::HEAD, &format!("/{hash}"), &[], Body::Empty).await;
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &11.into()));

    let path = format!("/list/{}", anna.public_key());
    assert_eq!(json_of(server.send(Method::GET, &path, &[], Body::Empty).await).await, json!([descriptor]));
    assert_eq!(server.delete(&keys(2), hash).await, 403);
    let unnamed = [("authorization", authorization(&anna, "delete", None))];
    let refused = server.send(Method::DELETE, &format!("/{hash}"), &unnamed, Body::Empty).await;
    assert_eq!(refused.status().as_u16(), 401, "a token that names no blob deletes none");
    assert_eq!(server.delete(&anna, hash).await, 204);
    assert_eq!(server.get(&hash).await.status().as_u16(), 404);
    assert_eq!(server.delete(&anna, hash).await, 404);
    server.wait_for_files(0).await;
    assert_eq!(json_of(server.send(Method::GET, &path, &[], Body::Empty).await).await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn large_blobs_are_streamed_both_ways_in_order() {
    let server = start().await;
    let chunks: Vec<Bytes> = (0..40_u8).map(|number| Bytes::from(vec![number; 20_011])).collect();
    let whole = chunks.concat();
    let hash = hash_of(&whole);
    let headers = [
        ("authorization", authorization(&keys(1), "upload", Some(hash))),
        ("content-length", whole.len().to_string()),
    ];
    let body = stream(chunks.into_iter().map(Ok).collect());
    assert_eq!(server.send(Method::PUT, "/upload", &headers, body).await.status().as_u16(), 201);
    let read = server.get(&hash).await;
    assert_eq!(read.headers()["content-length"], whole.len().to_string().as_str());
    assert_eq!(bytes(read).await, whole);
    let range = [("range", "bytes=19999-700000".to_owned())];
    let part = server.send(Method::GET, &format!("/{hash}"), &range, Body::Empty).await;
    assert_eq!(bytes(part).await, whole[19_999..=700_000]);
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_left_of_uploads_that_fail() {
    let server = start().await;
    let hash = hash_of(b"announced");
    let signed = || ("authorization", authorization(&keys(1), "upload", Some(hash)));
    let length = |length: usize| ("content-length", length.to_string());
    let big = || Ok(Bytes::from(vec![1; 200_000]));
    let aborted = Err(BodyError::Interrupted("connection reset".to_owned()));
    for (headers, body, status) in [
        (vec![signed(), length(5)], stream(vec![Ok("other".into())]), 401),
        (vec![signed(), length(5), ("x-sha-256", hash.to_hex())], stream(vec![Ok("other".into())]), 409),
        (vec![signed(), length(400_000)], stream(vec![big(), big()]), 401),
        (vec![signed(), length(900_000)], stream(vec![big(), big(), aborted]), 400),
        // A length that is not true.
        (vec![signed(), length(5)], stream(vec![big(), big(), big(), big(), big(), big()]), 413),
        (vec![signed(), length(2_000_000)], stream(vec![big()]), 413),
        (vec![signed()], stream(vec![big()]), 411),
        (vec![length(5)], stream(vec![Ok("other".into())]), 401),
    ] {
        let response = server.send(Method::PUT, "/upload", &headers, body).await;
        assert_eq!(response.status().as_u16(), status, "{headers:?}: {}", reason(&response));
        assert!(!reason(&response).is_empty());
    }
    assert_eq!(server.get(&hash).await.status().as_u16(), 404);
    server.wait_for_files(0).await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart_and_what_was_not_is_gone() {
    let server = start().await;
    server.upload(&keys(1), b"kept").await;
    let folder = server.stop().await;
    let incoming = folder.path().join("blobs/incoming/3");
    std::fs::write(&incoming, "half").unwrap();
    let server = open(folder, |_| {}).await;
    assert_eq!(bytes(server.get(&hash_of(b"kept")).await).await, "kept");
    assert!(!incoming.exists());
    server.stop().await;
}

#[tokio::test]
async fn a_file_without_an_index_entry_is_not_served() {
    let server = start().await;
    server.upload(&keys(1), b"kept").await;
    let orphan = hash_of(b"orphan");
    let hex = orphan.to_hex();
    let path = server.folder.path().join("blobs").join(hex.get(..2).unwrap()).join(&hex);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "orphan").unwrap();
    assert_eq!(server.get(&orphan).await.status().as_u16(), 404);
    assert_eq!(server.upload(&keys(1), b"orphan").await.status().as_u16(), 201);
    assert_eq!(bytes(server.get(&orphan).await).await, "orphan");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_races_a_deletion_is_lost_only_if_it_was_deleted_later() {
    let server = Arc::new(start().await);
    let (anna, bob) = (keys(1), keys(2));
    let hash = hash_of(b"raced");
    for _ in 0..60 {
        server.upload(&anna, b"raced").await;
        let deleting = {
            let (server, anna) = (Arc::clone(&server), anna.clone());
            tokio::spawn(async move { server.delete(&anna, hash).await })
        };
        let uploading = {
            let (server, bob) = (Arc::clone(&server), bob.clone());
            tokio::spawn(async move { server.upload(&bob, b"raced").await.status().as_u16() })
        };
        assert_eq!(deleting.await.unwrap(), 204);
        assert!(matches!(uploading.await.unwrap(), 200 | 201));
        // Bob owns it in any case, since only Anna has deleted.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(bytes(server.get(&hash).await).await, "raced");
        assert_eq!(server.delete(&bob, hash).await, 204);
    }
    server.wait_for_files(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_one_blob_at_once_store_it_once() {
    let server = Arc::new(start().await);
    let uploads = (1..=20_u8).map(|number| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.upload(&keys(number), b"shared").await.status().as_u16() })
    });
    let uploads: Vec<_> = uploads.collect();
    let mut created = 0;
    for upload in uploads {
        match upload.await.unwrap() {
            201 => created += 1,
            status => assert_eq!(status, 200),
        }
    }
    assert_eq!(created, 1);
    assert_eq!(server.files().len(), 1);
    let statistics = server.server.statistics().await.unwrap();
    assert_eq!((statistics.blobs, statistics.bytes, statistics.owners), (1, 6, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_for_uploads_at_once() {
    let server = Arc::new(open(tempfile::tempdir().unwrap(), |config| config.quota = Some(250)).await);
    const BLOBS: [&[u8]; 6] = [&[1; 100], &[2; 100], &[3; 100], &[4; 100], &[5; 100], &[6; 100]];
    let uploads = BLOBS.map(|blob| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.upload(&keys(1), blob).await.status().as_u16() })
    });
    let mut statuses = Vec::new();
    for upload in uploads {
        statuses.push(upload.await.unwrap());
    }
    let accepted = statuses.iter().filter(|status| **status == 201).count();
    assert!(accepted <= 2 && statuses.iter().all(|status| matches!(status, 201 | 429)), "{statuses:?}");
    let statistics = server.server.statistics().await.unwrap();
    assert_eq!(statistics.blobs, accepted as u64);
    server.wait_for_files(accepted).await;
}

#[tokio::test]
async fn the_preflight_tells_what_the_upload_will() {
    let server = open(tempfile::tempdir().unwrap(), |config| config.quota = Some(5)).await;
    let hash = hash_of(b"small");
    let headers = |signed: bool, length: u64| {
        let mut headers = vec![("x-sha-256", hash.to_hex()), ("x-content-length", length.to_string())];
        headers.extend(signed.then(|| ("authorization", authorization(&keys(1), "upload", Some(hash)))));
        headers
    };
    for (signed, length, status) in [(false, 5, 401), (true, 5, 200), (true, 6, 429), (false, 2_000_000, 413)]
    {
        let response = server.send(Method::HEAD, "/upload", &headers(signed, length), Body::Empty).await;
        assert_eq!(response.status().as_u16(), status, "{}", reason(&response));
    }
    assert_eq!(server.upload(&keys(1), b"small").await.status().as_u16(), 201);
    server.stop().await;
}

#[tokio::test]
async fn a_report_of_an_operator_removes_a_blob_and_that_of_others_does_not() {
    let operator = keys(9);
    let server =
        open(tempfile::tempdir().unwrap(), |config| config.operators = [operator.public_key()].into()).await;
    let hash = hash_of(b"reported");
    server.upload(&keys(1), b"reported").await;
    for (reporter, is_there) in [(keys(2), true), (operator, false)] {
        let event = UnsignedEvent::new(Kind::REPORTING, "spam").tag(["x", &hash.to_hex(), "spam"]);
        let body = event.sign(&reporter, now()).json().to_string();
        assert_eq!(server.send(Method::PUT, "/report", &[], body.into()).await.status().as_u16(), 200);
        assert_eq!(server.get(&hash).await.status().is_success(), is_there);
    }
    let refused = server.upload(&keys(1), b"reported").await;
    assert_eq!((refused.status().as_u16(), reason(&refused).contains("spam")), (403, true));
    let elsewhere = UnsignedEvent::new(Kind::REPORTING, "").tag(["x", &"ab".repeat(32), "spam"]);
    let body = elsewhere.sign(&keys(3), now()).json().to_string();
    assert_eq!(server.send(Method::PUT, "/report", &[], body.into()).await.status().as_u16(), 200);
    assert_eq!(server.server.statistics().await.unwrap().reports, 2, "what is not here is not recorded");
    server.stop().await;
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_mirrored() {
    let server = start().await;
    let hash = hash_of(b"x");
    for (url, status) in [
        ("http://example.com/a", 400),
        ("https://127.0.0.1/a", 400),
        ("https://169.254.169.254/latest/meta-data", 400),
        ("https://[::ffff:10.0.0.1]/a", 400),
        ("https://localhost/a", 400),
        ("https://user:secret@example.com/a", 400),
        ("file:///etc/passwd", 400),
        ("nonsense", 400),
    ] {
        let headers = [("authorization", authorization(&keys(1), "upload", Some(hash)))];
        let body = json!({ "url": url }).to_string();
        let response = server.send(Method::PUT, "/mirror", &headers, body.into()).await;
        assert_eq!(response.status().as_u16(), status, "{url}: {}", reason(&response));
        assert!(!reason(&response).contains("secret"));
    }
    let unsigned = server.send(Method::PUT, "/mirror", &[], "{}".to_owned().into()).await;
    assert_eq!(unsigned.status().as_u16(), 401);
    server.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_refused_with_a_reason() {
    let server = start().await;
    let hash = "ab".repeat(32);
    for (method, path, status) in [
        (Method::GET, format!("/{}", hash.to_uppercase()), 400),
        (Method::GET, format!("/{hash}"), 404),
        (Method::GET, "/list/npub1".to_owned(), 400),
        (Method::GET, format!("/list/{hash}?limit=x"), 400),
        (Method::POST, "/upload".to_owned(), 405),
        (Method::PUT, "/report".to_owned(), 400),
        (Method::DELETE, format!("/{hash}"), 401),
    ] {
        let response = server.send(method.clone(), &path, &[], Body::Empty).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_blob_whose_file_was_cut_ends_with_an_error() {
    let server = start().await;
    let whole = vec![7; 300_000];
    let hash = hash_of(&whole);
    let headers = [
        ("authorization", authorization(&keys(1), "upload", Some(hash))),
        ("content-length", whole.len().to_string()),
    ];
    server.send(Method::PUT, "/upload", &headers, stream(vec![Ok(whole.into())])).await;
    let path: &Path = &server.files()[0];
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(150_000).unwrap();
    let Body::Stream(body) = server.get(&hash).await.into_body() else { panic!("it is long") };
    let last = body.fold(None, async |_, chunk| Some(chunk)).await;
    assert!(matches!(last, Some(Err(BodyError::Interrupted(_)))));
    server.stop().await;
}
