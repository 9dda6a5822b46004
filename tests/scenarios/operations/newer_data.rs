//! Data that a later program wrote is refused, with the release that is needed to open it, and left as it is.

use std::path::Path;
use std::time::Duration;

use nostr_sdk::nostr::Event;
use openagents_tests::databases::database_with;
use openagents_tests::events::{event, fresh_author, note, now};
use openagents_tests::http::{Response, authorization_of_body, request, request_with_body};
use openagents_tests::jobs::{self, ask, follow, listen, status};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use serde_json::json;
use tokio::time::sleep;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        a_program_that_is_too_old_for_the_agent_ends_with_the_release_needed,
        a_program_that_is_too_old_for_the_relay_ends_before_any_job_begins,
    }
    on [Host::Workerd] => {
        an_agents_object_answers_with_the_release_needed,
        a_relays_object_answers_with_the_release_needed,
        the_error_of_a_database_is_only_in_the_log,
    }
}

/// What is said of the data that [`make_newer`] makes.
const NEEDED: &str = "run OpenAgents 9.8.7 or later";

/// How long a job may take that an earlier process began.
const RECOVERY: Duration = Duration::from_secs(40);

/// Makes a component's data that of a later release.
fn make_newer(data: &Path, component: &str) -> Result<(), String> {
    set_version(data, component, "version + 1", "9.8.7")
}

/// Takes [`make_newer`] back, as if that release was there now.
fn make_known(data: &Path, component: &str) -> Result<(), String> {
    set_version(data, component, "version - 1", "0.0.1")
}

fn set_version(data: &Path, component: &str, version: &str, release: &str) -> Result<(), String> {
    let table = if component == "agent" { "job" } else { "event" };
    let statements = format!(
        "UPDATE schema_version SET version = {version} WHERE component = '{component}';
         UPDATE schema_release SET release = '{release}' WHERE component = '{component}';"
    );
    database_with(table, data).execute_batch(&statements).map_err(|error| error.to_string())
}

/// Starts a program on data that is newer than it, and looks at how it ends.
fn start_in_vain(server: &Server, component: &str) {
    let ended = server.kill_and_restart().expect_err("it cannot start");
    assert!(ended.contains("ended at once: exit status: 1"), "{ended}");
    assert!(ended.contains(&format!("the {component} data has schema version")), "{ended}");
    assert!(ended.contains(NEEDED) && !ended.contains("panicked"), "{ended}");
}

async fn a_program_that_is_too_old_for_the_agent_ends_with_the_release_needed(servers: &Servers) {
    let server = servers.own("probe");
    let count = async || {
        let request = jobs::request(&fresh_author(), 5911, Some(server.agent()), "", &[]);
        ask(&mut Client::connect(&server.url()).await, &request).await.result().content.clone()
    };
    assert_eq!(count().await, "1");
    server.kill();
    make_newer(server.data(), "agent").expect("it can be changed");
    start_in_vain(&server, "agent");
    make_known(server.data(), "agent").expect("it can be changed");
    server.kill_and_restart().expect("it starts");
    assert_eq!(count().await, "2");
}

async fn a_program_that_is_too_old_for_the_relay_ends_before_any_job_begins(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let parameters = [("milliseconds", "1000")];
    let request = jobs::request(&fresh_author(), 5920, Some(server.agent()), "done", &parameters);
    listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    assert_eq!(status(&client.next_event(&jobs::subscription(&request)).await), "processing");
    server.kill();
    for component in ["relay", "search"] {
        make_newer(server.data(), component).expect("it can be changed");
        // As by a supervisor, which starts it again and again: a job has three attempts.
        for _ in 0..3 {
            start_in_vain(&server, component);
        }
        make_known(server.data(), component).expect("it can be changed");
    }
    server.kill_and_restart().expect("it starts");
    let mut client = Client::connect(&server.url()).await;
    let mut said = listen(&mut client, &request).await;
    follow(&mut client, &request, &mut said, RECOVERY).await;
    assert_eq!(said.result().content, "done 1 2", "the first attempt was killed, the second is the last");
}

/// How often an object has said that it cannot start.
fn failed_starts(server: &Server, object: &str) -> usize {
    let log = std::fs::read_to_string(server.log()).expect("a log");
    let failures = log.lines().filter(|line| line.contains(&format!("the {object} cannot start: ")));
    failures.inspect(|line| assert!(line.contains(NEEDED), "{line}")).count()
}

fn expect_refusal(answer: &Response, component: &str) {
    let body = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 500, "{body}");
    assert!(body.contains(&format!("the {component} data")) && body.contains(NEEDED), "{body}");
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    request(server.address(), "GET", path, headers).await.expect("an answer")
}

