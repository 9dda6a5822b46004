//! The HTTP routes that an agent declares (`#[route]`).

use std::time::{Duration, Instant};

use nostr_sdk::nostr::ToBech32 as _;
use openagents_tests::events::fresh_author;
use openagents_tests::http::{Response, request, request_with_body};
use openagents_tests::jobs;
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    a_route_is_reached_at_the_root_and_below_its_agent,
    a_change_is_committed_before_its_response,
    a_route_gets_all_of_its_request,
    a_request_that_does_not_fit_is_told_what_is_expected,
    a_body_that_is_too_long_is_refused,
    a_route_that_fails_keeps_its_secrets_and_changes_nothing,
    a_running_job_does_not_hold_up_a_route,
    a_route_that_runs_alone_waits_for_jobs_but_not_for_ever,
    a_network_may_make_only_so_many_requests,
    the_manifest_lists_the_routes,
];

async fn send(server: &Server, method: &str, path: &str, body: &str) -> Response {
    request_with_body(server.address(), method, path, &[], body).await.expect("a response")
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).expect("text")
}

async fn count(server: &Server) -> String {
    text(&send(server, "GET", "/count", "").await)
}

async fn a_route_is_reached_at_the_root_and_below_its_agent(servers: &Servers) {
    let server = servers.own("probe");
    let npub = server.agent().to_bech32().expect("an npub");
    for agent in [npub, server.agent().to_hex(), "probe".to_owned()] {
        let response = send(&server, "GET", &format!("/agent/{agent}/count"), "").await;
        assert_eq!((response.status, text(&response).as_str()), (200, "0"), "{agent}");
    }
    assert_eq!(count(&server).await, "0");
    let head = send(&server, "HEAD", "/count", "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("1"), 0));
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    for path in ["/agent/other/count", "/agent/count", "/count/", "/sum", "/agent/probe/count/x"] {
        assert_eq!(send(&server, "GET", path, "").await.status, 404, "{path}");
    }
    let refused = send(&server, "PUT", "/count", "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST, GET, HEAD, OPTIONS")));
    assert_eq!(send(&server, "OPTIONS", "/count", "").await.status, 204);
}

async fn a_change_is_committed_before_its_response(servers: &Servers) {
    let server = servers.own("probe");
    for expected in ["1", "2"] {
        assert_eq!(text(&send(&server, "POST", "/count", "").await), expected);
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(count(&server).await, expected);
    }
}

async fn a_route_gets_all_of_its_request(servers: &Servers) {
    let server = servers.probe();
    let headers = [("X-Probe", "seen"), ("Content-Type", "text/plain")];
    let path = "/agent/probe/mirrored?status=201&value=a%20b&value=c+d";
    let response =
        request_with_body(server.address(), "PATCH", path, &headers, "ü").await.expect("a response");
    assert_eq!((response.status, response.header("x-answer")), (201, Some("from the probe")));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let expected = json!({
        "method": "PATCH", "path": "/agent/probe/mirrored", "values": ["a b", "c d"], "header": "seen", "body": "ü",
    });
    assert_eq!(response.json(), expected);
    assert_eq!(send(&server, "PATCH", "/mirrored?status=204", "").await.status, 204);
}

