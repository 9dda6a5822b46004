//! `POST /` with JSON: the gateway to an operator's backend, on every host.

use std::time::{Duration, Instant};

use openagents_tests::backend::Backend;
use openagents_tests::http::{Response, request, request_with_body};
use openagents_tests::server::{Host, Object, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        a_request_is_forwarded_and_its_result_returned,
        a_request_that_is_wrong_is_not_forwarded,
        a_backend_that_fails_is_reported,
        a_request_is_sent_again_only_if_the_backend_did_not_begin,
        a_client_has_its_share_of_requests,
        a_deployment_says_what_it_lacks,
    }
    on [Host::Native, Host::NativeForgetful] => {
        a_body_that_is_shorter_than_announced_or_late_is_refused,
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The document's example.
const EVALUATE: &str = r#"{"action": "evaluate", "payload": {"prompt": "hello"}}"#;

fn gateway(servers: &Servers, backend: &Backend, others: &[(&'static str, &str)]) -> Server {
    let mut variables =
        vec![("AUMOS_API_URL", backend.url.clone()), ("AUMOS_API_KEY", "top-secret".to_owned())];
    variables.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
    servers.own_with("probe", &variables)
}

async fn post(server: &Server, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Response {
    request_with_body(server.address(), "POST", "/", headers, body).await.expect("an answer")
}

async fn act(server: &Server, action: &str) -> Response {
    let body = json!({ "action": action, "payload": { "prompt": "hello", "context": {} } });
    post(server, body.to_string(), &[JSON]).await
}

/// The status and the error's code; the response must have the form of a gateway's.
fn refusal(response: &Response) -> (u16, String) {
    let body = response.json();
    assert_eq!(
        (&body["status"], response.header("content-type")),
        (&json!("error"), Some("application/json"))
    );
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_timestamp(&body);
    (response.status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// ISO 8601 in UTC with milliseconds.
fn assert_timestamp(body: &Value) {
    let text = body["timestamp"].as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{body}");
}

async fn a_request_is_forwarded_and_its_result_returned(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[]);
    let sent = [JSON, ("Cookie", "a=b"), ("Authorization", "Bearer mine"), ("X-Probe", "7")];
    let response = post(&server, EVALUATE, &sent).await;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 200, "{text}");
    // The result's numbers are as the backend wrote them.
    assert!(
        text.starts_with(r#"{"status":"success","result":{ "score": 1.50, "n": 12345678901234567890 },"#),
        "{text}"
    );
    assert_timestamp(&response.json());
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("cache-control", Some("no-store")),
        ("access-control-allow-origin", Some("*")),
        ("set-cookie", None),
        ("x-backend", None),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    let received = backend.received("evaluate");
    assert_eq!(received.len(), 1);
    assert!(received[0].head.starts_with("POST /agents?v=1 HTTP/1.1\r\n"), "{}", received[0].head);
    assert_eq!(received[0].body, EVALUATE, "byte for byte");
    let id = response.header("x-request-id").expect("an id");
    for (name, value) in [
        ("authorization", json!("Bearer top-secret")),
        ("content-type", json!("application/json")),
        ("idempotency-key", json!(id)),
        ("x-request-id", json!(id)),
        ("cookie", Value::Null),
        ("x-probe", Value::Null),
    ] {
        assert_eq!(received[0].header(name), value, "{name}");
    }
    let nothing = act(&server, "nothing").await;
    assert_eq!((nothing.status, &nothing.json()["result"]), (200, &Value::Null));
    // Other requests to `/` are still answered by the relay and the agent.
    let page = request(server.address(), "GET", "/", &[]).await.expect("an answer");
    assert_eq!(page.status, 200);
}

async fn a_request_that_is_wrong_is_not_forwarded(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[]);
    let nested = format!(r#"{{"action":"a","payload":{{"prompt":"","context":{}}}}}"#, r#"{"a":"#.repeat(64));
    let long = format!(r#"{{"action":"a","payload":{{"prompt":"{}"}}}}"#, "x".repeat(256 * 1024));
    for (body, content_type, status, code) in [
        (EVALUATE, "text/plain", 415, "unsupported_media_type"),
        (EVALUATE, "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("", "application/json", 400, "invalid_json"),
        ("{\"action\": ", "application/json", 400, "invalid_json"),
        ("[1]", "application/json", 400, "invalid_request"),
        (r#"{"payload": {"prompt": "hello"}}"#, "application/json; charset=utf-8", 400, "invalid_request"),
        (r#"{"action": "evaluate", "payload": "hello"}"#, "application/json", 400, "invalid_request"),
        (r#"{"action": "../x", "payload": {"prompt": "hello"}}"#, "application/json", 400, "invalid_action"),
        (&nested, "application/json", 400, "too_deep"),
        (&long, "application/json", 413, "too_long"),
    ] {
        let response = post(&server, body, &[("Content-Type", content_type)]).await;
        assert_eq!(refusal(&response), (status, code.to_owned()), "{content_type} {body:.80}");
    }
    let encoded = post(&server, EVALUATE, &[JSON, ("Content-Encoding", "gzip")]).await;
    assert_eq!(refusal(&encoded), (415, "unsupported_media_type".to_owned()));
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer =
            request_with_body(server.address(), method, "/", &[JSON], EVALUATE).await.expect("an answer");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD, POST, OPTIONS")),
            "{method}"
        );
    }
    assert_eq!(backend.count(), 0);
}

async fn a_backend_that_fails_is_reported(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[("GATEWAY_TIMEOUT_SECONDS", "2")]);
    for (action, status, code) in [
        ("text", 502, "backend_response"),
        ("large", 502, "backend_response"),
        ("redirect", 502, "backend_response"),
        ("fail", 502, "backend_failed"),
        ("refuse-the-key", 502, "backend_failed"),
        ("hang-up", 502, "backend_unreachable"),
        ("busy", 503, "backend_busy"),
        ("refuse", 422, "backend_refused"),
        ("sleep", 504, "backend_timeout"),
    ] {
        let response = act(&server, action).await;
        assert_eq!(refusal(&response), (status, code.to_owned()), "{action}");
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!body.contains("stack trace") && !body.contains("127.0.0.1"), "{action}: {body}");
        assert_eq!(backend.received(action).len(), 1, "{action}");
        let refused = json!({ "reason": "too rude" });
        let details = response.json()["error"]["details"].clone();
        assert_eq!(details, if action == "refuse" { refused } else { Value::Null }, "{action}");
        assert_eq!(response.header("retry-after"), (action == "busy").then_some("60"), "{action}");
    }
    assert_eq!(backend.count(), 9, "the redirect was not followed");
}

async fn a_request_is_sent_again_only_if_the_backend_did_not_begin(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[]);
    assert_eq!(act(&server, "busy-at-first").await.status, 200);
    let received = backend.received("busy-at-first");
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("idempotency-key"), received[1].header("idempotency-key"));
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let server = servers.own_with("probe", &[("AUMOS_API_URL", format!("http://{port}/"))]);
    assert_eq!(refusal(&act(&server, "evaluate").await), (502, "backend_unreachable".to_owned()));
}

async fn a_client_has_its_share_of_requests(servers: &Servers) {
    let backend = Backend::start().await;
    let limited = [("GATEWAY_MAX_REQUESTS_PER_MINUTE", "5"), ("RELAY_TRUSTED_PROXIES", "127.0.0.1")];
    let limited = if servers.host() == Host::Workerd { &limited[..1] } else { &limited[..] };
    let server = gateway(servers, &backend, limited);
    let post_from = async |address: &str, body: &str| {
        post(&server, body, &[JSON, ("X-Forwarded-For", address), ("CF-Connecting-IP", address)]).await
    };
    let begun = Instant::now();
    for number in 0..5 {
        // One that is malformed counts like the others.
        let (body, expected) = if number == 0 { ("{", 400) } else { (EVALUATE, 200) };
        assert_eq!(post_from("192.0.2.1", body).await.status, expected, "{number}");
    }
    let is_early = || begun.elapsed() < Duration::from_secs(10);
    let response = post_from("192.0.2.1", EVALUATE).await;
    if is_early() {
        assert_eq!(refusal(&response), (429, "rate_limited".to_owned()));
        let seconds: u64 =
            response.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
        assert!((1..=12).contains(&seconds), "{seconds}");
    }
    assert_eq!(post_from("192.0.2.2", EVALUATE).await.status, 200, "another client");
    // Neither an eviction nor a restart gives a client more.
    match servers.host() {
        Host::Workerd => server.hibernate(Object::Agent).expect("it is evicted"),
        Host::Native | Host::NativeForgetful => server.kill_and_restart().expect("it starts again"),
    }
    let again = post_from("192.0.2.1", EVALUATE).await;
    assert!(again.status == 429 || !is_early(), "{}", again.status);
    // This machine has no limit.
    for _ in 0..10 {
        let response = post(&server, EVALUATE, &[JSON]).await;
        assert!(servers.host() != Host::Workerd || response.status == 200, "{}", response.status);
    }
}

async fn a_deployment_says_what_it_lacks(servers: &Servers) {
    let without_gateway = post(&servers.hello_world(), EVALUATE, &[JSON]).await;
    assert_eq!(refusal(&without_gateway), (404, "no_gateway".to_owned()));
    let without_backend = post(&servers.probe(), EVALUATE, &[JSON]).await;
    assert_eq!(refusal(&without_backend), (503, "no_backend".to_owned()));
    assert!(String::from_utf8_lossy(&without_backend.body).contains("AUMOS_API_URL"));
}

async fn a_body_that_is_shorter_than_announced_or_late_is_refused(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[]);
    let begin = async || {
        let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(format!("{head}{EVALUATE}").as_bytes()).await.expect("sent");
        stream
    };
    let mut short = begin().await;
    short.shutdown().await.expect("ended");
    let mut late = begin().await;
    let mut answer = vec![0; 4096];
    let length = late.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(r#""code":"slow_body""#), "{answer}");
    assert_eq!(backend.count(), 0);
}
