//! Schedules and lifecycle hooks of an agent, and its prices.

use std::time::Duration;

use openagents_tests::events::{event, fresh_author, note};
use openagents_tests::jobs::{ask, follow, listen, request, status_text};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::Value;

use crate::servers::{Servers, scenarios};

scenarios![
    an_agent_is_created_once_and_before_its_first_job,
    an_agent_wakes_after_a_kill_and_sleeps_when_idle,
    a_schedule_goes_on_after_a_restart_and_catches_up_once,
    a_run_that_a_handler_schedules_happens_once_even_after_a_kill,
    a_failed_job_is_told_to_the_agent,
    a_job_that_costs_something_is_refused_without_a_wallet,
    a_quote_depends_on_the_request,
    a_bid_below_the_price_is_refused_with_the_price,
    a_wrong_parameter_is_named_before_anything_is_done,
    a_full_queue_answers_with_an_error,
    jobs_that_wait_for_unknown_ids_hold_up_no_other,
];

/// The interval of the clock's schedule.
const RHYTHM: Duration = Duration::from_secs(7);

async fn show(server: &Server) -> Value {
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5930, Some(server.agent()), "", &[]);
    let said = ask(&mut client, &request).await;
    serde_json::from_str(&said.result().content).expect("the agent's state as JSON")
}

fn kill_and_restart(server: &Server) {
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
}

async fn an_agent_is_created_once_and_before_its_first_job(servers: &Servers) {
    let server = servers.own("clock");
    let first = show(&server).await;
    assert_eq!((&first["created"], &first["woken"]), (&1.into(), &1.into()), "{first}");
    kill_and_restart(&server);
    assert_eq!(show(&server).await["created"], 1);
}

async fn an_agent_wakes_after_a_kill_and_sleeps_when_idle(servers: &Servers) {
    let server = servers.own("clock");
    let before = show(&server).await["woken"].as_u64().expect("a count");
    kill_and_restart(&server);
    let after = show(&server).await["woken"].as_u64().expect("a count");
    assert!(after > before, "{before} then {after}");
    // It runs every 7 s and sleeps after 5 s without work.
    tokio::time::sleep(RHYTHM * 2).await;
    let state = show(&server).await;
    assert!(state["slept"].as_u64().is_some_and(|slept| slept > 0), "{state}");
}

async fn a_schedule_goes_on_after_a_restart_and_catches_up_once(servers: &Servers) {
    let server = servers.own("clock");
    let ticks = async || show(&server).await["ticks"].as_u64().expect("a count");
    let deadline = tokio::time::Instant::now() + RHYTHM * 4;
    while ticks().await == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it never ticked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Right after a run, so that no other happens between the count and the kill.
    let before = ticks().await;
    server.kill();
    tokio::time::sleep(RHYTHM * 2 + Duration::from_secs(1)).await;
    kill_and_restart(&server);
    let again = tokio::time::Instant::now();
    let mut after = ticks().await;
    while after == before {
        assert!(again.elapsed() < RHYTHM, "nothing is made up for");
        after = ticks().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ticks().await, before + 1, "the times that were missed are made up for once");
}

async fn ring(server: &Server, text: &str, seconds: Option<&str>) {
    let mut client = Client::connect(&server.url()).await;
    let params: Vec<(&str, &str)> = seconds.into_iter().map(|seconds| ("seconds", seconds)).collect();
    let request = request(&fresh_author(), 5935, Some(server.agent()), text, &params);
    ask(&mut client, &request).await.result();
}

async fn a_run_that_a_handler_schedules_happens_once_even_after_a_kill(servers: &Servers) {
    let server = servers.own("clock");
    ring(&server, "soon", Some("1")).await;
    ring(&server, "later", Some("3")).await;
    ring(&server, "never", Some("3")).await;
    ring(&server, "never", None).await;
    kill_and_restart(&server);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(show(&server).await["rings"], serde_json::json!(["soon", "later"]));
}

