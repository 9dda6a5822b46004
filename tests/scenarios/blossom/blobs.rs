//! Blobs from upload to deletion (BUD-01, BUD-02, BUD-12).

use std::time::{Duration, Instant};

use nostr_sdk::nostr::Keys;
use openagents_tests::blobs::{authorization, delete, get, sha256, upload};
use openagents_tests::events::fresh_author;
use openagents_tests::http::{Response, request};
use openagents_tests::server::Server;
use serde_json::Value;

use crate::servers::{Servers, scenarios};

scenarios![
    a_blob_is_uploaded_read_and_deleted,
    a_descriptor_says_where_the_blob_is,
    parts_of_a_blob_are_read,
    a_blob_that_a_client_has_is_not_sent_again,
    an_empty_blob_is_a_blob,
    lists_are_pages_of_ones_own_blobs_latest_first,
    a_blob_of_several_owners_stays_until_the_last_has_deleted_it,
    a_large_blob_is_the_same_when_it_is_read,
    blobs_outlive_a_restart,
    a_blob_cannot_act_as_a_page_of_the_server,
    a_blob_ends_when_its_time_is_over,
];

/// A blob that no other scenario uploads.
fn fresh_blob() -> Vec<u8> {
    format!("blob {}", Keys::generate().public_key()).into_bytes()
}

async fn listed(server: &Server, owner: &Keys, query: &str) -> Vec<String> {
    let response = get(server.address(), &format!("/list/{}{query}", owner.public_key().to_hex()), &[]).await;
    assert_eq!(response.status, 200, "{response:?}");
    let blobs = response.json();
    let hash = |blob: &Value| blob["sha256"].as_str().expect("a hash").to_owned();
    blobs.as_array().expect("a list").iter().map(hash).collect()
}

fn reason(response: &Response) -> &str {
    response.header("x-reason").unwrap_or_default()
}

async fn a_blob_is_uploaded_read_and_deleted(servers: &Servers) {
    let server = servers.probe();
    let (address, author, blob) = (server.address(), fresh_author(), fresh_blob());
    let path = format!("/{}", sha256(&blob));
    assert_eq!(get(address, &path, &[]).await.status, 404);
    let created = upload(address, &author, &blob, "text/plain").await;
    assert_eq!(created.status, 201, "{created:?}");
    let again = upload(address, &author, &blob, "text/plain").await;
    assert_eq!((again.status, again.json()), (200, created.json()));
    for path in [path.clone(), format!("{path}.txt"), format!("{path}.png")] {
        let read = get(address, &path, &[]).await;
        assert_eq!((read.status, &read.body), (200, &blob), "{path}");
        assert_eq!(read.header("content-type"), Some("text/plain"));
        assert_eq!(read.header("content-length"), Some(blob.len().to_string().as_str()));
    }
    let (read, head) = tokio::join!(get(address, &path, &[]), request(address, "HEAD", &path, &[]));
    let head = head.expect("an answer");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-type", "content-length", "accept-ranges", "etag", "cache-control", "last-modified"]
    {
        assert_eq!(head.header(name), read.header(name), "{name}");
        assert!(head.header(name).is_some(), "{name}");
    }
    let others = delete(address, &fresh_author(), &sha256(&blob)).await;
    assert_eq!(others.status, 403, "{}", reason(&others));
    assert_eq!(delete(address, &author, &sha256(&blob)).await.status, 204);
    assert_eq!(get(address, &path, &[]).await.status, 404);
    assert_eq!(delete(address, &author, &sha256(&blob)).await.status, 404);
    assert_eq!(upload(address, &author, &blob, "text/plain").await.status, 201);
    assert_eq!(get(address, &path, &[]).await.body, blob);
}

async fn a_descriptor_says_where_the_blob_is(servers: &Servers) {
    let server = servers.probe();
    let (author, blob) = (fresh_author(), fresh_blob());
    let descriptor = upload(server.address(), &author, &blob, "image/png").await.json();
    let hash = sha256(&blob);
    let url = format!("http://{}/{hash}.png", server.address());
    assert_eq!(descriptor["url"], url);
    assert_eq!((&descriptor["sha256"], &descriptor["type"]), (&hash.into(), &"image/png".into()));
    assert_eq!(descriptor["size"], blob.len());
    assert!(descriptor["uploaded"].as_u64().is_some_and(|time| time > 1_700_000_000));
    let tags = descriptor["nip94"].as_array().expect("BUD-08");
    assert!(tags.contains(&serde_json::json!(["url", url])), "{tags:?}");
}

