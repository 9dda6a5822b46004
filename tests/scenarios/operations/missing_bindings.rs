//! A Worker whose `wrangler.toml` lacks a binding: what needs it says so, everything else works.

use openagents_tests::blobs;
use openagents_tests::events::fresh_author;
use openagents_tests::http::request;
use openagents_tests::jobs::{self, ask};
use openagents_tests::server::Host;
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Workerd] => {
        without_a_bucket_there_is_no_blob_server_and_all_else_works,
        without_the_index_of_blobs_there_is_no_blob_server_and_all_else_works,
    }
}

async fn without_a_bucket_there_is_no_blob_server_and_all_else_works(servers: &Servers) {
    works_without(servers, "BLOBS").await;
}

async fn without_the_index_of_blobs_there_is_no_blob_server_and_all_else_works(servers: &Servers) {
    works_without(servers, "BLOSSOM").await;
}

async fn works_without(servers: &Servers, binding: &'static str) {
    let server = servers.own_without_binding("probe", binding);
    let address = server.address();

    let keys = server.keys().expect("a key");
    let hash = "ab".repeat(32);
    let refused = [
        blobs::upload(address, keys, b"a blob", "text/plain").await,
        blobs::get(address, &format!("/{hash}"), &[]).await,
        blobs::get(address, &format!("/list/{}", server.agent()), &[]).await,
        blobs::delete(address, keys, &hash).await,
        request(address, "HEAD", "/upload", &[]).await.expect("an answer"),
    ];
    for response in refused {
        let reason = response.header("x-reason").unwrap_or_default();
        assert_eq!(response.status, 503, "{response:?}");
        assert!(reason.contains("wrangler.toml") && reason.contains(binding), "{reason}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }

    let mut client = Client::connect(&server.url()).await;
    let done = ask(&mut client, &jobs::request(&fresh_author(), 5900, Some(server.agent()), "a", &[])).await;
    assert_eq!(done.result().content, "a");
    let health = request(address, "GET", "/health", &[]).await.expect("an answer").json();
    let parts = serde_json::json!({ "agent": "ok", "relay": "ok", "blobs": "absent" });
    assert_eq!(health["parts"], parts);
    for path in ["/health", "/metrics", "/", "/.well-known/nostr.json"] {
        let response = request(address, "GET", path, &[]).await.expect("an answer");
        assert_eq!(response.status, 200, "{path}");
    }
}
