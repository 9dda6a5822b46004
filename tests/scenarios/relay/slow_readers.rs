//! Clients that request more than they read: they delay nobody else.

use std::time::{Duration, Instant};

use openagents_tests::events::{event, fresh_author};
use openagents_tests::raw::{RawSocket, frame, opcode};
use openagents_tests::server::Host;
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![a_client_that_reads_nothing_holds_up_nobody];

/// How often each event is sent to a slow reader.
const SUBSCRIPTIONS: usize = 16;
const LENGTH: usize = 100_000;
const EVENTS: usize = 40;

async fn a_client_that_reads_nothing_holds_up_nobody(servers: &Servers) {
    let server = servers.own("hello-world");
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()], "limit": 0});
    let mut slow = RawSocket::connect(server.address()).await;
    for number in 0..SUBSCRIPTIONS {
        let request = json!(["REQ", number.to_string(), filter]).to_string();
        slow.send(&frame(true, opcode::TEXT, request.as_bytes())).await;
        assert!(slow.receive().await.is_some());
    }
    let mut quick = Client::connect(&server.url()).await;
    quick.subscribe("quick", &[filter]).await;
    // 64 MB for the client that does not read.
    let mut publisher = Client::connect(&server.url()).await;
    let mut slowest = Duration::ZERO;
    for number in 0..EVENTS {
        let event = event(&author, 1, &[], &format!("{number}{}", "x".repeat(LENGTH)));
        let started = Instant::now();
        publisher.publish_accepted(&event).await;
        assert_eq!(quick.next_event("quick").await, event);
        slowest = slowest.max(started.elapsed());
    }
    assert!(
        slowest < Duration::from_secs(2),
        "an event took {slowest:?} because somebody else does not read"
    );
    // Natively, a client that reads too late does not get everything, since at most 32 MB may wait for a connection;
    // it is told why if it reads within the last second. workerd buffers what waits for a client, without a
    // documented limit.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut received = 0;
    while received < EVENTS * SUBSCRIPTIONS
        && let Some((opcode, _)) = slow.receive().await
    {
        received += usize::from(opcode == opcode::TEXT);
    }
    match servers.host() {
        Host::Workerd => assert_eq!(received, EVENTS * SUBSCRIPTIONS),
        Host::Native | Host::NativeForgetful => {
            assert!(received < EVENTS * SUBSCRIPTIONS, "nothing was dropped")
        }
    }
    quick.expect_alive().await;
}