async fn parts_of_a_blob_are_read(servers: &Servers) {
    let server = servers.probe();
    let (address, author, blob) = (server.address(), fresh_author(), fresh_blob());
    upload(address, &author, &blob, "text/plain").await;
    let (path, length) = (format!("/{}", sha256(&blob)), blob.len());
    for (range, expected) in [
        ("bytes=0-3", &blob[..4]),
        ("bytes=5-", &blob[5..]),
        ("bytes=-7", &blob[length - 7..]),
        ("bytes=10-9999999", &blob[10..]),
        ("bytes=-9999999", &blob[..]),
    ] {
        let part = get(address, &path, &[("range", range)]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, expected), "{range}");
        let told = part.header("content-range").expect("which part it is");
        assert!(told.starts_with("bytes ") && told.ends_with(&format!("/{length}")), "{told}");
        assert_eq!(part.header("content-length"), Some(expected.len().to_string().as_str()));
    }
    let beyond = get(address, &path, &[("range", &format!("bytes={length}-"))]).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some(format!("bytes */{length}").as_str()))
    );
    for whole in ["bytes=0-1,5-6", "lines=1-2", "bytes=5-1"] {
        let read = get(address, &path, &[("range", whole)]).await;
        assert_eq!((read.status, read.body.len()), (200, length), "{whole}");
    }
    let other = [("range", "bytes=0-3"), ("if-range", "\"another\"")];
    assert_eq!(get(address, &path, &other).await.status, 200);
}

async fn a_blob_that_a_client_has_is_not_sent_again(servers: &Servers) {
    let server = servers.probe();
    let (address, author, blob) = (server.address(), fresh_author(), fresh_blob());
    upload(address, &author, &blob, "text/plain").await;
    let path = format!("/{}", sha256(&blob));
    let etag = get(address, &path, &[]).await.header("etag").expect("a tag").to_owned();
    assert_eq!(etag, format!("\"{}\"", sha256(&blob)));
    let known = get(address, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(get(address, &path, &[("if-none-match", "\"another\"")]).await.status, 200);
    let missing = format!("/{}", "0".repeat(64));
    assert_eq!(get(address, &missing, &[("if-none-match", &etag)]).await.status, 404);
}

async fn an_empty_blob_is_a_blob(servers: &Servers) {
    let server = servers.own("probe");
    let (address, author) = (server.address(), fresh_author());
    let hash = sha256(b"");
    let signed = authorization(&author, "upload", &[&hash]);
    let headers = [("authorization", signed.as_str()), ("content-length", "0")];
    let created = request(address, "PUT", "/upload", &headers).await.expect("an answer");
    assert_eq!((created.status, &created.json()["size"]), (201, &0.into()), "{created:?}");
    let read = get(address, &format!("/{hash}"), &[]).await;
    assert_eq!((read.status, read.header("content-length")), (200, Some("0")));
    assert_eq!(get(address, &format!("/{hash}"), &[("range", "bytes=0-")]).await.status, 416);
}

async fn lists_are_pages_of_ones_own_blobs_latest_first(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    assert!(listed(&server, &author, "").await.is_empty());
    let mut uploaded = Vec::new();
    for number in 0..7 {
        let blob = format!("{number} of {}", author.public_key());
        assert_eq!(upload(address, &author, blob.as_bytes(), "text/plain").await.status, 201);
        uploaded.push(sha256(blob.as_bytes()));
    }
    upload(address, &fresh_author(), &fresh_blob(), "text/plain").await;
    let all = listed(&server, &author, "").await;
    let sorted = |mut hashes: Vec<String>| {
        hashes.sort();
        hashes
    };
    assert_eq!(sorted(all.clone()), sorted(uploaded));
    let mut pages = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page = listed(&server, &author, &query).await;
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        query = format!("?limit=3&cursor={last}");
        pages.extend(page);
    }
    assert_eq!(pages, all);
    assert!(listed(&server, &author, "?since=99999999999").await.is_empty());
    assert!(listed(&server, &author, "?until=1").await.is_empty());
    assert!(listed(&server, &author, "?limit=0").await.is_empty());
    for wrong in ["?limit=x", "?cursor=x", "?since=-1"] {
        let response = get(address, &format!("/list/{}{wrong}", author.public_key().to_hex()), &[]).await;
        assert_eq!(response.status, 400, "{wrong}");
    }
}

