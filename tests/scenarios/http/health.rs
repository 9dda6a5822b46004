//! `GET /health` of a native server whose disk is full.

use std::os::unix::fs::symlink;

use openagents_tests::http::request;
use openagents_tests::server::Host;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        a_server_on_a_full_disk_is_not_healthy,
    }
}

async fn a_server_on_a_full_disk_is_not_healthy(servers: &Servers) {
    let server = servers.own("hello-world");
    let file = server.data().join("health-check");
    // Whatever is written to this file finds the disk full.
    let full = |_: &std::path::Path| symlink("/dev/full", &file).map_err(|error| error.to_string());
    server.while_stopped_and_unwell(full).expect("it listens");
    let health = request(server.address(), "GET", "/health", &[]).await.expect("an answer");
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("failing")));
    let page = request(server.address(), "GET", "/", &[]).await.expect("an answer");
    assert_eq!(page.status, 200);
    // Whoever writes the file removes it afterwards, so there is space again.
    server.while_stopped(|_| Ok(())).expect("it is healthy again");
}
