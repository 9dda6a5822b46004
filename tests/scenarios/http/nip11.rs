//! The NIP-11 document, health, and which paths are a relay.

use openagents_tests::http::{Response, request};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    the_information_document_names_the_relay,
    the_information_document_is_for_every_origin,
    a_preflight_request_is_allowed,
    the_information_document_lists_only_known_nips,
    a_browser_gets_something_else_than_the_document,
    health_answers_ok,
    an_unknown_path_is_not_found,
    an_upgrade_of_another_path_is_refused,
];

const DOCUMENT: &str = "application/nostr+json";

async fn get(servers: &Servers, path: &str, headers: &[(&str, &str)]) -> Response {
    let server = servers.hello_world();
    request(server.address(), "GET", path, headers).await.expect("an answer")
}

async fn the_information_document_names_the_relay(servers: &Servers) {
    for accept in [DOCUMENT, "text/html, application/nostr+json;q=0.9", "Application/Nostr+JSON"] {
        let answer = get(servers, "/", &[("Accept", accept)]).await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with(DOCUMENT), "for Accept: {accept}: {kind}");
        let document = answer.json();
        for field in ["name", "description", "software", "version"] {
            assert!(document[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {document}");
        }
        assert!(document["limitation"]["max_message_length"].as_u64().is_some(), "{document}");
    }
}

async fn the_information_document_is_for_every_origin(servers: &Servers) {
    let answer = get(servers, "/", &[("Accept", DOCUMENT), ("Origin", "https://example.com")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-headers").is_some(), "{:?}", answer.headers);
    assert!(answer.header("access-control-allow-methods").is_some(), "{:?}", answer.headers);
}

async fn a_preflight_request_is_allowed(servers: &Servers) {
    let headers = [
        ("Origin", "https://example.com"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "accept"),
    ];
    let server = servers.hello_world();
    let answer = request(server.address(), "OPTIONS", "/", &headers).await.expect("an answer");
    assert!((200..300).contains(&answer.status), "{}", answer.status);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let methods = answer.header("access-control-allow-methods").unwrap_or_default().to_ascii_uppercase();
    assert!(methods.contains("GET"), "{methods}");
}

async fn the_information_document_lists_only_known_nips(servers: &Servers) {
    let document = get(servers, "/", &[("Accept", DOCUMENT)]).await.json();
    let nips = document["supported_nips"].as_array().expect("a list").clone();
    let nips: Vec<u64> = nips.iter().map(|nip| nip.as_u64().expect("a number")).collect();
    assert!(nips.contains(&1) && nips.contains(&11), "{nips:?}");
    assert!(nips.is_sorted(), "{nips:?}");
}

async fn a_browser_gets_something_else_than_the_document(servers: &Servers) {
    let answer = get(servers, "/", &[("Accept", "text/html,*/*;q=0.8")]).await;
    assert!(answer.status < 500, "{}", answer.status);
    assert!(!answer.header("content-type").unwrap_or_default().starts_with(DOCUMENT));
}

async fn health_answers_ok(servers: &Servers) {
    assert_eq!(get(servers, "/health", &[]).await.status, 200);
}

async fn an_unknown_path_is_not_found(servers: &Servers) {
    for path in ["/nothing/here", "/healthy", "/%00", "//"] {
        assert_eq!(get(servers, path, &[]).await.status, 404, "{path}");
    }
}

async fn an_upgrade_of_another_path_is_refused(servers: &Servers) {
    let server = servers.hello_world();
    for path in [
        "/nothing/here",
        "/health",
        "/relay",
        "/nostr/",
        "//",
        "/%2F",
        "/.well-known/nostr.json",
        "/internal/call",
        "/internal/billed-rows",
    ] {
        let refused = Client::try_connect(&format!("{}{path}", server.url())).await;
        assert!(refused.is_err(), "{path} was upgraded");
    }
    Client::connect(&format!("{}/", server.url())).await.expect_alive().await;
}
