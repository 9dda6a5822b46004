//! Data that earlier programs wrote, of 2a899f3, b71b72c and c8417b0, is read and carried on by today's.

mod fixture;

use std::path::Path;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use nostr_sdk::nostr::Event;
use openagents_tests::databases::database_with;
use openagents_tests::events::{event, fresh_author, identification, now, tags, verified};
use openagents_tests::http::request;
use openagents_tests::jobs::{self, Conversation, ask, status, status_text};
use openagents_tests::server::Host;
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::servers::{Servers, scenarios};
use fixture::{OldDeployment, items, keys, text};

scenarios! {
    on [Host::Native, Host::Workerd] => {
        stored_events_are_found_and_others_stay_away,
        private_events_are_for_their_recipient_only,
        the_rules_of_the_operator_hold,
        a_token_that_was_used_is_refused,
        ended_jobs_are_on_record_and_stay_ended,
        unfinished_jobs_end_once,
        conversations_memory_tables_and_the_state_are_kept,
        schedules_go_on,
        a_job_with_an_invoice_waits_and_others_fail,
        a_run_scheduled_once_and_a_job_with_a_kept_input_go_on,
        credit_and_blobs_are_kept,
    }
}

/// How long unfinished jobs and schedules may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn stored_events_are_found_and_others_stay_away(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    let mut client = old.client().await;
    let relay = &old.expected["relay"];
    let everything_is_found = async |client: &mut Client| {
        for query in items(&relay["queries"]).iter().filter(|query| query["as"].is_null()) {
            let found = client.query(&[query["filter"].clone()]).await;
            let ids: Vec<String> = found.iter().map(|event| event.id.to_hex()).collect();
            assert_eq!(json!(ids), query["ids"], "{}", query["what"]);
        }
    };
    everything_is_found(&mut client).await;
    for event in items(&relay["blocked"]) {
        let answer = client.publish(&verified(event)).await;
        assert!(answer.refused_as("blocked"), "{answer:?} to {event}");
    }
    // What there is already, and what a later version has replaced, changes nothing.
    for event in items(&relay["known"]) {
        let answer = client.publish(&verified(event)).await;
        assert!(answer.accepted && answer.message.starts_with("duplicate: "), "{answer:?} to {event}");
    }
    for event in items(&relay["superseded"]) {
        client.publish(&verified(event)).await;
    }
    everything_is_found(&mut client).await;
}

async fn private_events_are_for_their_recipient_only(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    let relay = &old.expected["relay"];
    for (reader, is_recipient) in [(keys(text(&old.expected["recipient"])), true), (fresh_author(), false)] {
        let mut client = old.client().await;
        let refused = client.refusal("private", &relay["private"]).await;
        assert!(refused.starts_with("auth-required: "), "{refused}");
        let challenge = client.challenge().await;
        let identification = identification(&reader, &old.server.url(), &challenge);
        assert!(client.authenticate(&identification).await.accepted);
        let private = items(&relay["queries"]).iter().find(|query| query["as"] == "recipient");
        let query = private.expect("a query as the recipient");
        if is_recipient {
            let found = client.query(&[query["filter"].clone()]).await;
            let ids: Vec<String> = found.iter().map(|event| event.id.to_hex()).collect();
            assert_eq!(json!(ids), query["ids"]);
        } else {
            let refused = client.refusal("private", &query["filter"]).await;
            assert!(refused.starts_with("restricted: "), "{refused}");
            assert_eq!(client.query(&[json!({"ids": query["ids"]})]).await, []);
        }
    }
}

async fn the_rules_of_the_operator_hold(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    let relay = &old.expected["relay"];
    for (method, expected) in relay["rules"].as_object().expect("lists by their methods") {
        let answer = old.post(&old.signed_call(method, json!([]))).await.json();
        let mut found = items(&answer["result"]).to_vec();
        found.sort_by_key(|entry| items(expected).iter().position(|expected| expected == entry));
        assert_eq!(json!(found), *expected, "{method}");
    }
    let headers = [("Accept", "application/nostr+json")];
    let document = request(old.server.address(), "GET", "/", &headers).await.expect("an answer").json();
    assert_eq!((&document["name"], &document["description"]), (&relay["name"], &relay["description"]));
    let kind = relay["disallowed_kind"].as_u64().expect("a kind");
    let disallowed = event(&fresh_author(), kind.try_into().expect("a kind"), &[], "");
    let answer = old.client().await.publish(&disallowed).await;
    assert!(answer.refused_as("blocked"), "{answer:?}");
    let blocked = text(&relay["rules"]["listblockedips"][0]["ip"]);
    assert!(Client::try_connect_from(&old.server.url(), blocked).await.is_err());
}

