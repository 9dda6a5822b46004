use std::collections::BTreeSet;

use openagents_host::http::{Parts, Response};
use openagents_host::nostr::http_auth::{authorization, authorization_of_body};
use openagents_host::{Keys, Kind, Timestamp};
use openagents_relay::admission::RateLimits;
use serde_json::{Value, json};

use crate::declaration::AgentDeclaration;
use crate::discovery::Profile;
use crate::engine::{
    JobDetails, JobState, JobSummary, ManualRun, MemoryValue, SessionTurn, StateQuery, StateReply, Workload,
};
use crate::http::fixtures::{header, parts, text};
use crate::http::{AgentRoutes, DeclaredRoutes, RecordAccess, Route, RouteAnswer, route};
use crate::manifest::AgentManifest;
use crate::route::RouteAdmission;
use crate::settings::Operators;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const HOST: &str = "http://agent.example";

fn keys(number: u8) -> Keys {
    Keys::from_secret(&[number; 32]).unwrap()
}

/// The routes of the agent with key 1, whose operator has key 2.
fn routes() -> AgentRoutes {
    let keys = keys(1);
    let agent = AgentDeclaration { version: "1.2.3", about: "Writes.", ..AgentDeclaration::new("scribe") };
    let manifest = AgentManifest::new(&agent, &[], &keys.public_key()).signed(&keys);
    let profile = Profile::new(agent, Vec::new(), keys.public_key());
    let operators = Operators::from_iter([self::keys(2).public_key()]);
    let access = RecordAccess::new(keys.public_key(), operators, None, BTreeSet::new());
    let declared =
        DeclaredRoutes { routes: Vec::new(), admission: RouteAdmission::new(RateLimits::default()) };
    AgentRoutes::new(manifest, profile, access, r#"{"count":0}"#.to_owned(), declared)
}

fn request(path: &str, reader: Option<&Keys>) -> Parts {
    let url = format!("{HOST}{path}");
    match reader {
        Some(keys) => parts("GET", &url, &[("authorization", &authorization(keys, &url, "GET", NOW))]),
        None => parts("GET", &url, &[]),
    }
}

fn answer(request: &Parts) -> RouteAnswer {
    let Route::Agent(route) = route(request, &[]) else { panic!("{} leads elsewhere", request.uri) };
    routes().answer(route, request, NOW)
}

/// The response to a request that needs no query.
fn response(request: &Parts) -> Response {
    match answer(request) {
        RouteAnswer::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

fn status(request: &Parts) -> u16 {
    response(request).status().as_u16()
}

/// The query of the database, and the response to its reply.
fn asked(request: &Parts, reply: Option<StateReply>) -> (StateQuery, Response) {
    match answer(request) {
        RouteAnswer::Ask(pending) => (pending.query.clone(), pending.respond(reply)),
        other => panic!("asked nothing: {other:?}"),
    }
}

/// The reply of a database with one of everything that is queried by name.
fn reply_to(query: &StateQuery) -> StateReply {
    match query {
        StateQuery::History { .. } => StateReply::History(vec![]),
        StateQuery::Schedules { .. } => StateReply::Schedules(vec![]),
        StateQuery::Sessions { .. } => StateReply::Sessions(vec![]),
        StateQuery::MemoryEntries { .. } => StateReply::MemoryKeys(vec![]),
        StateQuery::State => StateReply::Json(json!({"count": 1})),
        StateQuery::MemoryEntry { key } => {
            let value = MemoryValue { key: key.clone(), value: json!(1), written_at: NOW };
            StateReply::MemoryValue(Some(value))
        }
        StateQuery::Turns { .. } => {
            let turn = SessionTurn { role: "user".into(), text: "hi".into(), said_at: NOW };
            StateReply::Turns(vec![turn])
        }
        StateQuery::Job { id } => {
            let summary = JobSummary {
                seq: 1,
                id: *id,
                kind: Kind(5_050),
                customer: keys(3).public_key(),
                state: JobState::Queued,
                attempt: 0,
                price_msat: None,
                source: None,
                received_at: NOW,
                started_at: None,
                finished_at: None,
            };
            StateReply::Job(Some(JobDetails { summary, request: json!({}), answer: Value::Null }))
        }
        other => panic!("{other:?} is no record"),
    }
}

fn every_record() -> Vec<String> {
    let (npub, id) = (keys(1).npub(), "ab".repeat(32));
    ["history", "sessions", "memory", "memory/a/b", "state.json", "schedules"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("history/{id}.json"), format!("sessions/{id}.json")])
        .map(|record| format!("/agent/{npub}/{record}"))
        .collect()
}

#[test]
fn shows_no_record_to_strangers() {
    for path in every_record() {
        assert_eq!(status(&request(&path, None)), 401, "{path}");
        assert_eq!(status(&request(&path, Some(&keys(3)))), 403, "{path}");
    }
}

#[test]
fn shows_every_record_to_the_agent_and_its_operators() {
    for path in every_record() {
        for reader in [1, 2] {
            let request = request(&path, Some(&keys(reader)));
            let RouteAnswer::Ask(pending) = answer(&request) else { panic!("asked nothing for {path}") };
            let reply = reply_to(&pending.query);
            let response = pending.respond(Some(reply));
            assert_eq!(response.status().as_u16(), 200, "{path}");
            assert_eq!(header(&response, "cache-control"), "no-store", "{path}");
        }
    }
}

#[test]
fn an_operator_runs_a_schedule_with_a_token_of_its_own() {
    let path = format!("/agent/{}/schedules/re%20fresh?key=a%2Fb", keys(1).npub());
    let url = format!("{HOST}{path}");
    let signed = |keys: &Keys| authorization_of_body(keys, &url, "POST", NOW, b"");
    let post = |header: &str| parts("POST", &url, &[("authorization", header)]);
    assert_eq!(status(&post("")), 401);
    assert_eq!(status(&post(&signed(&keys(3)))), 403);
    // Without a `payload` tag, a token to read could be sent here.
    assert_eq!(status(&post(&authorization(&keys(2), &url, "POST", NOW))), 401);
    for (run, expected, text_part) in [
        (ManualRun::Due, 202, "\"due\""),
        (ManualRun::Running, 409, "running"),
        (ManualRun::UsedToken, 401, "used already"),
        (ManualRun::UnknownSchedule { names: vec!["a".into(), "b".into()] }, 404, "this agent has `a`, `b`"),
        (ManualRun::UnknownKey { keys: vec![] }, 404, "there are none"),
    ] {
        let (query, response) = asked(&post(&signed(&keys(2))), Some(StateReply::ManualRun(run)));
        let StateQuery::RunSchedule { name, key, token: Some(_) } = query else { panic!("{query:?}") };
        assert_eq!((name.as_str(), key.as_str(), response.status().as_u16()), ("re fresh", "a/b", expected));
        let told = text(response);
        assert!(told.contains(text_part), "{told}");
    }
}

#[test]
fn asks_for_what_the_query_says() {
    let path = format!("/agent/{}/memory?prefix=a%20b%2F&limit=7&after=a+b%2Fc", keys(1).npub());
    let (query, response) = asked(&request(&path, Some(&keys(1))), Some(StateReply::MemoryKeys(vec![])));
    let (prefix, after) = ("a b/".to_owned(), "a b/c".to_owned());
    assert_eq!(query, StateQuery::MemoryEntries { prefix, after, limit: 8 });
    assert_eq!(text(response), r#"{"entries":[],"more":false}"#);
}

#[test]
fn knows_no_other_agent() {
    for path in ["history", "manifest.json", "metrics.json"] {
        let other = format!("/agent/{}/{path}", keys(2).npub());
        assert_eq!(status(&request(&other, Some(&keys(2)))), 404, "{path}");
    }
}

#[test]
fn shows_the_signed_manifest_under_either_name() {
    for name in [keys(1).npub(), keys(1).public_key().to_hex()] {
        let response = response(&request(&format!("/agent/{name}/manifest.json"), None));
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-type")),
            (200, "application/json")
        );
        assert!(serde_json::from_str::<Value>(&text(response)).unwrap()["signature"].is_string());
    }
}

#[test]
fn is_healthy_as_long_as_its_database_answers() {
    let (query, well) =
        asked(&request("/health", None), Some(StateReply::Load(Workload { unfinished: 3, running: 1 })));
    assert_eq!((query, well.status().as_u16()), (StateQuery::Load, 200));
    let json: Value = serde_json::from_str(&text(well)).unwrap();
    assert_eq!((&json["status"], &json["unfinished_jobs"]), (&json!("ok"), &json!(3)));
    let (_, ill) = asked(&request("/health", None), None);
    assert_eq!(ill.status().as_u16(), 503);
    assert!(text(ill).contains("failing"));
}

#[test]
fn says_that_the_database_does_not_answer() {
    for (path, reader) in [("/metrics".to_owned(), None), (every_record().remove(0), Some(keys(1)))] {
        let (_, response) = asked(&request(&path, reader.as_ref()), None);
        assert_eq!(response.status().as_u16(), 503);
        assert!(text(response).contains("is not available"));
    }
}

#[test]
fn answers_for_names_that_are_asked_for() {
    let key = keys(1).public_key();
    for (query, expected) in [
        ("", format!(r#"{{"names":{{"scribe":"{key}"}}}}"#)),
        ("?name=scribe", format!(r#"{{"names":{{"scribe":"{key}"}}}}"#)),
        ("?name=_", format!(r#"{{"names":{{"_":"{key}"}}}}"#)),
        ("?name=bob", r#"{"names":{}}"#.to_owned()),
    ] {
        assert_eq!(text(response(&request(&format!("/.well-known/nostr.json{query}"), None))), expected);
    }
}

#[test]
fn admits_nobody_by_a_url_that_cannot_be_read() {
    let path = format!("/agent/{}/state.json", keys(1).npub());
    for host in ["", "a.example?", "me@agent.example"] {
        let url = format!("http://{host}{path}");
        let authorization = authorization(&keys(1), &url, "GET", NOW);
        assert_eq!(status(&parts("GET", &url, &[("authorization", &authorization)])), 401, "{host}");
    }
}
