//! A state that cannot be read back: it is never committed, and one that is there is shown and repaired.

use std::process::{Command, Output};

use openagents_tests::databases::database_with;
use openagents_tests::events::fresh_author;
use openagents_tests::http;
use openagents_tests::jobs::{ask, request, status_text};
use openagents_tests::server::{Host, Server, binary};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => { a_state_that_could_not_be_read_back_fails_the_job_alone }
    on [Host::Native] => { a_state_that_does_not_fit_is_shown_and_repaired_by_a_command }
    on Host::ALL => { an_operator_changes_the_state_of_a_running_agent }
    on [Host::Workerd] => { a_state_that_does_not_fit_is_told_in_the_log_and_repaired_over_http }
}

async fn divide(server: &Server, by: &str) -> Result<String, String> {
    let request = request(&fresh_author(), 5931, Some(server.agent()), by, &[]);
    let said = ask(&mut Client::connect(&server.url()).await, &request).await;
    if said.results.is_empty() { Err(status_text(said.error())) } else { Ok(said.result().content.clone()) }
}

async fn a_state_that_could_not_be_read_back_fails_the_job_alone(servers: &Servers) {
    let server = servers.own("probe");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
    let failed = divide(&server, "0").await.expect_err("the quotient is no number");
    assert_eq!(failed, "the agent cannot store its state");
    assert_eq!(divide(&server, "4").await.as_deref(), Ok("2"), "the failed job did not count");
    assert_eq!(divide(&server, "x").await.expect_err("no number"), "invalid float literal");
    server.kill_and_restart().expect("it starts");
    assert_eq!(divide(&server, "8").await.as_deref(), Ok("3"));
    let log = server.log_with("the field `ratio`: ").await;
    assert!(log.contains("the field `ratio`: "), "{log}");
}

/// Stores what an earlier release could have committed.
fn spoil(data: &std::path::Path) -> Result<(), String> {
    let statement = "UPDATE state SET json = json_set(json, '$.ratio', NULL)";
    database_with("state", data).execute_batch(statement).map_err(|error| error.to_string())
}

fn command(server: &Server, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary("probe"));
    command.arg("state").args(arguments).arg("--data").arg(server.data());
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.success(), text)
}

async fn a_state_that_does_not_fit_is_shown_and_repaired_by_a_command(servers: &Servers) {
    let server = servers.own("probe");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
    let (done, told) = command(&server, &["show"]);
    assert!(!done && told.contains("is running: stop it first"), "{told}");
    server.kill();
    spoil(server.data()).expect("it can be changed");
    let told = server.kill_and_restart().expect_err("it cannot start");
    for text in
        ["the field `ratio`: ", "`#[migrate]`", "`state show`", "`state set FIELD JSON`", "`state reset`"]
    {
        assert!(told.contains(text), "{text}: {told}");
    }
    let (done, told) = command(&server, &["show"]);
    assert!(done && told.contains("\"ratio\": null") && told.contains("cannot start with this"), "{told}");
    let (done, told) = command(&server, &["set", "ratio", "half"]);
    assert!(!done && told.contains("not JSON"), "{told}");
    let (done, told) = command(&server, &["set", "ratio", "0.5"]);
    assert!(done && !told.contains("cannot start"), "{told}");
    server.kill_and_restart().expect("it starts");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("2"), "the other fields are kept");
    server.kill();
    let (done, told) = command(&server, &["reset"]);
    assert!(done && told.contains("default state"), "{told}");
    server.kill_and_restart().expect("it starts");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
}

/// Runs `state` with these arguments on an agent that is running, as the agent itself.
fn command_over_http(server: &Server, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary("probe"));
    let url = format!("http://{}", server.address());
    let secret_key = server.keys().expect("a key").secret_key().to_secret_hex();
    command.arg("state").args(arguments).args(["--url", &url]).env("NOSTR_PRIVATE_KEY", secret_key);
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.success(), text)
}

async fn an_operator_changes_the_state_of_a_running_agent(servers: &Servers) {
    let server = servers.own("probe");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
    let (done, told) = command_over_http(&server, &["set", "count", "41"]);
    assert!(done && told.contains("stored"), "{told}");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("42"));
    let (done, told) = command_over_http(&server, &["show"]);
    assert!(done && told.contains("\"count\": 42"), "{told}");
    let refused: [(&[&str], &str); 3] = [
        (&["set", "count", "\"many\""], "the field `count` cannot have this value"),
        (&["set", "other", "1"], "this agent has no field `other`"),
        (&["set", "count", "many"], "not JSON"),
    ];
    for (arguments, expected) in refused {
        let (done, told) = command_over_http(&server, arguments);
        assert!(!done && told.contains(expected), "{arguments:?}: {told}");
    }
    let (done, told) = command_over_http(&server, &["reset", "count"]);
    assert!(done, "{told}");
    server.kill_and_restart().expect("it starts");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
    let path = format!("/agent/{}/state/count", server.agent());
    for method in ["PUT", "DELETE"] {
        let answer = http::request(server.address(), method, &path, &[]).await.expect("an answer");
        assert_eq!(answer.status, 401, "{method}");
    }
    let (done, told) = command_over_http(&server, &["reset"]);
    assert!(done, "{told}");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
}

async fn a_state_that_does_not_fit_is_told_in_the_log_and_repaired_over_http(servers: &Servers) {
    let server = servers.own("probe");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("1"));
    server.while_stopped_and_unwell(spoil).expect("it listens");
    let answer = http::request(server.address(), "GET", "/health", &[]).await.expect("an answer");
    assert_eq!(answer.status, 500, "{}", String::from_utf8_lossy(&answer.body));
    let log = server.log_with("the field `ratio`: ").await;
    assert!(log.contains("the field `ratio`: ") && log.contains("`#[migrate]`"), "{log}");
    let (done, told) = command_over_http(&server, &["show"]);
    assert!(done && told.contains("\"ratio\": null"), "{told}");
    let (done, told) = command_over_http(&server, &["set", "ratio", "0.5"]);
    assert!(done && told.contains("stored"), "{told}");
    assert_eq!(divide(&server, "2").await.as_deref(), Ok("2"), "the other fields are kept");
}