async fn a_token_that_was_used_is_refused(servers: &Servers) {
    // Tokens are good for a minute, so that those of the fixture say nothing any more. What it would have kept of this one is
    // added while nothing runs.
    let old = OldDeployment::open(servers, "probe");
    let call = old.signed_call("changerelayname", json!(["another name"]));
    let token = Base64::decode_vec(call.1.trim_start_matches("Nostr ")).expect("Base64");
    let token = verified(&serde_json::from_slice(&token).expect("an event"));
    let use_token = |data: &Path| {
        let relay = database_with("used_token", data);
        let kept: u32 =
            relay.query_row("SELECT count(*) FROM used_token", [], |row| row.get(0)).expect("a count");
        assert!(kept > 0, "tokens of the fixture");
        let until = i64::try_from(now() + 600).expect("a time");
        relay
            .execute("INSERT INTO used_token (id, until) VALUES (?, ?)", (token.id.as_bytes(), until))
            .expect("it is added");
        Ok(())
    };
    old.server.while_stopped(use_token).expect("it starts again");
    let answer = old.post(&call).await;
    let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(answer.status == 401 && error.contains("used already"), "{} {error}", answer.status);
}

async fn ended_jobs_are_on_record_and_stay_ended(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    let ended = items(&old.expected["jobs"]);
    let history = old.record("history?limit=1000").await;
    let mut client = old.client().await;
    for job in ended {
        let listed = items(&history["jobs"]).iter().find(|listed| listed["id"] == job["id"]);
        let listed = listed.unwrap_or_else(|| panic!("not listed: {job}"));
        assert_eq!((&listed["kind"], &listed["state"]), (&job["kind"], &job["state"]), "{job}");
        let recorded = old.record(&format!("history/{}.json", text(&job["id"]))).await;
        assert_eq!(recorded["state"], job["state"], "{job}");
        let answer = verified(&recorded["answer"]);
        assert_eq!(
            (json!(answer.id), answer.content.as_str()),
            (job["answer"].clone(), text(&job["content"]))
        );
        // Of those, requests are no longer kept.
        if job["state"] == "cancelled" || job["state"] == "rejected" {
            assert_eq!(recorded["request"], Value::Null, "{job}");
            continue;
        }
        let request = verified(&recorded["request"]);
        assert_eq!(json!(request.id), job["id"]);
        // Asked again, it is the same job.
        let answer = client.publish(&request).await;
        assert!(!answer.refused_as("blocked"), "{answer:?} to {job}");
    }
    all_over(&old, &mut client, items(&old.expected["unfinished"])).await;
    for job in ended {
        let said = said_about(&mut client, job).await;
        let ids: Vec<String> = answers(&said).iter().map(|answer| answer.id.to_hex()).collect();
        assert_eq!(json!(ids), json!([job["answer"]]), "{job}");
    }
}

async fn unfinished_jobs_end_once(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    let unfinished = items(&old.expected["unfinished"]);
    let states: Vec<&str> = unfinished.iter().map(|job| text(&job["at"])).collect();
    for state in ["queued", "running", "awaiting_input"] {
        assert!(states.contains(&state), "the fixture has none that is {state}: {states:?}");
    }
    let mut client = old.client().await;
    all_over(&old, &mut client, unfinished).await;
    for job in unfinished {
        let said = said_about(&mut client, job).await;
        let ends = if said.results.is_empty() { said.error() } else { said.result() };
        if let Some(content) = job["content"].as_str().filter(|_| !said.results.is_empty()) {
            assert_eq!(ends.content, content, "{job}");
        }
        assert_eq!(answers(&said).len(), 1, "{job}: {said:?}");
    }
    assert_eq!(old.record("state.json").await, finished_state(&old));
    // A restart publishes nothing again.
    old.server.stop_and_restart().expect("it starts again");
    let mut client = old.client().await;
    let more = jobs::request(&fresh_author(), 5900, Some(old.agent()), "after all of them", &[]);
    ask(&mut client, &more).await.result();
    for job in unfinished {
        assert_eq!(answers(&said_about(&mut client, job).await).len(), 1, "{job}");
    }
}

