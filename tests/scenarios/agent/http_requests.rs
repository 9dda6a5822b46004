//! HTTP requests of handlers, to a server on this machine.

use openagents_tests::events::fresh_author;
use openagents_tests::http_echo::EchoServer;
use openagents_tests::jobs::{ask, request};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_has_any_method_headers_and_json,
    a_stream_is_passed_on,
    a_request_ends_in_time_and_within_its_size,
    a_private_server_is_reached_only_by_its_origin,
];

fn probe(servers: &Servers, allowed: &EchoServer) -> Server {
    servers.own_with("probe", &[("AGENT_HTTP_ALLOWED_ORIGINS", allowed.origin.clone())])
}

/// What a handler got in answer to its request.
async fn fetch(server: &Server, exchange: &Value) -> Value {
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5994, Some(server.agent()), &exchange.to_string(), &[]);
    let said = ask(&mut client, &request).await;
    serde_json::from_str(&said.result().content).expect("JSON")
}

fn told(answer: &Value) -> Value {
    serde_json::from_str(answer["text"].as_str().unwrap_or_else(|| panic!("{answer}"))).expect("JSON")
}

async fn a_request_has_any_method_headers_and_json(servers: &Servers) {
    let echo = EchoServer::start().await;
    let server = probe(servers, &echo);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let url = format!("{}/echo?a=b%20c", echo.origin);
        let exchange = json!({ "method": method, "url": url, "header": "7", "json": { "n": 1 } });
        let answer = fetch(&server, &exchange).await;
        assert_eq!((&answer["status"], &answer["answer"]), (&json!(201), &json!("42")), "{answer}");
        let told = told(&answer);
        assert_eq!(told["method"], method);
        assert_eq!((&told["path"], &told["probe"]), (&json!("/echo?a=b%20c"), &json!("7")), "{told}");
        assert_eq!((&told["authorization"], &told["body"]), (&json!("Bearer secret"), &json!("{\"n\":1}")));
        assert_eq!(
            (&told["content_type"], &told["content_length"]),
            (&json!("application/json"), &json!("7"))
        );
    }
    let get = json!({ "method": "GET", "url": format!("{}/redirect/echo", echo.origin) });
    assert_eq!(told(&fetch(&server, &get).await)["path"], "/echo");
    let head = fetch(&server, &json!({ "method": "HEAD", "url": format!("{}/echo", echo.origin) })).await;
    assert_eq!((&head["status"], &head["text"]), (&json!(201), &json!("")), "{head}");
}

async fn a_stream_is_passed_on(servers: &Servers) {
    let echo = EchoServer::start().await;
    let server = probe(servers, &echo);
    let source = format!("{}/bytes/100000", echo.origin);
    let exchange = json!({ "method": "PUT", "url": format!("{}/echo", echo.origin), "stream_from": source });
    let told = told(&fetch(&server, &exchange).await);
    assert_eq!(told["body"].as_str().map(str::len), Some(100_000));
    let url = format!("{}/redirect/echo", echo.origin);
    let refused = fetch(&server, &json!({ "method": "PUT", "url": url, "stream_from": source })).await;
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("is a stream")), "{refused}");
}

async fn a_request_ends_in_time_and_within_its_size(servers: &Servers) {
    let echo = EchoServer::start().await;
    let server = probe(servers, &echo);
    let slow = json!({ "method": "GET", "url": format!("{}/slow", echo.origin), "milliseconds": 500 });
    let error = fetch(&server, &slow).await["error"].clone();
    assert_eq!(error, "no complete response within 500ms");
    let large = json!({ "method": "GET", "url": format!("{}/bytes/5000001", echo.origin) });
    assert_eq!(fetch(&server, &large).await["error"], "the response is larger than 5000000 bytes");
}

async fn a_private_server_is_reached_only_by_its_origin(servers: &Servers) {
    let (echo, other) = (EchoServer::start().await, EchoServer::start().await);
    let server = probe(servers, &echo);
    let elsewhere = other.origin.replace("http:", "");
    for url in [format!("{}/echo", other.origin), format!("{}/redirect{elsewhere}/echo", echo.origin)] {
        let answer = fetch(&server, &json!({ "method": "GET", "url": url })).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains("expected a URL that begins with `https:`"), "{url}: {answer}");
    }
}
