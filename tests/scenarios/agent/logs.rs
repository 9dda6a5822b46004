//! Log lines: what a handler logs, and when a job begins and ends, with the run that they are about.

use nostr_sdk::nostr::ToBech32 as _;
use openagents_tests::events::fresh_author;
use openagents_tests::jobs::{ask, request};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use serde_json::Value;

use crate::servers::{Servers, scenarios};

scenarios![
    a_line_says_which_job_it_is_about,
    a_line_can_be_a_json_object,
    a_level_leaves_out_what_is_below_it,
    a_level_that_does_not_exist_is_refused_with_those_that_do,
];

fn variables(set: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    set.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// Has a job done that logs, and returns its id and customer as they are logged.
async fn log(server: &Server) -> (String, String) {
    let customer = fresh_author();
    let request = request(&customer, 5932, Some(server.agent()), "half a loaf", &[]);
    ask(&mut Client::connect(&server.url()).await, &request).await.result();
    let npub = customer.public_key().to_bech32().expect("an npub");
    (request.id.to_hex()[..8].to_owned(), npub[..12].to_owned())
}

async fn a_line_says_which_job_it_is_about(servers: &Servers) {
    let server = servers.own_with("probe", &variables(&[("LOG_LEVEL", "debug")]));
    let (job, customer) = log(&server).await;
    let log = server.log_with("done in ").await;
    let about = format!("job{{job={job} kind=5932 customer={customer} handler=log}}: ");
    for line in ["began (attempt 1)", "halfway: half a loaf length=11", "done in "] {
        assert!(log.contains(&format!("{about}{line}")), "{about}{line}: {log}");
    }
    assert!(!log.contains("not at any level"), "{log}");
}

async fn a_line_can_be_a_json_object(servers: &Servers) {
    let server = servers.own_with("probe", &variables(&[("LOG_LEVEL", "info"), ("LOG_FORMAT", "json")]));
    let (job, customer) = log(&server).await;
    let log = server.log_with("done in ").await;
    let line = log.lines().find(|line| line.contains("half a loaf")).expect("the handler's line");
    let line: Value = serde_json::from_str(&line[line.find('{').expect("an object")..]).expect("JSON");
    assert_eq!(line["message"], "halfway: half a loaf");
    assert_eq!((line["level"].as_str(), line["length"].as_u64()), (Some("info"), Some(11)), "{line}");
    assert_eq!((line["job"].as_str(), line["customer"].as_str()), (Some(&*job), Some(&*customer)), "{line}");
    assert_eq!((line["kind"].as_u64(), line["handler"].as_str()), (Some(5932), Some("log")), "{line}");
}

async fn a_level_leaves_out_what_is_below_it(servers: &Servers) {
    let server = servers.own_with("probe", &variables(&[("LOG_LEVEL", "warn")]));
    let (job, _) = log(&server).await;
    let failing = request(&fresh_author(), 5901, Some(server.agent()), "this", &[]);
    ask(&mut Client::connect(&server.url()).await, &failing).await.error();
    let log = server.log_with("cannot do: this").await;
    assert!(!log.contains("half a loaf") && !log.contains(&job), "{log}");
    assert!(log.contains("kind=5901"), "a warning says what it is about: {log}");
}

async fn a_level_that_does_not_exist_is_refused_with_those_that_do(servers: &Servers) {
    for (name, accepted) in
        [("LOG_LEVEL", "off, error, warn, info, debug or trace"), ("LOG_FORMAT", "text or json")]
    {
        let log = match Server::start_unwell_with(servers.host(), "probe", &variables(&[(name, "verbose")])) {
            Err(error) => error,
            Ok(server) => {
                let path = "/health";
                let answer = openagents_tests::http::request(server.address(), "GET", path, &[]).await;
                let answer = answer.expect("an answer");
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!((servers.host(), answer.status), (Host::Workerd, 500), "{body}");
                assert!(body.contains(name), "{body}");
                server.log_with(accepted).await
            }
        };
        assert!(log.contains(accepted) && !log.contains("panicked"), "{log}");
    }
}