async fn conversations_memory_tables_and_the_state_are_kept(servers: &Servers) {
    let old = OldDeployment::open(servers, "probe");
    for (customer, turns) in old.expected["sessions"].as_object().expect("turns by customer") {
        let session = old.record(&format!("sessions/{customer}.json")).await;
        let said: Vec<_> =
            items(&session["turns"]).iter().map(|turn| json!([turn["role"], turn["text"]])).collect();
        assert_eq!(json!(said), *turns, "{customer}");
    }
    for (key, value) in old.expected["memory"].as_object().expect("values by key") {
        assert_eq!(old.record(&format!("memory/{key}")).await["value"], *value, "{key}");
    }
    // Handlers find the same, and go on from there.
    let customer = keys(text(&old.expected["customer"]));
    let mut client = old.client().await;
    let mut done = async |kind, input: &str, parameters: &[(&str, &str)]| {
        let request = jobs::request(&customer, kind, Some(old.agent()), input, parameters);
        ask(&mut client, &request).await.result().content.clone()
    };
    let table = &old.expected["table"];
    let count = table["count"].as_u64().expect("a count");
    assert_eq!(done(5925, text(&table["word"]), &[]).await, format!("[[{}]]", count + 1));
    let (key, value) = ("cities/london", text(&old.expected["memory"]["cities/london"]));
    assert_eq!(done(5923, "London is larger now", &[("key", key)]).await, value);
    let conversation = done(5924, "and now?", &[]).await;
    let lines: Vec<&str> = conversation.lines().collect();
    let said = old.expected["sessions"].as_object().and_then(|sessions| sessions.values().next());
    let turns = items(said.expect("a session"));
    assert_eq!(lines.len(), turns.len() + 2, "{conversation}");
    for (line, turn) in lines.iter().zip(turns) {
        assert_eq!(*line, format!("{}: {}", text(&turn[0]), text(&turn[1])));
    }
    all_over(&old, &mut old.client().await, items(&old.expected["unfinished"])).await;
    let state: Value = serde_json::from_str(&done(5907, "", &[]).await).expect("the struct as JSON");
    assert_eq!(state, finished_state(&old));
}

/// The state after all unfinished jobs, with the field that the agent has got since.
fn finished_state(old: &OldDeployment) -> Value {
    let mut state = old.expected["finished_state"].clone();
    state["ratio"] = json!(0.0);
    state
}

