//! The variables and secrets that an agent declares: read by its handlers, required at start, never shown.

use nostr_sdk::nostr::ToBech32;
use openagents_tests::events::fresh_author;
use openagents_tests::http;
use openagents_tests::jobs::{ask, request, status_text};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    handlers_read_what_the_agent_declares,
    a_variable_that_is_not_declared_ends_the_job,
    a_secret_is_not_shown,
    an_agent_without_its_variables_says_which_are_missing,
];

/// A password that is in no other text.
const PASSWORD: &str = "xyzzy-plugh-4711";

fn variables(set: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    set.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

async fn configuration(server: &Server, input: &str) -> String {
    let request = request(&fresh_author(), 5930, Some(server.agent()), input, &[]);
    let said = ask(&mut Client::connect(&server.url()).await, &request).await;
    said.result().content.clone()
}

async fn handlers_read_what_the_agent_declares(servers: &Servers) {
    assert_eq!(
        configuration(&servers.probe(), "PROBE_SHAPE").await,
        "blue round 11 Secret(…) Some(\"round\")",
        "a default, a variable and a secret that are set"
    );
    let set = variables(&[("PROBE_COLOUR", "red"), ("PROBE_SHAPE", " flat "), ("PROBE_PASSWORD", "abc\n")]);
    let server = servers.own_with("probe", &set);
    assert_eq!(configuration(&server, "PROBE_COLOUR").await, "red flat 3 Secret(…) Some(\"red\")");
}

async fn a_variable_that_is_not_declared_ends_the_job(servers: &Servers) {
    let server = servers.own_with("probe", &variables(&[("PROBE_OTHER", "set")]));
    for name in ["PROBE_OTHER", "PATH", "NOSTR_PRIVATE_KEY", "PROBE_PASSWORD"] {
        let request = request(&fresh_author(), 5930, Some(server.agent()), name, &[]);
        let said = ask(&mut Client::connect(&server.url()).await, &request).await;
        assert_eq!(status_text(said.error()), "the agent failed to do this job");
    }
    let log = server.log_with("read it with `context.secret(\"PROBE_PASSWORD\")`").await;
    assert!(log.contains("the variable `PROBE_OTHER` is not declared"), "{log}");
    assert!(log.contains("`PROBE_PASSWORD` is declared as a secret"), "{log}");
}

async fn a_secret_is_not_shown(servers: &Servers) {
    let server = servers.own_with("probe", &variables(&[("PROBE_PASSWORD", PASSWORD)]));
    configuration(&server, "PROBE_SHAPE").await;
    let npub = server.agent().to_bech32().expect("an npub");
    for path in ["/health".to_owned(), "/metrics".to_owned(), format!("/agent/{npub}/manifest.json")] {
        let answer = http::request(server.address(), "GET", &path, &[]).await.expect("an answer");
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{path}: {body}");
        assert!(!body.contains(PASSWORD), "{path}: {body}");
        if path.ends_with("manifest.json") {
            let manifest: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let declared = &manifest["requirements"]["env_vars"];
            let shown = ["PROBE_COLOUR", "PROBE_SHAPE", "PROBE_PASSWORD"]
                .map(|name| (declared[name]["required"].as_bool(), declared[name]["secret"].as_bool()));
            assert_eq!(
                shown,
                [(Some(false), Some(false)), (Some(true), Some(false)), (Some(true), Some(true))],
                "{declared}"
            );
        }
    }
    let log = String::from_utf8_lossy(&std::fs::read(server.log()).expect("a log")).into_owned();
    assert!(!log.contains(PASSWORD), "{log}");
}

async fn an_agent_without_its_variables_says_which_are_missing(servers: &Servers) {
    let set = variables(&[("PROBE_SHAPE", ""), ("PROBE_PASSWORD", " "), ("PROBE_COLOUR", PASSWORD)]);
    let names = "the agent needs the variable PROBE_SHAPE and the secret PROBE_PASSWORD, which are not set";
    let log = match Server::start_unwell_with(servers.host(), "probe", &set) {
        Err(error) => error,
        Ok(server) => {
            let answer = http::request(server.address(), "GET", "/health", &[]).await.expect("an answer");
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!((servers.host(), answer.status), (Host::Workerd, 500), "{body}");
            assert!(body.contains(names), "{body}");
            server.log_with(names).await
        }
    };
    assert!(log.contains(names) && log.contains(".dev.vars"), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("panicked"), "{log}");
}