async fn a_blob_of_several_owners_stays_until_the_last_has_deleted_it(servers: &Servers) {
    let server = servers.probe();
    let (address, blob) = (server.address(), fresh_blob());
    let (anna, bob) = (fresh_author(), fresh_author());
    assert_eq!(upload(address, &anna, &blob, "text/plain").await.status, 201);
    assert_eq!(upload(address, &bob, &blob, "image/png").await.status, 200);
    let hash = sha256(&blob);
    assert_eq!(delete(address, &anna, &hash).await.status, 204);
    let read = get(address, &format!("/{hash}"), &[]).await;
    assert_eq!(
        (read.status, read.header("content-type")),
        (200, Some("text/plain")),
        "the type of the first"
    );
    assert_eq!(
        (listed(&server, &anna, "").await.len(), listed(&server, &bob, "").await),
        (0, vec![hash.clone()])
    );
    assert_eq!(delete(address, &bob, &hash).await.status, 204);
    assert_eq!(get(address, &format!("/{hash}"), &[]).await.status, 404);
}

async fn a_large_blob_is_the_same_when_it_is_read(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    let mut blob = fresh_blob();
    blob.extend((0_u32..3_000_000).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]));
    let created = upload(address, &author, &blob, "application/octet-stream").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = format!("/{}", sha256(&blob));
    let read = get(address, &path, &[]).await;
    assert!(read.body == blob, "{} bytes", read.body.len());
    let part = get(address, &path, &[("range", "bytes=1000000-2999999")]).await;
    assert!(part.body == blob[1_000_000..3_000_000], "{} bytes", part.body.len());
    assert_eq!(upload(address, &fresh_author(), &blob, "").await.status, 200);
}

async fn blobs_outlive_a_restart(servers: &Servers) {
    let server = servers.own("probe");
    let (author, blob) = (fresh_author(), fresh_blob());
    upload(server.address(), &author, &blob, "text/plain").await;
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(get(server.address(), &format!("/{}", sha256(&blob)), &[]).await.body, blob);
    assert_eq!(listed(&server, &author, "").await, [sha256(&blob)]);
    assert_eq!(delete(server.address(), &author, &sha256(&blob)).await.status, 204);
}

async fn a_blob_cannot_act_as_a_page_of_the_server(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    for media_type in ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"] {
        let blob = fresh_blob();
        let created = upload(address, &author, &blob, media_type).await;
        assert_eq!(created.status, 201, "{created:?}");
        let read = get(address, &format!("/{}", sha256(&blob)), &[]).await;
        assert_eq!(read.header("content-type"), Some(media_type));
        assert_eq!(read.header("x-content-type-options"), Some("nosniff"));
        let policy = read.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("sandbox; default-src 'none'") && !policy.contains("allow-"), "{policy}");
    }
}

async fn a_blob_ends_when_its_time_is_over(servers: &Servers) {
    let variables = [("BLOSSOM_UPLOAD", "any".to_owned()), ("BLOSSOM_TTL", "3s".to_owned())];
    let server = servers.own_with("hello-world", &variables);
    let (address, author, blob) = (server.address(), fresh_author(), fresh_blob());
    let path = format!("/{}", sha256(&blob));
    assert_eq!(upload(address, &author, &blob, "text/plain").await.status, 201);
    let read = get(address, &path, &[]).await;
    assert_eq!((read.status, &read.body), (200, &blob));
    assert!(read.header("sunset").is_some_and(|date| date.ends_with(" GMT")), "{read:?}");
    let policy = read.header("cache-control").unwrap_or_default().to_owned();
    assert!(["0", "1", "2", "3"].iter().any(|age| policy.contains(&format!("max-age={age},"))), "{policy}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let end = Instant::now() + Duration::from_secs(20);
    while get(address, &path, &[]).await.status != 404 {
        assert!(Instant::now() < end, "it is still there");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(listed(&server, &author, "").await.is_empty());
    assert_eq!(upload(address, &author, &blob, "text/plain").await.status, 201, "it may come back");
}