async fn a_request_that_does_not_fit_is_told_what_is_expected(servers: &Servers) {
    let server = servers.probe();
    let sum = async |body: &str| send(&server, "PUT", "/sum/of/parts", body).await;
    assert_eq!(sum(r#"{"parts": [1, 2]}"#).await.json(), 3);
    let response = sum(r#"{"parts": "x"}"#).await;
    assert_eq!(response.status, 400);
    let expected = "the body is not the JSON that this route takes: invalid type: string \"x\", expected a sequence at line 1 column 13\n";
    assert_eq!(text(&response), expected);
    let no_text = request_with_body(server.address(), "PATCH", "/mirrored", &[], b"\xff").await;
    assert_eq!(no_text.expect("a response").status, 400);
}

async fn a_body_that_is_too_long_is_refused(servers: &Servers) {
    let server = servers.probe();
    let long = format!(r#"{{"parts": [{}1]}}"#, "1,".repeat(500));
    let refused = send(&server, "PUT", "/sum/of/parts", &long).await;
    assert_eq!((refused.status, text(&refused).as_str()), (413, "The body may have 1000 bytes.\n"));
}

async fn a_route_that_fails_keeps_its_secrets_and_changes_nothing(servers: &Servers) {
    let server = servers.own("probe");
    for (how, told) in [
        ("error", "the agent failed to answer this request\n"),
        ("panic", "the agent failed to answer this request\n"),
        ("hang", "the agent did not finish within 1s\n"),
        ("other", "no such failure\n"),
    ] {
        let response = send(&server, "DELETE", "/fail", how).await;
        assert_eq!((response.status, text(&response).as_str()), (500, told), "{how}");
    }
    assert_eq!(count(&server).await, "0");
}

/// Has the probe do a job of this kind for some milliseconds.
async fn work(server: &Server, client: &mut Client, kind: u16, milliseconds: &str) {
    let params = [("milliseconds", milliseconds)];
    let request = jobs::request(&fresh_author(), kind, Some(server.agent()), "x", &params);
    client.publish_accepted(&request).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn a_running_job_does_not_hold_up_a_route(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    work(&server, &mut client, 5904, "6000").await;
    let asked = Instant::now();
    assert_eq!(count(&server).await, "0");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

async fn a_route_that_runs_alone_waits_for_jobs_but_not_for_ever(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    work(&server, &mut client, 5904, "3000").await;
    let asked = Instant::now();
    assert_eq!(text(&send(&server, "POST", "/count", "").await), "1");
    assert!(asked.elapsed() > Duration::from_secs(1), "{:?}", asked.elapsed());
    work(&server, &mut client, 5904, "60000").await;
    // The client of these tests waits for ten seconds, and so does a request.
    let waiting = tokio::spawn(request_until_answered(server.address().to_owned()));
    let (status, retry_after) = waiting.await.expect("a response");
    assert_eq!((status, retry_after.as_deref()), (503, Some("10")));
    assert_eq!(count(&server).await, "1");
}

/// Like `request`, for a response that takes longer than ten seconds.
async fn request_until_answered(address: String) -> (u16, Option<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    let head =
        format!("POST /count HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut lines = response.lines();
    let retry_after = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("retry-after").then(|| value.to_owned())
    });
    (status.expect("a status"), retry_after)
}

async fn a_network_may_make_only_so_many_requests(servers: &Servers) {
    let variables = [
        ("RELAY_MAX_REQUESTS_PER_MINUTE", "1".to_owned()),
        ("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ];
    let server = servers.own_with("probe", &variables);
    let status = async |address: &str| {
        let headers = [("X-Forwarded-For", address), ("CF-Connecting-IP", address)];
        let response = request(server.address(), "GET", "/count", &headers).await.expect("a response");
        if response.status == 429 {
            assert!(text(&response).contains("too many requests; try again in "), "{}", text(&response));
        }
        response.status
    };
    for expected in [200, 200, 200, 200, 429] {
        assert_eq!(status("203.0.113.7").await, expected);
    }
    assert_eq!(status("203.0.113.8").await, 200);
}

async fn the_manifest_lists_the_routes(servers: &Servers) {
    let server = servers.probe();
    let manifest = send(&server, "GET", "/agent/probe/manifest.json", "").await.json();
    let routes = manifest["capabilities"]["routes"].as_array().expect("a list");
    let listed = json!({
        "method": "GET", "path": "/count", "description": "Shows the count.",
    });
    assert!(routes.contains(&listed), "{routes:?}");
    let page = text(&send(&server, "GET", "/", "").await);
    assert!(page.contains("\nGET /count  Shows the count.\n"), "{page}");
}
