//! `POST /jobs` and `GET /jobs/{id}`: signed job requests over HTTP, on every host.

use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, event_at, fresh_author, now, verified};
use openagents_tests::http::{Response, authorization, request, request_with_body};
use openagents_tests::jobs::{ask, request as job};
use openagents_tests::lnurl::{LnurlFault, LnurlServer};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_is_answered_with_the_signed_result,
    a_request_that_is_sent_in_both_ways_is_one_job,
    a_job_that_takes_longer_is_found_at_its_url,
    answers_are_streamed_and_a_stream_is_resumed,
    a_job_that_fails_is_a_problem,
    a_job_that_costs_something_is_answered_with_its_invoice,
    what_is_no_request_for_this_agent_is_refused,
    the_rules_of_the_relay_hold,
    a_private_job_is_shown_to_those_whom_it_concerns,
];

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn post(server: &Server, request: &Event, headers: &[(&str, &str)]) -> Response {
    let headers = [&[JSON], headers].concat();
    let body = as_json(request).to_string();
    request_with_body(server.address(), "POST", "/jobs", &headers, body).await.expect("an answer")
}

async fn look(server: &Server, request: &Event, headers: &[(&str, &str)]) -> Response {
    let path = format!("/jobs/{}", request.id.to_hex());
    self::request(server.address(), "GET", &path, headers).await.expect("an answer")
}

/// The verified event of a successful response.
fn result(response: &Response, request: &Event) -> Event {
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("application/json")),
        "{}",
        String::from_utf8_lossy(&response.body)
    );
    assert_eq!(response.header("location"), Some(&*format!("/jobs/{}", request.id.to_hex())));
    let event = verified(&response.json());
    assert_eq!(event.kind.as_u16(), request.kind.as_u16() + 1_000);
    event
}

/// The status and the code of a problem (RFC 9457).
fn problem(response: &Response) -> (u16, String) {
    let problem = response.json();
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{problem}");
    assert_eq!(problem["status"], json!(response.status), "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    (response.status, problem["code"].as_str().unwrap_or_default().to_owned())
}

async fn a_request_is_answered_with_the_signed_result(servers: &Servers) {
    let server = servers.probe();
    let request = job(&fresh_author(), 5900, Some(server.agent()), "hello", &[]);
    let response = post(&server, &request, &[]).await;
    let event = result(&response, &request);
    assert_eq!((event.content.as_str(), event.pubkey), ("hello", server.agent()));
    for (name, value) in [("cache-control", "no-store"), ("access-control-allow-origin", "*")] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    // Request and result are on the relay, as if they had come the other way.
    let mut client = Client::connect(&server.url()).await;
    let said = ask(&mut client, &request).await;
    assert_eq!(said.result().id, event.id);
    let head = self::request(server.address(), "HEAD", &format!("/jobs/{}", request.id.to_hex()), &[]).await;
    assert_eq!(head.expect("an answer").status, 200);
}

async fn a_request_that_is_sent_in_both_ways_is_one_job(servers: &Servers) {
    let server = servers.own("probe");
    let customer = fresh_author();
    let mut expected = Vec::new();
    for number in 0..12 {
        let request = job(&customer, 5911, Some(server.agent()), &number.to_string(), &[]);
        let mut client = Client::connect(&server.url()).await;
        // By HTTP twice and by WebSocket, in different orders and at once.
        let event = match number % 3 {
            0 => {
                let (first, said, second) = tokio::join!(
                    post(&server, &request, &[]),
                    ask(&mut client, &request),
                    post(&server, &request, &[])
                );
                let event = result(&first, &request);
                assert_eq!((said.result().id, result(&second, &request).id), (event.id, event.id));
                event
            }
            1 => {
                let said = ask(&mut client, &request).await;
                let event = result(&post(&server, &request, &[]).await, &request);
                assert_eq!(said.result().id, event.id);
                event
            }
            _ => {
                let event = result(&post(&server, &request, &[]).await, &request);
                assert_eq!(result(&post(&server, &request, &[]).await, &request).id, event.id);
                assert_eq!(ask(&mut client, &request).await.result().id, event.id);
                event
            }
        };
        assert_eq!(result(&look(&server, &request, &[]).await, &request).id, event.id);
        expected.push((number + 1).to_string());
        assert_eq!(event.content, expected[number], "each job is counted once");
    }
}

async fn a_job_that_takes_longer_is_found_at_its_url(servers: &Servers) {
    let server = servers.probe();
    let request = job(&fresh_author(), 5904, Some(server.agent()), "later", &[("milliseconds", "2500")]);
    let started = Instant::now();
    let response = post(&server, &request, &[("Prefer", "wait=1")]).await;
    assert_eq!(response.status, 202, "{}", String::from_utf8_lossy(&response.body));
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&started.elapsed()));
    let status = response.json();
    let url = format!("/jobs/{}", request.id.to_hex());
    assert_eq!((&status["id"], &status["url"]), (&json!(request.id.to_hex()), &json!(url)));
    assert_eq!((response.header("location"), response.header("retry-after")), (Some(&*url), Some("1")));
    assert_eq!((&status["status"], &status["feedback"]["kind"]), (&json!("processing"), &json!(7000)));
    verified(&status["feedback"]);
    let at_once = look(&server, &request, &[]).await;
    assert_eq!(at_once.status, 202);
    assert_eq!(result(&look(&server, &request, &[("Prefer", "wait=9")]).await, &request).content, "later");
    assert_eq!(result(&look(&server, &request, &[]).await, &request).content, "later");
    let another = job(&fresh_author(), 5904, Some(server.agent()), "later", &[]);
    assert_eq!(problem(&look(&server, &another, &[]).await), (404, "unknown_job".to_owned()));
    assert_eq!(post(&server, &another, &[("Prefer", "respond-async")]).await.status, 202);
}

