//! HTTP requests to the routes that an agent declares.

use std::time::Duration;

use openagents_host::Engine;
use openagents_host::http::{Body, Bytes, Request};

use super::bench::*;
use super::events::*;
use crate::declaration::{RouteDeclaration, RouteMethod};
use crate::engine::{Changes, Effect, HookSpec, Input, Lease, Output, RouteSpec, RunId, RunOutcome, Task};
use crate::route::{RouteRequest, RouteResponse};

const SHOW: usize = 0;
const CHANGE: usize = 1;

fn bench() -> Bench {
    Bench::with(|spec| {
        let route = |path, exclusive| RouteSpec {
            declaration: RouteDeclaration {
                method: RouteMethod::Post,
                path,
                about: "",
                timeout: Duration::from_secs(5),
                max_bytes: 100,
            },
            exclusive,
        };
        spec.routes = vec![route("/show", false), route("/change", true)];
    })
}

fn call(route: usize, ticket: u64) -> Input {
    let request = RouteRequest::new(&Request::new(Body::Empty).into_parts().0, Bytes::new(), None);
    Input::RouteRequest { route, request, ticket }
}

/// Answers the request with this text, with these changes.
fn respond(bench: &mut Bench, lease: Lease, text: &str, changes: Changes) {
    let changes = Changes { response: Some(Box::new(RouteResponse::text(text))), ..changes };
    bench.finish(lease, RunOutcome::Done(Output::default()), changes);
}

fn texts(bench: &Bench) -> Vec<(u64, Option<String>)> {
    let text = |response: &RouteResponse| String::from_utf8(response.body().to_vec()).unwrap();
    bench.responses.iter().map(|(ticket, response)| (*ticket, response.as_ref().map(text))).collect()
}

fn text(ticket: u64, text: &str) -> (u64, Option<String>) {
    (ticket, Some(text.to_owned()))
}

#[test]
fn answers_with_what_the_route_returns_and_stores_its_changes_first() {
    let mut bench = bench();
    bench.give(&call(CHANGE, 7));
    assert!(matches!(bench.runs[0].task, Task::Route { route: CHANGE, .. }));
    let lease = bench.next_run();
    respond(&mut bench, lease, "done", Changes { state: Some("{\"n\":1}".into()), ..Changes::default() });
    assert_eq!(texts(&bench), [text(7, "done")]);
    assert_eq!(bench.engine.state().json.as_deref(), Some("{\"n\":1}"));
    assert_eq!(bench.count("own_run"), 0);
}

#[test]
fn a_failure_is_told_and_changes_nothing() {
    let mut bench = bench();
    bench.give(&call(CHANGE, 1));
    let lease = bench.next_run();
    bench.finish(lease, failed("no", true), Changes::default());
    assert_eq!(texts(&bench), [text(1, "no\n")]);
    assert_eq!(bench.responses[0].1.as_ref().unwrap().status(), 500);
    assert!(bench.runs.is_empty(), "a request is not repeated");
}

