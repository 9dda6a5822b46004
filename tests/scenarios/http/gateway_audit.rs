//! The gateway's audit: a record of each request, in R2 or in the data folder.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use nostr_sdk::nostr::Keys;
use openagents_tests::backend::Backend;
use openagents_tests::blobs::sha256;
use openagents_tests::events::{fresh_author, now};
use openagents_tests::http::{Response, authorization, request, request_with_body};
use openagents_tests::server::{Host, Object, Server, binary};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::servers::{Servers, runs_long, scenarios};

scenarios! {
    on Host::ALL => {
        refused_requests_are_one_record_a_minute,
        as_many_requests_at_once_are_as_many_records,
        a_processed_request_is_a_record,
        a_request_without_a_backend_is_a_record,
        the_audit_is_for_operators,
        the_example_answers_as_its_document_says,
    }
    on [Host::Native, Host::NativeForgetful] => {
        a_record_that_cannot_be_stored_is_kept_and_stored_later,
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// How long records that were kept may take until they are stored.
const PATIENCE: Duration = Duration::from_secs(60);

fn gateway(servers: &Servers, backend: &Backend, others: &[(&'static str, &str)]) -> Server {
    let mut variables = vec![("AUMOS_API_URL", backend.url.clone())];
    variables.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
    servers.own_with("probe", &variables)
}

async fn act(server: &Server, action: &str) -> Response {
    let body = json!({ "action": action, "payload": { "prompt": "hello" } }).to_string();
    request_with_body(server.address(), "POST", "/", &[JSON], body).await.expect("an answer")
}

/// What the agent itself reads at a path.
async fn read(server: &Server, path: &str) -> Response {
    read_as(server, server.keys().expect("a key"), path).await
}

async fn read_as(server: &Server, author: &Keys, path: &str) -> Response {
    let url = format!("http://{}{path}", server.address());
    let header = authorization(author, now(), "GET", &url);
    request(server.address(), "GET", path, &[("Authorization", &header)]).await.expect("an answer")
}

/// All keys, page by page.
async fn keys(server: &Server) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let page = read(server, &format!("/audit?limit=1000&after={after}")).await;
        assert_eq!(page.status, 200, "{}", String::from_utf8_lossy(&page.body));
        let page = page.json();
        let listed = page["keys"].as_array().expect("keys");
        keys.extend(listed.iter().map(|key| key.as_str().expect("a key").to_owned()));
        let Some(next) = page["next"].as_str() else { return keys };
        next.clone_into(&mut after);
    }
}

/// The keys, once there are so many.
async fn keys_once(server: &Server, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let keys = keys(server).await;
        if keys.len() >= count || Instant::now() > deadline {
            return keys;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn record(server: &Server, key: &str) -> Value {
    let record = read(server, &format!("/{key}")).await;
    assert_eq!((record.status, record.header("cache-control")), (200, Some("no-store")), "{key}");
    record.json()
}

async fn a_processed_request_is_a_record(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[("GATEWAY_TIMEOUT_SECONDS", "2")]);
    let mut expected = Vec::new();
    for (action, status, backend_status) in [
        ("evaluate", 200, json!(200)),
        ("nothing", 200, json!(204)),
        ("refuse", 422, json!(422)),
        ("fail", 502, json!(500)),
        ("text", 502, json!(200)),
        ("busy", 503, json!(503)),
        ("hang-up", 502, Value::Null),
        ("sleep", 504, Value::Null),
    ] {
        let response = act(&server, action).await;
        assert_eq!(response.status, status, "{action}");
        expected.push((
            response.header("x-request-id").expect("an id").to_owned(),
            action,
            status,
            backend_status,
        ));
    }
    let keys = keys(&server).await;
    assert_eq!(keys.len(), expected.len(), "they are there with the answer: {keys:?}");
    for (key, (id, action, status, backend_status)) in keys.iter().zip(&expected) {
        let record = record(&server, key).await;
        let millis = key.trim_start_matches("audit/").trim_end_matches(".json");
        assert!(millis.len() == 13 && millis.parse::<u64>().is_ok(), "{key}");
        let payload = r#"{"prompt":"hello"}"#;
        for (field, value) in [
            ("kind", json!("request")),
            ("request_id", json!(id)),
            ("action", json!(action)),
            ("status", json!(status)),
            ("backend_status", backend_status.clone()),
            ("payload_bytes", json!(payload.len())),
            ("payload_sha256", json!(sha256(payload.as_bytes()))),
            ("payload", Value::Null),
        ] {
            assert_eq!(record[field], value, "{field} of {record}");
        }
        assert!(record["milliseconds"].is_u64() && record["timestamp"].is_string(), "{record}");
    }
    if servers.host() != Host::Workerd {
        let file = server.data().join(&keys[0]);
        let stored: Value = serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON");
        assert_eq!(stored["request_id"], json!(expected[0].0));
    }
    // Only what is asked for.
    let second = keys[1].trim_start_matches("audit/").trim_end_matches(".json");
    let rest = read(&server, &format!("/audit?from={second}")).await.json();
    assert_eq!(rest, json!({ "keys": keys[1..], "next": null }));
    let first = read(&server, &format!("/audit?to={second}")).await.json();
    assert_eq!(first, json!({ "keys": keys[..1], "next": null }));
    assert_eq!(read(&server, "/audit?from=5").await.json()["keys"], json!(keys));
    let page = read(&server, "/audit?limit=2&prefix=audit/").await.json();
    assert_eq!(page, json!({ "keys": keys[..2], "next": keys[1] }));
}

/// Workerd's bucket fails for a tenth of the puts, half of them after the object was stored.
async fn as_many_requests_at_once_are_as_many_records(servers: &Servers) {
    let count = if runs_long() { 5_000 } else { 400 };
    let backend = Backend::start().await;
    let failing: &[(&str, &str)] = match servers.host() {
        Host::Workerd => &[("TEST_FAILING_PUTS", "AUDIT:20"), ("LOG_LEVEL", "error")],
        Host::Native | Host::NativeForgetful => &[],
    };
    let server = gateway(servers, &backend, failing);
    let ids: BTreeSet<String> = stream::iter(0..count)
        .map(async |number| {
            if number == count / 2 && servers.host() == Host::Workerd {
                server.hibernate(Object::Agent).expect("it is evicted");
            }
            let response = act(&server, "evaluate").await;
            assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
            response.header("x-request-id").expect("an id").to_owned()
        })
        .buffer_unordered(64)
        .collect()
        .await;
    assert_eq!(ids.len(), count);
    let keys = keys_once(&server, count).await;
    assert_eq!(keys.len(), count);
    let recorded: BTreeSet<String> = stream::iter(&keys)
        .map(async |key| record(&server, key).await["request_id"].as_str().expect("an id").to_owned())
        .buffer_unordered(16)
        .collect()
        .await;
    assert!(recorded == ids, "each request has one record");
}

async fn a_request_without_a_backend_is_a_record(servers: &Servers) {
    let nobody =
        TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    for (url, status) in [(Some(format!("http://{nobody}/")), 502), (None, 503)] {
        let variables: Vec<_> = url.into_iter().map(|url| ("AUMOS_API_URL", url)).collect();
        let server = servers.own_with("probe", &variables);
        assert_eq!(act(&server, "evaluate").await.status, status);
        let keys = keys(&server).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        let record = record(&server, &keys[0]).await;
        assert_eq!(
            (&record["status"], &record["backend_status"]),
            (&json!(status), &Value::Null),
            "{record}"
        );
    }
}

async fn refused_requests_are_one_record_a_minute(servers: &Servers) {
    let backend = Backend::start().await;
    let limits = [
        ("GATEWAY_MAX_REQUESTS_PER_MINUTE", "8"),
        ("RELAY_LIMIT_LOOPBACK", "true"),
        ("RELAY_MAX_CONNECTIONS_PER_ADDRESS", "1000"),
    ];
    let server = gateway(servers, &backend, &limits);
    // Not across the end of a minute.
    if now() % 60 > 50 {
        sleep(Duration::from_secs(60 - now() % 60)).await;
    }
    let (nested, long) = (r#"{"a":"#.repeat(64), " ".repeat(300_000));
    let wrong_action = r#"{"action":"a b","payload":{"prompt":""}}"#;
    let text = ("Content-Type", "text/plain");
    for (content_type, body, status) in [
        (JSON, "{", 400),
        (JSON, "[]", 400),
        (JSON, "", 400),
        (JSON, r#"{"action":"a"}"#, 400),
        (JSON, wrong_action, 400),
        (JSON, &nested, 400),
        (JSON, &long, 413),
        (text, wrong_action, 415),
        (JSON, "{", 429),
        (JSON, r#"{"action":"a","payload":{"prompt":""}}"#, 429),
    ] {
        let response = request_with_body(server.address(), "POST", "/", &[content_type], body).await;
        assert_eq!(response.expect("an answer").status, status, "{body:.80}");
    }
    // No request of the gateway at all.
    let other = request_with_body(server.address(), "PUT", "/", &[JSON], "{}").await.expect("an answer");
    assert_eq!(other.status, 405);
    assert!(keys(&server).await.is_empty());
    let keys = keys_once(&server, 1).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let record = record(&server, &keys[0]).await;
    assert_eq!(
        (&record["kind"], &record["malformed"], &record["rate_limited"]),
        (&json!("refused_requests"), &json!(8), &json!(2)),
        "{record}"
    );
}

async fn a_record_that_cannot_be_stored_is_kept_and_stored_later(servers: &Servers) {
    let backend = Backend::start().await;
    let server = gateway(servers, &backend, &[]);
    // The folder cannot be made where there is a file.
    let folder = server.data().join("audit");
    std::fs::write(&folder, "").expect("a file");
    for _ in 0..3 {
        assert_eq!(act(&server, "evaluate").await.status, 200);
    }
    assert_eq!(read(&server, "/audit").await.status, 503);
    server.kill_and_restart().expect("it starts again");
    std::fs::remove_file(&folder).expect("the file");
    assert_eq!(keys_once(&server, 3).await.len(), 3);
}

async fn the_audit_is_for_operators(servers: &Servers) {
    let backend = Backend::start().await;
    let operator = fresh_author();
    let server = gateway(servers, &backend, &[("ADMIN_PUBKEYS", &operator.public_key().to_hex())]);
    assert_eq!(act(&server, "evaluate").await.status, 200);
    let unsigned = request(server.address(), "GET", "/audit", &[]).await.expect("an answer");
    assert_eq!((unsigned.status, unsigned.header("www-authenticate")), (401, Some("Nostr")));
    assert_eq!(read_as(&server, &fresh_author(), "/audit").await.status, 403);
    for (path, status) in [
        ("/audit/1.json", 404),
        ("/audit/..%2Fagent.nsec", 404),
        ("/audit/agent.sqlite", 404),
        ("/audit?from=yesterday", 400),
        ("/audit?prefix=..", 200),
    ] {
        assert_eq!(read_as(&server, &operator, path).await.status, status, "{path}");
    }
    let key = keys(&server).await.remove(0);
    let url = format!("http://{}", server.address());
    for (arguments, expected) in
        [(&["list", "--prefix", "audit/"][..], key.as_str()), (&["get", &key], r#""action":"evaluate""#)]
    {
        let mut command = Command::new(binary("probe"));
        command.arg("audit").args(arguments).args(["--url", &url]).current_dir(server.data());
        command.env("NOSTR_PRIVATE_KEY", operator.secret_key().to_secret_hex());
        let output = command.output().await.expect("it runs");
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains(expected), "{arguments:?}: {text}{errors}");
    }
}

async fn the_example_answers_as_its_document_says(servers: &Servers) {
    let backend = Backend::start().await;
    let variables = [("AUMOS_API_URL", backend.url.clone()), ("AUMOS_API_KEY", "top-secret".to_owned())];
    let server = servers.own_with("edge-gateway", &variables);
    let mut command = Command::new("curl");
    command.args(["-s", "-X", "POST", &format!("http://{}", server.address())]);
    command.args(["-H", "Content-Type: application/json"]);
    command.args(["-d", r#"{"action": "evaluate", "payload": {"prompt": "hello"}}"#]);
    let output = command.output().await.expect("curl runs");
    let response: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&response["status"], &response["result"]["score"]),
        (&json!("success"), &json!(1.5)),
        "{response}"
    );
    assert_eq!(backend.received("evaluate")[0].header("authorization"), json!("Bearer top-secret"));
    assert_eq!(keys(&server).await.len(), 1);
}