async fn schedules_go_on(servers: &Servers) {
    let old = OldDeployment::open(servers, "clock");
    let before = &old.expected["state"];
    let count = |state: &Value, name: &str| state[name].as_u64().unwrap_or_else(|| panic!("{name}: {state}"));
    // It was due while nothing ran, which is made up for once; then it goes on in its rhythm.
    let deadline = Instant::now() + PATIENCE;
    let state = loop {
        let state = old.record("state.json").await;
        if count(&state, "ticks") >= count(before, "ticks") + 2 {
            break state;
        }
        assert!(Instant::now() < deadline, "{state}, where the fixture had {before}");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(count(&state, "created"), count(before, "created"), "it was created long ago: {state}");
    assert!(count(&state, "woken") > count(before, "woken"), "{state}");
    let failures = items(&before["failures"]);
    assert_eq!(items(&state["failures"]).get(..failures.len()), Some(failures), "{state}");
    for (key, value) in old.expected["memory"].as_object().expect("values by key") {
        assert_eq!(old.record(&format!("memory/{key}")).await["value"], *value, "{key}");
    }
}

async fn a_job_with_an_invoice_waits_and_others_fail(servers: &Servers) {
    let old = OldDeployment::open(servers, "clock");
    let mut client = old.client().await;
    for job in items(&old.expected["jobs"]) {
        let recorded = old.record(&format!("history/{}.json", text(&job["id"]))).await;
        assert_eq!((&recorded["state"], &recorded["answer"]["id"]), (&job["state"], &job["answer"]), "{job}");
    }
    let unfinished = items(&old.expected["unfinished"]);
    all_over(&old, &mut client, unfinished).await;
    for job in unfinished {
        let (said, state) = (
            said_about(&mut client, job).await,
            old.record(&format!("history/{}.json", text(&job["id"]))).await,
        );
        if items(&job["ends"]).is_empty() {
            assert_eq!(state["state"], "awaiting_payment", "{job}");
            let demands: Vec<&Event> =
                said.feedback.iter().filter(|event| status(event) == "payment-required").collect();
            let [demand] = demands.as_slice() else { panic!("one demand, not {demands:?}") };
            let amount = tags(demand, "amount").first().and_then(|tag| tag.get(1).cloned());
            assert_eq!(amount, Some(job["amount"].to_string()));
            assert!(answers(&said).is_empty(), "{said:?}");
        } else {
            assert_eq!(json!([state["state"]]), job["ends"], "{job}");
            assert_eq!(status_text(said.error()), text(&job["text"]));
        }
    }
}

async fn a_run_scheduled_once_and_a_job_with_a_kept_input_go_on(servers: &Servers) {
    let old = OldDeployment::open_of("b71b72c", servers, "clock");
    let mut client = old.client().await;
    let customer = fresh_author();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let show = jobs::request(&customer, 5930, None, "", &[("at", &now().to_string())]);
        let state = ask(&mut client, &show).await.result().content.clone();
        let state: Value = serde_json::from_str(&state).expect("the struct as JSON");
        if state["rings"] == json!(["the old bell"]) {
            break;
        }
        assert!(Instant::now() < deadline, "{state}\n{}", old.server.log_tail());
        sleep(Duration::from_secs(1)).await;
    }
    let job = json!({"id": old.expected["unfinished"], "kind": 5933, "at": "running", "ends": ["done"]});
    all_over(&old, &mut client, std::slice::from_ref(&job)).await;
    assert_eq!(said_about(&mut client, &job).await.result().content, "0 pieces");
}

async fn credit_and_blobs_are_kept(servers: &Servers) {
    let old = OldDeployment::open_of("c8417b0", servers, "paid");
    let mut client = old.client().await;
    // Without a wallet today: what was paid before is enough.
    let customer = keys(text(&old.expected["customer"]));
    let said = ask(&mut client, &jobs::request(&customer, 5050, None, "so much depends", &[])).await;
    assert_eq!(said.result().content, "words: 3, reading time: 2 s");
    let again = ask(&mut client, &jobs::request(&customer, 5050, None, "upon a red", &[])).await;
    assert!(status_text(again.error()).contains("this agent has no wallet"), "{again:?}");
    let path = format!("/{}", text(&old.expected["blob"]));
    let blob = request(old.server.address(), "GET", &path, &[]).await.expect("an answer");
    assert_eq!((blob.status, blob.body), (200, text(&old.expected["text"]).as_bytes().to_vec()));
}

/// Waits until every job that is to end has been answered, and a little longer, for answers that may not come.
async fn all_over(old: &OldDeployment, client: &mut Client, jobs: &[Value]) {
    let deadline = Instant::now() + PATIENCE;
    for job in jobs.iter().filter(|job| !items(&job["ends"]).is_empty()) {
        while !said_about(client, job).await.is_over() {
            assert!(Instant::now() < deadline, "no answer to {job}\n{}", old.server.log_tail());
            sleep(Duration::from_millis(100)).await;
        }
    }
    sleep(Duration::from_secs(1)).await;
}

/// What is stored about a job of the fixture.
async fn said_about(client: &mut Client, job: &Value) -> Conversation {
    let result_kind = job["kind"].as_u64().expect("a kind") + 1000;
    let filter = json!({"kinds": [7000, result_kind], "#e": [job["id"]]});
    let (results, feedback) = client
        .query(&[filter])
        .await
        .into_iter()
        .rev()
        .partition(|event| u64::from(event.kind.as_u16()) == result_kind);
    Conversation { feedback, results }
}

/// The events that end a job.
fn answers(said: &Conversation) -> Vec<&Event> {
    said.results.iter().chain(said.feedback.iter().filter(|event| status(event) == "error")).collect()
}