#[test]
fn changes_that_cannot_be_stored_are_an_error() {
    let mut bench = bench();
    bench.give(&call(CHANGE, 1));
    let lease = bench.next_run();
    bench.sql.fail_after(1);
    respond(&mut bench, lease, "done", Changes { state: Some("{}".into()), ..Changes::default() });
    assert_eq!(texts(&bench), [text(1, "the agent could not store its changes\n")]);
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn an_exclusive_route_runs_alone_and_others_wait_for_it() {
    let mut bench = bench();
    bench.give_all(&[call(SHOW, 1), call(CHANGE, 2), call(SHOW, 3)]);
    assert_eq!(bench.running(), [RunId::Route(1)]);
    let lease = bench.next_run();
    respond(&mut bench, lease, "a", Changes::default());
    assert_eq!(bench.running(), [RunId::Route(2)]);
    let lease = bench.next_run();
    respond(&mut bench, lease, "b", Changes::default());
    assert_eq!(bench.running(), [RunId::Route(3)]);
}

#[test]
fn requests_have_places_beside_those_of_jobs() {
    let mut bench = bench();
    bench.engine.spec.declaration.concurrency = 1;
    bench.ask(&request(SHARED, 1));
    bench.ask(&request(SHARED, 2));
    for ticket in 1..=17 {
        bench.give(&call(SHOW, ticket));
    }
    assert_eq!(bench.runs.len(), 17, "one job, and 16 requests");
    let job = bench.next_run();
    bench.done(job, "");
    assert!(matches!(bench.runs.last().unwrap().lease.run, RunId::Job(_)));
}

#[test]
fn requests_and_jobs_that_run_alone_take_turns() {
    let mut bench = bench();
    bench.give_all(&[call(CHANGE, 1), call(CHANGE, 2), call(CHANGE, 3)]);
    bench.ask(&request(EXCLUSIVE, 1));
    bench.ask(&request(EXCLUSIVE, 2));
    let mut order = String::new();
    while let Some(run) = bench.running().first().copied() {
        let lease = bench.next_run();
        match run {
            RunId::Route(_) => {
                order.push('r');
                respond(&mut bench, lease, "", Changes::default());
            }
            _ => {
                order.push('j');
                bench.done(lease, "");
            }
        }
    }
    assert_eq!(order, "rjrjr");
}

#[test]
fn a_request_that_waits_for_too_long_is_refused() {
    let mut bench = bench();
    bench.ask(&request(EXCLUSIVE, 1));
    bench.give(&call(SHOW, 1));
    bench.seconds(9);
    assert!(bench.responses.is_empty());
    assert_eq!(bench.engine.next_alarm(), Some(START + Duration::from_secs(10)));
    bench.seconds(1);
    assert_eq!(texts(&bench), [(1, None)]);
    let lease = bench.next_run();
    bench.done(lease, "");
    assert!(bench.runs.is_empty());
}

#[test]
fn a_run_that_hangs_is_given_up() {
    let mut bench = bench();
    bench.give(&call(CHANGE, 1));
    let hung = bench.next_run();
    bench.seconds(15);
    assert_eq!(texts(&bench), [(1, None)]);
    bench.give(&call(CHANGE, 2));
    assert_eq!(bench.running(), [RunId::Route(2)]);
    respond(&mut bench, hung, "late", Changes { state: Some("{}".into()), ..Changes::default() });
    assert_eq!((bench.responses.len(), bench.engine.state().json), (1, None));
}

#[test]
fn a_request_starts_again_if_its_start_could_not_be_committed() {
    let mut bench = bench();
    let input = call(CHANGE, 1);
    bench.give_and_undo(std::slice::from_ref(&input));
    bench.give(&input);
    assert_eq!(bench.running(), [RunId::Route(1)]);
    let lease = bench.next_run();
    let changes = Changes { response: Some(Box::new(RouteResponse::text("once"))), ..Changes::default() };
    let finished = Input::Finished { lease, outcome: RunOutcome::Done(Output::default()), changes };
    bench.give_and_undo(std::slice::from_ref(&finished));
    bench.give(&finished);
    assert_eq!(texts(&bench), [text(1, "once")]);
    assert!(bench.runs.is_empty());
}

#[test]
fn a_lost_process_takes_its_requests_along() {
    let mut bench = bench();
    bench.give_all(&[call(CHANGE, 1), call(SHOW, 2)]);
    bench.crash();
    assert!(bench.runs.is_empty());
    assert_eq!(bench.count("own_run"), 0);
    bench.give(&call(CHANGE, 1));
    assert_eq!(bench.running(), [RunId::Route(1)]);
}

#[test]
fn the_agent_is_created_and_woken_before_its_first_request() {
    let mut bench = bench();
    let hooks = HookSpec { on_create: Some(true), ..HookSpec::default() };
    bench.engine.spec.hooks = hooks;
    bench.give(&call(SHOW, 1));
    let lease = bench.next_run();
    assert!(matches!(lease.run, RunId::Hook(_)));
    bench.done(lease, "");
    assert_eq!(bench.running(), [RunId::Route(1)]);
}

#[test]
fn a_host_that_starts_no_more_jobs_still_answers_requests() {
    let mut bench = bench();
    bench.ask(&request(SHARED, 1));
    let mut effects = Vec::new();
    bench.engine.handle(bench.now, &call(SHOW, 1), &mut effects);
    bench.engine.wind_down(bench.now, &mut effects);
    let starts = effects.iter().filter(|effect| matches!(effect, Effect::Run { .. }));
    assert_eq!(starts.count(), 1);
}