async fn a_failed_job_is_told_to_the_agent(servers: &Servers) {
    let server = servers.own("clock");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5931, Some(server.agent()), "out of ink", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(status_text(said.error()), "out of ink");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let failures = show(&server).await["failures"].clone();
        if failures == serde_json::json!(["out of ink"]) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{failures}");
    }
}

async fn refusal(servers: &Servers, kind: u16, bid: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let server = servers.clock();
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    let agent = server.agent().to_hex();
    let mut tags: Vec<Vec<&str>> = vec![vec!["p", &agent]];
    tags.extend(parameters.iter().map(|(name, value)| vec!["param", name, value]));
    tags.extend(bid.map(|bid| vec!["bid", bid]));
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    let request = event(&customer, kind, &tags, "");
    let said = ask(&mut client, &request).await;
    assert_eq!(said.statuses(), ["error"]);
    status_text(said.error())
}

async fn a_job_that_costs_something_is_refused_without_a_wallet(servers: &Servers) {
    let text = refusal(servers, 5934, None, &[]).await;
    assert_eq!(text, "this job costs 21000 msat, but this agent has no wallet");
}

async fn a_quote_depends_on_the_request(servers: &Servers) {
    let text = refusal(servers, 5932, None, &[("pieces", "3")]).await;
    assert!(text.contains("3000 msat"), "{text}");
    // A free job is done.
    let server = servers.clock();
    let mut client = Client::connect(&server.url()).await;
    let free = request(&fresh_author(), 5932, Some(server.agent()), "", &[("pieces", "0")]);
    assert_eq!(ask(&mut client, &free).await.result().content, "0 pieces");
}

async fn a_bid_below_the_price_is_refused_with_the_price(servers: &Servers) {
    let text = refusal(servers, 5934, Some("20999"), &[]).await;
    assert_eq!(text, "this job costs 21000 msat, which is more than the bid of 20999 msat");
}

async fn a_wrong_parameter_is_named_before_anything_is_done(servers: &Servers) {
    let text = refusal(servers, 5932, None, &[("pieces", "many")]).await;
    assert!(text.contains("pieces") && text.contains("many"), "{text}");
}

async fn jobs_that_wait_for_unknown_ids_hold_up_no_other(servers: &Servers) {
    let server = servers.own("clock");
    let mut client = Client::connect(&server.url()).await;
    let (customer, agent) = (fresh_author(), server.agent().to_hex());
    // Three may wait at the clock.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let unknown = note(&fresh_author(), "").id.to_hex();
        let job = event(&customer, 5930, &[&["i", &unknown, "job"], &["p", &agent]], "");
        let mut said = listen(&mut client, &job).await;
        client.publish_accepted(&job).await;
        said.feedback.push(client.next_event(&openagents_tests::jobs::subscription(&job)).await);
        waiting.push(said);
    }
    let statuses: Vec<_> = waiting.iter().flat_map(|said| said.statuses()).collect();
    assert_eq!(statuses, ["processing", "processing", "processing", "error"]);
    assert!(status_text(waiting[3].error()).contains("queue is full"), "{waiting:?}");
    let other = request(&fresh_author(), 5930, Some(server.agent()), "", &[]);
    ask(&mut client, &other).await.result();
}

async fn a_full_queue_answers_with_an_error(servers: &Servers) {
    let server = servers.own("clock");
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    // The clock runs one job at a time and lets two more wait.
    let jobs: Vec<_> = (0..4)
        .map(|number| request(&customer, 5933, Some(server.agent()), &number.to_string(), &[]))
        .collect();
    let mut conversations = Vec::new();
    for job in &jobs {
        conversations.push(listen(&mut client, job).await);
        client.publish_accepted(job).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (last, others) = (jobs.last().expect("four"), jobs.get(..3).expect("four"));
    let mut said = openagents_tests::jobs::stored(&mut client, last).await;
    if !said.is_over() {
        follow(&mut client, last, &mut said, Duration::from_secs(10)).await;
    }
    assert!(status_text(said.error()).contains("queue is full"), "{said:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    for job in others {
        assert!(openagents_tests::jobs::stored(&mut client, job).await.is_over());
    }
}
