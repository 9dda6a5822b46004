//! What anyone may read over HTTP, and what only the agent's operators may.

use nostr_sdk::nostr::{Keys, ToBech32 as _};
use openagents_tests::events::{fresh_author, now};
use openagents_tests::http::{Response, authorization, request};
use openagents_tests::jobs::{self, ask};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    metrics_count_the_jobs,
    metrics_tell_the_memory_of_subscriptions,
    metrics_are_there_as_json_too,
    health_tells_how_much_is_unfinished,
    a_name_leads_to_the_agent,
    a_record_asks_strangers_to_identify_themselves,
    a_record_is_refused_to_other_keys,
    a_record_is_refused_to_an_old_signature,
    a_record_is_refused_to_a_signature_for_another_address_or_method,
    a_record_is_shown_to_the_agent_itself,
    a_record_is_shown_to_the_operators_that_are_named,
    a_record_of_another_agent_is_not_found,
    a_record_can_be_asked_for_from_a_browser,
    the_doors_answer_reading_methods_only,
    the_public_doors_keep_secrets,
];

async fn get(server: &Server, path: &str) -> Response {
    request(server.address(), "GET", path, &[]).await.expect("an answer")
}

/// Sends a request with a signature for it.
async fn get_as(server: &Server, path: &str, keys: &Keys) -> Response {
    let url = format!("http://{}{path}", server.address());
    let header = authorization(keys, now(), "GET", &url);
    request(server.address(), "GET", path, &[("Authorization", &header)]).await.expect("an answer")
}

fn records(server: &Server) -> Vec<String> {
    let agent = server.agent().to_bech32().expect("an npub");
    let id = "ab".repeat(32);
    ["history", "sessions", "memory", "memory/a/b", "state.json"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("history/{id}.json"), format!("sessions/{id}.json")])
        .map(|record| format!("/agent/{agent}/{record}"))
        .collect()
}

