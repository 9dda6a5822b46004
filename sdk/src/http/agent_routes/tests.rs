use std::collections::BTreeSet;

use openagents_host::http_auth::authorization;
use openagents_host::{Keys, Timestamp};
use serde_json::{Value, json};

use crate::declaration::AgentDeclaration;
use crate::discovery::Profile;
use crate::engine::StateQuery;
use crate::http::records::Record;
use crate::http::request::HttpRequest;
use crate::http::{AgentRoute, AgentRoutes, HttpResponse, Route, RouteAnswer, route};
use crate::manifest::AgentManifest;

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
    AgentRoutes::new(
        manifest,
        profile,
        &[self::keys(2).public_key()],
        BTreeSet::new(),
        r#"{"count":0}"#.to_owned(),
    )
}

fn request(path: &str, reader: Option<&Keys>) -> HttpRequest {
    let url = format!("{HOST}{path}");
    let authorization = reader.map(|keys| authorization(keys, &url, "GET", NOW)).unwrap_or_default();
    HttpRequest { method: "GET".to_owned(), url, authorization }
}

fn route_answer(request: &HttpRequest) -> RouteAnswer {
    let path = request.url.strip_prefix(HOST).unwrap();
    let path = path.split('?').next().unwrap();
    let Route::Agent(agent_route) = route("GET", path, "", "", false) else {
        panic!("{path} leads elsewhere")
    };
    routes().answer(agent_route, request, NOW)
}

/// The page that a request leads to without asking the database.
fn page(request: &HttpRequest) -> HttpResponse {
    match route_answer(request) {
        RouteAnswer::Response(page) => page,
        RouteAnswer::Ask(pending) => panic!("asked for {:?}", pending.query),
    }
}

/// What the database is asked, and the page for its answer.
fn asked(request: &HttpRequest, answer: Result<Value, String>) -> (StateQuery, HttpResponse) {
    match route_answer(request) {
        RouteAnswer::Ask(pending) => (pending.query.clone(), routes().respond(&pending, answer)),
        RouteAnswer::Response(page) => panic!("asked nothing: {page:?}"),
    }
}

fn every_record() -> Vec<String> {
    let (npub, id) = (keys(1).npub(), "ab".repeat(32));
    ["history", "sessions", "memory", "memory/a/b", "state.json"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("history/{id}.json"), format!("sessions/{id}.json")])
        .map(|record| format!("/agent/{npub}/{record}"))
        .collect()
}

#[test]
fn shows_no_record_to_strangers() {
    for path in every_record() {
        assert_eq!(page(&request(&path, None)).status, 401, "{path}");
        assert_eq!(page(&request(&path, Some(&keys(3)))).status, 403, "{path}");
    }
}

#[test]
fn shows_every_record_to_the_agent_and_its_operators() {
    for path in every_record() {
        for reader in [1, 2] {
            let (_, page) = asked(&request(&path, Some(&keys(reader))), Ok(json!({"a": 1})));
            assert_eq!(page.status, 200, "{path}");
            assert!(page.headers.contains(&("cache-control", "no-store")), "{path}");
        }
    }
}

#[test]
fn asks_for_what_the_query_says() {
    let path = format!("/agent/{}/memory?prefix=a%20b%2F&limit=7&after=a+b%2Fc", keys(1).npub());
    let (query, page) = asked(&request(&path, Some(&keys(1))), Ok(json!([])));
    let (prefix, after) = ("a b/".to_owned(), "a b/c".to_owned());
    assert_eq!(query, StateQuery::MemoryEntries { prefix, after, limit: 8 });
    assert_eq!(page.body, r#"{"entries":[],"more":false}"#);
}

#[test]
fn knows_no_other_agent() {
    for path in ["history", "manifest.json", "metrics.json"] {
        let other = format!("/agent/{}/{path}", keys(2).npub());
        assert_eq!(page(&request(&other, Some(&keys(2)))).status, 404, "{path}");
    }
}

#[test]
fn shows_the_signed_manifest_under_either_name() {
    for name in [keys(1).npub(), keys(1).public_key().to_hex()] {
        let page = page(&request(&format!("/agent/{name}/manifest.json"), None));
        assert_eq!((page.status, page.content_type), (200, "application/json"));
        assert!(serde_json::from_str::<Value>(&page.body).unwrap()["signature"].is_string());
    }
}

#[test]
fn is_healthy_as_long_as_its_database_answers() {
    let (query, well) = asked(&request("/health", None), Ok(json!({"unfinished": 3, "running": 1})));
    assert_eq!(query, StateQuery::Load);
    let json: Value = serde_json::from_str(&well.body).unwrap();
    assert_eq!((well.status, &json["status"], &json["unfinished_jobs"]), (200, &json!("ok"), &json!(3)));
    let (_, ill) = asked(&request("/health", None), Err("disk on fire".to_owned()));
    assert_eq!(ill.status, 503);
    assert!(ill.body.contains("failing") && !ill.body.contains("fire"));
}

#[test]
fn keeps_the_reason_of_a_failure_to_itself() {
    for (path, reader) in [("/metrics".to_owned(), None), (every_record().remove(0), Some(keys(1)))] {
        let (_, page) = asked(&request(&path, reader.as_ref()), Err("disk on fire".to_owned()));
        assert_eq!(page.status, 503);
        assert!(!page.body.contains("fire"), "{}", page.body);
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
        assert_eq!(page(&request(&format!("/.well-known/nostr.json{query}"), None)).body, expected);
    }
}

#[test]
fn admits_nobody_by_a_url_that_cannot_be_read() {
    let request =
        HttpRequest { method: "GET".to_owned(), url: "http:///x y".to_owned(), authorization: String::new() };
    let npub = keys(1).npub();
    let agent_route = AgentRoute::Record { agent: &npub, record: Record::State };
    assert!(matches!(
        routes().answer(agent_route, &request, NOW),
        RouteAnswer::Response(HttpResponse { status: 401, .. })
    ));
}