async fn an_agents_object_answers_with_the_release_needed(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let first = jobs::request(&fresh_author(), 5911, Some(server.agent()), "", &[]);
    assert_eq!(ask(&mut client, &first).await.result().content, "1");
    server.while_stopped_and_unwell(|data| make_newer(data, "agent")).expect("it listens");
    for path in ["/", "/health", "/metrics", "/.well-known/nostr.json"] {
        expect_refusal(&get(&server, path, &[]).await, "agent");
    }
    // The relay takes requests all the same. It tries to hand them over in ever longer intervals.
    let mut client = Client::connect(&server.url()).await;
    let request = jobs::request(&fresh_author(), 5911, Some(server.agent()), "", &[]);
    client.publish_accepted(&request).await;
    sleep(Duration::from_secs(5)).await;
    let failures = failed_starts(&server, "agent");
    assert!((5..20).contains(&failures), "{failures} failed starts");
    assert!(jobs::stored(&mut client, &request).await.results.is_empty());
    server.while_stopped(|data| make_known(data, "agent")).expect("it starts");
    let mut client = Client::connect(&server.url()).await;
    let mut said = listen(&mut client, &request).await;
    follow(&mut client, &request, &mut said, RECOVERY).await;
    assert_eq!(said.result().content, "2");
}

async fn a_relays_object_answers_with_the_release_needed(servers: &Servers) {
    let operator = fresh_author();
    let server = servers.own_with("hello-world", &[("ADMIN_PUBKEYS", operator.public_key().to_hex())]);
    let mut client = Client::connect(&server.url()).await;
    let kept = note(&fresh_author(), "kept");
    client.publish_accepted(&kept).await;
    // So that the object has an alarm.
    let expiration = (now() + 3).to_string();
    let fleeting: Event = event(&fresh_author(), 1, &[&["expiration", &expiration]], "fleeting");
    client.publish_accepted(&fleeting).await;
    server.while_stopped_and_unwell(|data| make_newer(data, "relay")).expect("it listens");
    let health = get(&server, "/health", &[]).await;
    let body = String::from_utf8_lossy(&health.body);
    assert_eq!(health.status, 503, "{body}");
    assert!(body.contains(r#""agent":"ok""#) && body.contains(r#""relay":"failing""#), "{body}");
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    expect_refusal(&get(&server, "/", &upgrade).await, "relay");
    expect_refusal(&get(&server, "/", &[("Accept", "application/nostr+json")]).await, "relay");
    let body = json!({"method": "listbannedpubkeys", "params": []}).to_string();
    let token = authorization_of_body(&operator, "POST", &server.url(), &body);
    let headers = [("Content-Type", "application/nostr+json+rpc"), ("Authorization", token.as_str())];
    let answer = request_with_body(server.address(), "POST", "/", &headers, &body).await.expect("an answer");
    assert_eq!(answer.status, 500, "{}", String::from_utf8_lossy(&answer.body));
    // The alarm rings, and is set for a minute later.
    sleep(Duration::from_secs(6)).await;
    let failures = failed_starts(&server, "relay");
    assert!((3..20).contains(&failures), "{failures} failed starts");
    server.while_stopped(|data| make_known(data, "relay")).expect("it starts");
    let mut client = Client::connect(&server.url()).await;
    assert_eq!(client.query(&[json!({"ids": [kept.id, fleeting.id]})]).await, [kept]);
}

async fn the_error_of_a_database_is_only_in_the_log(servers: &Servers) {
    let server = servers.own("hello-world");
    Client::connect(&server.url()).await.publish_accepted(&note(&fresh_author(), "kept")).await;
    // The tables are made again, which fails.
    let forget = |data: &Path| {
        for (table, component) in [("event", "relay"), ("job", "agent")] {
            let statement = format!("DELETE FROM schema_version WHERE component = '{component}'");
            let forgotten = database_with(table, data).execute_batch(&statement);
            forgotten.map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    server.while_stopped_and_unwell(forget).expect("it listens");
    for (object, accept) in [("relay", "application/nostr+json"), ("agent", "text/plain")] {
        let answer = get(&server, "/", &[("Accept", accept)]).await;
        let body = String::from_utf8_lossy(&answer.body);
        let expected = format!("the {object} cannot start: the database failed; the log has the reason\n");
        assert_eq!((answer.status, &*body), (500, &*expected));
    }
    let log = server.log_with("already exists").await;
    assert!(log.contains("already exists"), "{log}");
}
