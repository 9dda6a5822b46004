//! Uploads that fail in the middle: nothing half is kept, nothing that was accepted is lost.

use std::time::Duration;

use openagents_tests::blobs::{authorization, delete, get, sha256, upload};
use openagents_tests::events::fresh_author;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::servers::{Servers, scenarios};

scenarios![
    an_upload_that_is_cut_off_leaves_nothing,
    a_kill_in_the_middle_of_uploads_loses_nothing_that_was_accepted,
    uploads_and_deletions_of_one_blob_at_once_end_in_one_state,
];

/// Begins an upload of a blob, and sends this much of it.
async fn begin_upload(address: &str, signed: &str, blob: &[u8], sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "PUT /upload HTTP/1.1\r\nhost: {address}\r\nauthorization: {signed}\r\ncontent-length: {}\r\n\r\n",
        blob.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&blob[..sent]).await.expect("sent");
    stream.flush().await.expect("sent");
    stream
}

async fn an_upload_that_is_cut_off_leaves_nothing(servers: &Servers) {
    let server = servers.probe();
    let (address, author) = (server.address(), fresh_author());
    let blob: Vec<u8> = author.public_key().to_bytes().repeat(20_000);
    let hash = sha256(&blob);
    let signed = authorization(&author, "upload", &[&hash]);
    for sent in [0, 1_000, blob.len() / 2, blob.len() - 1] {
        let stream = begin_upload(address, &signed, &blob, sent).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(get(address, &format!("/{hash}"), &[]).await.status, 404, "{sent}");
    }
    let created = upload(address, &author, &blob, "text/plain").await;
    assert_eq!(created.status, 201, "{created:?}");
    assert!(get(address, &format!("/{hash}"), &[]).await.body == blob);
}

async fn a_kill_in_the_middle_of_uploads_loses_nothing_that_was_accepted(servers: &Servers) {
    let server = servers.own("probe");
    let author = fresh_author();
    let mut accepted = Vec::new();
    for round in 0..3 {
        for number in 0..5 {
            let blob = format!("{round} {number} {}", author.public_key());
            if upload(server.address(), &author, blob.as_bytes(), "text/plain").await.status == 201 {
                accepted.push(blob);
            }
        }
        let half: Vec<u8> = format!("{round} {}", author.public_key()).into_bytes().repeat(5_000);
        let signed = authorization(&author, "upload", &[&sha256(&half)]);
        let mut stream = begin_upload(server.address(), &signed, &half, half.len() / 2).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
        let _ = stream.read(&mut [0; 100]).await;
        assert_eq!(get(server.address(), &format!("/{}", sha256(&half)), &[]).await.status, 404);
        let again = upload(server.address(), &author, &half, "text/plain").await;
        assert_eq!(again.status, 201, "{again:?}");
        accepted.push(String::from_utf8(half).expect("text"));
    }
    assert_eq!(accepted.len(), 18);
    for blob in &accepted {
        let read = get(server.address(), &format!("/{}", sha256(blob.as_bytes())), &[]).await;
        assert!(read.body == blob.as_bytes(), "{}", read.status);
    }
}

async fn uploads_and_deletions_of_one_blob_at_once_end_in_one_state(servers: &Servers) {
    let server = servers.probe();
    let address = server.address();
    let (anna, bob) = (fresh_author(), fresh_author());
    let blob = format!("raced by {}", anna.public_key()).into_bytes();
    let hash = sha256(&blob);
    for round in 0..8 {
        upload(address, &anna, &blob, "text/plain").await;
        let (uploaded, deleted, again) = tokio::join!(
            upload(address, &bob, &blob, "text/plain"),
            delete(address, &anna, &hash),
            upload(address, &bob, &blob, "text/plain"),
        );
        assert_eq!(deleted.status, 204, "{round}");
        assert!(uploaded.status < 300 && again.status < 300, "{round}: {uploaded:?} {again:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let read = get(address, &format!("/{hash}"), &[]).await;
        assert!(read.body == blob, "{round}: only Anna has deleted it: {read:?}");
        assert_eq!(delete(address, &bob, &hash).await.status, 204, "{round}");
        assert_eq!(get(address, &format!("/{hash}"), &[]).await.status, 404, "{round}");
    }
}