/// The events of a stream: id, name, data.
fn stream_events(response: &Response) -> Vec<(String, String, Value)> {
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
    let text = String::from_utf8(response.body.clone()).expect("UTF-8");
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    text.split("\n\n")
        .filter(|block| block.contains("data: "))
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")).expect("JSON");
            (field(block, "id: "), field(block, "event: "), data)
        })
        .collect()
}

async fn answers_are_streamed_and_a_stream_is_resumed(servers: &Servers) {
    let server = servers.probe();
    let stream = ("Accept", "text/event-stream");
    let parameters = [("milliseconds", "700"), ("partials", "true")];
    let request = job(&fresh_author(), 5920, Some(server.agent()), "word", &parameters);
    let all = stream_events(&post(&server, &request, &[stream]).await);
    let names: Vec<&str> = all.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "result").count(), 1, "{names:?}");
    assert_eq!(names.last(), Some(&"result"), "{names:?}");
    let statuses: Vec<&Value> = all.iter().map(|(_, _, event)| &event["tags"]).collect();
    assert!(statuses.iter().any(|tags| tags.to_string().contains("partial")), "{statuses:?}");
    for (id, _, event) in &all {
        assert_eq!(verified(event).id.to_hex(), *id);
    }
    // Afterwards, all that is stored, or what follows an event.
    let again = stream_events(&look(&server, &request, &[stream]).await);
    assert_eq!(again.last(), all.last());
    let rest = stream_events(&look(&server, &request, &[stream, ("Last-Event-ID", &again[0].0)]).await);
    assert_eq!(rest, again[1..]);
    let unknown = job(&fresh_author(), 5920, Some(server.agent()), "word", &[]);
    assert_eq!(problem(&look(&server, &unknown, &[stream]).await), (404, "unknown_job".to_owned()));
}

async fn a_job_that_fails_is_a_problem(servers: &Servers) {
    let server = servers.probe();
    let request = job(&fresh_author(), 5901, Some(server.agent()), "this", &[]);
    let response = post(&server, &request, &[]).await;
    assert_eq!(problem(&response), (422, "job_failed".to_owned()));
    let failed = response.json();
    assert_eq!(failed["detail"], json!("cannot do: this"));
    let feedback = verified(&failed["event"]);
    assert_eq!((feedback.kind.as_u16(), feedback.pubkey), (7000, server.agent()));
    assert_eq!(look(&server, &request, &[]).await.json(), failed);
}

