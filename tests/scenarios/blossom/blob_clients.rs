//! Blossom clients of others, as their users would run them: blossom-client-sdk, nostr-tools and NDK.

use crate::clients::foreign_clients::{node, run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    blossom_client_sdk_uploads_reads_lists_mirrors_and_deletes,
    nostr_tools_uploads_reads_lists_mirrors_and_deletes,
    ndk_uploads_reads_lists_and_deletes,
];

async fn with_client(servers: &Servers, script: &str) {
    let variables = [("BLOSSOM_UPLOAD", "any".to_owned()), ("ALLOW_PRIVATE_ADDRESSES", "true".to_owned())];
    let (server, second) = (servers.probe(), servers.own_with("hello-world", &variables));
    let url = |address: &str| format!("http://{address}");
    let output = run(node(script, &[&url(server.address()), &url(second.address())])).await;
    assert!(output.status.success(), "{}", shown(&output));
}

async fn blossom_client_sdk_uploads_reads_lists_mirrors_and_deletes(servers: &Servers) {
    with_client(servers, "blossom-client-sdk.mjs").await;
}

async fn nostr_tools_uploads_reads_lists_mirrors_and_deletes(servers: &Servers) {
    with_client(servers, "blossom-nostr-tools.mjs").await;
}

async fn ndk_uploads_reads_lists_and_deletes(servers: &Servers) {
    with_client(servers, "blossom-ndk.mjs").await;
}