async fn metrics_count_the_jobs(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    for (kind, input) in [(5900, "a"), (5900, "b"), (5901, "c")] {
        ask(&mut client, &jobs::request(&customer, kind, Some(server.agent()), input, &[])).await;
    }
    let answer = get(&server, "/metrics").await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain") && kind.contains("version=0.0.4"), "{kind}");
    let text = String::from_utf8(answer.body).expect("text");
    for line in [
        r#"openagents_jobs_total{kind="5900",state="done"} 2"#,
        r#"openagents_jobs_total{kind="5901",state="failed"} 1"#,
        r#"openagents_job_duration_seconds_count{kind="5900",state="done"} 2"#,
        r#"openagents_earned_msat_total{kind="5900"} 0"#,
        "openagents_jobs_unfinished 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains(&customer.public_key().to_hex()), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

async fn metrics_tell_the_memory_of_subscriptions(servers: &Servers) {
    let server = servers.own("probe");
    let memory = async |name: &str| {
        let text = String::from_utf8(get(&server, "/metrics").await.body).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let subscriptions = r#"openagents_relay_client_memory_bytes{use="subscriptions"}"#;
    let before = memory(subscriptions).await;
    let values: Vec<String> = (0..4_000).map(|number| format!("{number:08}")).collect();
    let mut client = Client::connect(&server.url()).await;
    client.subscribe("many", &[json!({"#t": values})]).await;
    let during = memory(subscriptions).await;
    assert!((before + 32_000..before + 300_000).contains(&during), "{before} and then {during}");
    assert!(memory("openagents_relay_client_memory_limit_bytes").await > during);
    client.close("many").await;
    client.expect_alive().await;
    assert!(memory(subscriptions).await < before + 8_000);
}

async fn metrics_are_there_as_json_too(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    ask(&mut client, &jobs::request(&fresh_author(), 5900, Some(server.agent()), "a", &[])).await;
    let metrics = get(&server, &format!("/agent/{}/metrics.json", server.agent())).await.json();
    let row = &metrics["ended"][0];
    assert_eq!((&row["kind"], &row["state"], &row["jobs"]), (&json!(5900), &json!("done"), &json!(1)));
    assert_eq!(metrics["unfinished"], 0);
}

async fn health_tells_how_much_is_unfinished(servers: &Servers) {
    let server = servers.own("probe");
    let health = get(&server, "/health").await.json();
    let parts = json!({ "agent": "ok", "relay": "ok", "blobs": "ok" });
    assert_eq!((&health["unfinished_jobs"], &health["parts"]), (&json!(0), &parts));
    let mut client = Client::connect(&server.url()).await;
    let wait = [("milliseconds", "3000")];
    let slow = jobs::request(&fresh_author(), 5904, Some(server.agent()), "x", &wait);
    let mut said = jobs::listen(&mut client, &slow).await;
    client.publish_accepted(&slow).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while get(&server, "/health").await.json()["unfinished_jobs"] != 1 {
        assert!(std::time::Instant::now() < deadline, "the job was never counted");
    }
    jobs::follow(&mut client, &slow, &mut said, openagents_tests::wire::PATIENCE).await;
    assert_eq!(get(&server, "/health").await.json()["unfinished_jobs"], 0);
}

async fn a_name_leads_to_the_agent(servers: &Servers) {
    let server = servers.probe();
    let key = server.agent().to_hex();
    for (query, name) in [("", "probe"), ("?name=probe", "probe"), ("?name=_", "_")] {
        let answer = get(&server, &format!("/.well-known/nostr.json{query}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.json()["names"], json!({ name: key }), "{query}");
    }
    let nobody = get(&server, "/.well-known/nostr.json?name=somebody").await;
    assert_eq!((nobody.status, nobody.json()), (200, json!({"names": {}})));
}

async fn a_record_asks_strangers_to_identify_themselves(servers: &Servers) {
    let server = servers.probe();
    for path in records(&server) {
        for headers in
            [&[][..], &[("Authorization", "Bearer abc")], &[("Authorization", "Nostr bm90aGluZw==")]]
        {
            let answer = request(server.address(), "GET", &path, headers).await.expect("an answer");
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header("www-authenticate"), Some("Nostr"), "{path}");
            let text = String::from_utf8(answer.body).expect("text");
            assert!(text.contains("27235") && text.contains(server.address()), "{text}");
        }
    }
}

async fn a_record_is_refused_to_other_keys(servers: &Servers) {
    let server = servers.probe();
    for path in records(&server) {
        assert_eq!(get_as(&server, &path, &fresh_author()).await.status, 403, "{path}");
    }
}

async fn a_record_is_refused_to_an_old_signature(servers: &Servers) {
    let server = servers.probe();
    let keys = server.keys().expect("a key");
    for path in records(&server) {
        let url = format!("http://{}{path}", server.address());
        for created_at in [now() - 70, now() + 70] {
            let header = authorization(keys, created_at, "GET", &url);
            let headers = [("Authorization", &*header)];
            let answer = request(server.address(), "GET", &path, &headers).await.expect("an answer");
            assert_eq!(answer.status, 401, "{path}");
        }
    }
}

async fn a_record_is_refused_to_a_signature_for_another_address_or_method(servers: &Servers) {
    let server = servers.probe();
    let keys = server.keys().expect("a key");
    let path = format!("/agent/{}/history?limit=2", server.agent());
    let url = format!("http://{}{path}", server.address());
    for (method, url, status) in [
        ("GET", url.clone(), 200),
        ("get", url.replace("http:", "https:"), 200),
        ("GET", url.replace("limit=2", "limit=3"), 401),
        ("GET", url.replace("?limit=2", ""), 401),
        ("GET", url.replace("history", "sessions"), 401),
        ("GET", url.replace("127.0.0.1", "example.com"), 401),
        ("POST", url.clone(), 401),
        ("HEAD", url.clone(), 401),
    ] {
        let header = authorization(keys, now(), method, &url);
        let headers = [("Authorization", &*header)];
        let answer = request(server.address(), "GET", &path, &headers).await.expect("an answer");
        assert_eq!(answer.status, status, "{method} {url}");
    }
}

async fn a_record_is_shown_to_the_agent_itself(servers: &Servers) {
    let server = servers.probe();
    let keys = server.keys().expect("a key");
    for path in records(&server) {
        let answer = get_as(&server, &path, keys).await;
        // Some of these jobs, customers and keys do not exist.
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
    }
    for name in [server.agent().to_hex(), server.agent().to_bech32().expect("an npub")] {
        let answer = get_as(&server, &format!("/agent/{name}/history?limit=1"), keys).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.json()["jobs"].is_array());
    }
}

async fn a_record_is_shown_to_the_operators_that_are_named(servers: &Servers) {
    let (ada, grace) = (fresh_author(), fresh_author());
    let names = format!("{}, {}", ada.public_key(), grace.public_key().to_bech32().expect("an npub"));
    let server = servers.own_with("probe", &[("ADMIN_PUBKEYS", names)]);
    let path = format!("/agent/{}/history", server.agent());
    for operator in [&ada, &grace, server.keys().expect("a key")] {
        assert_eq!(get_as(&server, &path, operator).await.status, 200);
    }
    assert_eq!(get_as(&server, &path, &fresh_author()).await.status, 403);
}

async fn a_record_of_another_agent_is_not_found(servers: &Servers) {
    let server = servers.probe();
    let other = fresh_author();
    let keys = server.keys().expect("a key");
    for path in ["history", "state.json", "manifest.json", "metrics.json"] {
        let path = format!("/agent/{}/{path}", other.public_key());
        assert_eq!(get_as(&server, &path, keys).await.status, 404, "{path}");
        assert_eq!(get_as(&server, &path, &other).await.status, 404, "{path}");
    }
}

async fn a_record_can_be_asked_for_from_a_browser(servers: &Servers) {
    let server = servers.probe();
    let headers = [
        ("Origin", "https://example.com"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let path = format!("/agent/{}/history", server.agent());
    let answer = request(server.address(), "OPTIONS", &path, &headers).await.expect("an answer");
    assert_eq!(answer.status, 204);
    // For CORS, `*` does not include `authorization`.
    let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
    assert!(allowed.split(',').any(|name| name.trim() == "authorization"), "{allowed}");
}

async fn the_doors_answer_reading_methods_only(servers: &Servers) {
    let server = servers.probe();
    let history = format!("/agent/{}/history", server.agent());
    for path in ["/metrics", "/health", "/.well-known/nostr.json", &*history] {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = request(server.address(), method, path, &[]).await.expect("an answer");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {path}");
        }
        let head = request(server.address(), "HEAD", path, &[]).await.expect("an answer");
        assert_eq!(head.status, if path == history { 401 } else { 200 }, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let url = format!("http://{}{history}", server.address());
    let header = authorization(server.keys().expect("a key"), now(), "HEAD", &url);
    let headers = [("Authorization", &*header)];
    let head = request(server.address(), "HEAD", &history, &headers).await.expect("an answer");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

async fn the_public_doors_keep_secrets(servers: &Servers) {
    let server = servers.own("probe");
    let keys = server.keys().expect("a key");
    let secrets = [keys.secret_key().to_secret_hex(), keys.secret_key().to_bech32().expect("an nsec")];
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    ask(&mut client, &jobs::request(&customer, 5900, Some(server.agent()), "between us", &[])).await;
    let agent = server.agent();
    let paths = ["/", "/health", "/metrics", "/.well-known/nostr.json", "/nowhere"].map(str::to_owned);
    let own = ["manifest.json", "metrics.json", "history", "state.json", "memory/a"];
    for path in paths.into_iter().chain(own.map(|path| format!("/agent/{agent}/{path}"))) {
        let answer = get(&server, &path).await;
        let said = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        for secret in secrets.iter().chain([&customer.public_key().to_hex()]) {
            assert!(!said.contains(secret.as_str()), "{path}: {said}");
        }
        assert!(!said.contains("nsec1") && !said.contains("between us"), "{path}: {said}");
    }
}
