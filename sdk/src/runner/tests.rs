#![allow(clippy::arithmetic_side_effects)]

use std::time::Duration;

use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};
use serde::{Deserialize, Serialize};

use super::{StateCache, run};
use crate::agent::{Agent, AgentDeclaration, Jobs};
use crate::engine::{Input, Lease, Outcome, StateSnapshot};
use crate::error::JobError;
use crate::handler::{Handler, JobDeclaration, Run};
use crate::job::JobRequest;
use crate::output::Output;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

impl Agent for Counter {
    const DECLARATION: AgentDeclaration = AgentDeclaration {
        name: "counter",
        about: "",
        version: "1",
        authors: "",
        license: "",
        homepage: "",
        repository: "",
    };
}

const fn handler(timeout: Duration, run: Run<Counter>) -> Handler<Counter> {
    let declaration = JobDeclaration {
        kind: 5000,
        name: "",
        about: "",
        timeout,
        attempts: 3,
        inputs: &[],
        output: "text/plain",
    };
    Handler { declaration, run }
}

const MINUTE: Duration = Duration::from_secs(60);

const READ: usize = 0;
const COUNT: usize = 1;
const COUNT_AND_FAIL: usize = 2;
const COUNT_AND_PANIC: usize = 3;
const COUNT_FOR_EVER: usize = 4;
const LEAVE_ALONE: usize = 5;

impl Jobs for Counter {
    const HANDLERS: &'static [Handler<Self>] = &[
        handler(MINUTE, Run::Shared(|agent, _| Box::pin(async { Ok(Output::new(agent.count.to_string())) }))),
        handler(
            MINUTE,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    Ok(Output::new(agent.count.to_string()))
                })
            }),
        ),
        handler(
            MINUTE,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    Err(JobError::retry("later"))
                })
            }),
        ),
        handler(
            MINUTE,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    panic!("on purpose")
                })
            }),
        ),
        handler(
            Duration::from_millis(10),
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    std::future::pending().await
                })
            }),
        ),
        handler(MINUTE, Run::Exclusive(|_, _| Box::pin(async { Ok(Output::default()) }))),
    ];
}

async fn finish(
    cache: &StateCache<Counter>,
    handler: usize,
    state: &StateSnapshot,
) -> (Outcome, Option<String>) {
    let keys = Keys::from_secret(&[3; 32]).unwrap();
    let event = UnsignedEvent::new(Kind(5000), "").sign(&keys, Timestamp::EPOCH);
    let lease = Lease { job: event.id, attempt: 1 };
    match run(cache, lease, handler, JobRequest::from_event(event).unwrap(), state.clone()).await {
        Input::Finished { lease: reported, outcome, state } => {
            assert_eq!(reported, lease);
            (outcome, state)
        }
        other => panic!("{other:?}"),
    }
}

fn stored(version: u64, json: &str) -> StateSnapshot {
    StateSnapshot { version, json: Some(json.into()) }
}

fn message(outcome: Outcome) -> (String, bool) {
    match outcome {
        Outcome::Failed { message, retryable } => (message, retryable),
        Outcome::Done(output) => panic!("{output:?}"),
    }
}

#[tokio::test]
async fn begins_with_the_default_and_gives_back_what_a_handler_changed() {
    let cache = StateCache::default();
    let (outcome, state) = finish(&cache, COUNT, &StateSnapshot::default()).await;
    assert_eq!(outcome, Outcome::Done(Output::new("1")));
    let state = stored(1, &state.unwrap());
    assert_eq!(finish(&cache, COUNT, &state).await.0, Outcome::Done(Output::new("2")));
}

#[tokio::test]
async fn a_state_that_was_not_committed_is_not_seen() {
    let cache = StateCache::default();
    finish(&cache, COUNT, &StateSnapshot::default()).await;
    let (outcome, _) = finish(&cache, COUNT, &StateSnapshot::default()).await;
    assert_eq!(outcome, Outcome::Done(Output::new("1")), "the engine still has the first version");
}

#[tokio::test]
async fn a_failed_run_changes_nothing() {
    let cache = StateCache::default();
    let state = stored(4, "{\"count\":7}");
    for handler in [COUNT_AND_FAIL, COUNT_AND_PANIC, COUNT_FOR_EVER] {
        assert_eq!(finish(&cache, handler, &state).await.1, None);
        assert_eq!(finish(&cache, READ, &state).await.0, Outcome::Done(Output::new("7")));
    }
}

#[tokio::test]
async fn a_panic_is_a_final_error_that_tells_the_customer_nothing() {
    let (outcome, _) = finish(&StateCache::default(), COUNT_AND_PANIC, &StateSnapshot::default()).await;
    assert_eq!(message(outcome), ("the agent failed to do this job".into(), false));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_fails_for_good() {
    let (outcome, _) = finish(&StateCache::default(), COUNT_FOR_EVER, &StateSnapshot::default()).await;
    assert_eq!(message(outcome), ("the agent gave up on this job after 10ms".into(), false));
}

#[tokio::test]
async fn a_state_that_did_not_change_is_not_stored_again() {
    let (outcome, state) = finish(&StateCache::default(), LEAVE_ALONE, &stored(4, "{\"count\":7}")).await;
    assert_eq!((outcome, state), (Outcome::Done(Output::default()), None));
}

#[tokio::test]
async fn a_state_of_another_form_fails_the_job_and_says_what_to_do() {
    let cache = StateCache::<Counter>::default();
    let foreign = stored(1, "{\"count\":\"seven\"}");
    assert!(cache.shared(&foreign).unwrap_err().to_string().contains("keeps its type"));
    let (outcome, _) = finish(&cache, COUNT, &foreign).await;
    assert_eq!(message(outcome), ("the agent cannot read its state".into(), false));
}