async fn a_job_that_costs_something_is_answered_with_its_invoice(servers: &Servers) {
    let lnbits = servers.lnbits().await;
    let wallet = lnbits.account("agent", 0).await;
    let address = LnurlServer::start(servers.lnbits().await, wallet, LnurlFault::None).await;
    let variables = [("WALLET", "lnurl".to_owned()), ("LIGHTNING_ADDRESS", address.url)];
    let server = servers.own_with("paid", &variables);
    let request = job(&fresh_author(), 5050, Some(server.agent()), "so much depends upon", &[]);
    let response = post(&server, &request, &[]).await;
    assert_eq!(problem(&response), (402, "payment_required".to_owned()));
    let demand = response.json();
    assert_eq!((&demand["amount_msat"], &demand["event"]["kind"]), (&json!(21_000), &json!(7000)));
    // The same invoice for the same request.
    assert_eq!(post(&server, &request, &[]).await.json()["invoice"], demand["invoice"]);
    let customer = lnbits.account("customer", 100).await;
    assert!(lnbits.pay(&customer, demand["invoice"].as_str().expect("an invoice")).await);
    let deadline = Instant::now() + PATIENCE;
    let response = loop {
        let response = look(&server, &request, &[("Prefer", "wait=5")]).await;
        if response.status == 200 || Instant::now() > deadline {
            break response;
        }
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(result(&response, &request).content, "words: 4, reading time: 2 s");
}

async fn what_is_no_request_for_this_agent_is_refused(servers: &Servers) {
    let server = servers.probe();
    let customer = fresh_author();
    let good = as_json(&job(&customer, 5900, None, "hello", &[]));
    let mut forged = good.clone();
    forged["content"] = json!("other");
    let mut unsigned = good.clone();
    unsigned.as_object_mut().expect("an object").remove("sig");
    let other_kind = as_json(&event(&customer, 5999, &[], ""));
    let other_provider = as_json(&job(&customer, 5900, Some(fresh_author().public_key()), "hello", &[]));
    let late = as_json(&event_at(&customer, now() + 1_000_000, 5900, &[&["i", "hello", "text"]], ""));
    let long = format!("{}{}", good, " ".repeat(2 << 20));
    for (body, status, code) in [
        ("", 400, "invalid_event"),
        ("{", 400, "invalid_event"),
        ("[]", 400, "invalid_event"),
        (&*unsigned.to_string(), 400, "invalid_event"),
        (&forged.to_string(), 400, "invalid_event"),
        (&late.to_string(), 400, "invalid_event"),
        (&other_kind.to_string(), 422, "no_handler"),
        (&other_provider.to_string(), 422, "other_provider"),
        (&long, 413, "too_long"),
    ] {
        let response = request_with_body(server.address(), "POST", "/jobs", &[JSON], body).await;
        assert_eq!(problem(&response.expect("an answer")), (status, code.to_owned()), "{body:.80}");
    }
    let typed = [("Content-Type", "text/plain")];
    let response = request_with_body(server.address(), "POST", "/jobs", &typed, good.to_string()).await;
    let response = response.expect("an answer");
    assert_eq!(problem(&response), (415, "unsupported_media_type".to_owned()));
    for (method, path, status) in
        [("GET", "/jobs", 405), ("PUT", "/jobs", 405), ("POST", "/jobs/1", 405), ("GET", "/jobs/1", 404)]
    {
        let response = request(server.address(), method, path, &[]).await.expect("an answer");
        assert_eq!(response.status, status, "{method} {path}");
    }
}

async fn the_rules_of_the_relay_hold(servers: &Servers) {
    let blocked = fresh_author();
    let variables = [("RELAY_BLOCKED_PUBKEYS", blocked.public_key().to_hex())];
    let server = servers.own_with("probe", &variables);
    let request = job(&blocked, 5900, Some(server.agent()), "hello", &[]);
    assert_eq!(problem(&post(&server, &request, &[]).await), (403, "restricted".to_owned()));
    let server = servers.own_with("probe", &[("RELAY_AUTH", "write".to_owned())]);
    let request = job(&fresh_author(), 5900, Some(server.agent()), "hello", &[]);
    let response = post(&server, &request, &[]).await;
    assert_eq!(problem(&response), (401, "auth_required".to_owned()));
    assert_eq!(response.header("www-authenticate"), Some("Nostr"));
    let signed = signature(&server, &fresh_author(), "POST", "/jobs");
    result(&post(&server, &request, &[("Authorization", &signed)]).await, &request);
}

/// The `Authorization` header of a request (NIP-98).
fn signature(server: &Server, author: &Keys, method: &str, path: &str) -> String {
    authorization(author, now(), method, &format!("http://{}{path}", server.address()))
}

async fn a_private_job_is_shown_to_those_whom_it_concerns(servers: &Servers) {
    let server = servers.own_with("probe", &[("RELAY_PRIVATE_KINDS", "5900,6900,7000".to_owned())]);
    let (customer, stranger) = (fresh_author(), fresh_author());
    let request = job(&customer, 5900, Some(server.agent()), "in confidence", &[]);
    let signed = signature(&server, &customer, "POST", "/jobs");
    let event = result(&post(&server, &request, &[("Authorization", &signed)]).await, &request);
    assert_eq!(event.content, "in confidence");
    let path = format!("/jobs/{}", request.id.to_hex());
    let unknown = (404, "unknown_job".to_owned());
    assert_eq!(problem(&look(&server, &request, &[]).await), unknown);
    let signed = signature(&server, &stranger, "GET", &path);
    assert_eq!(problem(&look(&server, &request, &[("Authorization", &signed)]).await), unknown);
    let signed = signature(&server, &customer, "GET", &path);
    result(&look(&server, &request, &[("Authorization", &signed)]).await, &request);
    let elsewhere = signature(&server, &customer, "GET", "/jobs/1");
    let response = look(&server, &request, &[("Authorization", &elsewhere)]).await;
    assert_eq!(problem(&response), (401, "unauthorized".to_owned()));
}
