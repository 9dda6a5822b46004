#![allow(clippy::arithmetic_side_effects)]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::net::Reach;
use openagents_host::{Event, EventId, Keys, Kind, Timestamp, UnsignedEvent};
use openagents_relay::Filter;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{StateCache, StateError, agent_spec, quote, run};
use crate::author::agent::{Agent, Jobs, StateJson};
use crate::author::context::AgentContext;
use crate::author::handler::{Handler, Hooks, Quote, Run, Schedule};
use crate::author::job::JobContext;
use crate::declaration::{AgentDeclaration, JobDeclaration, ScheduleDeclaration, ScheduleRule};
use crate::engine::{
    Changes, Hook, Input, JobFailure, JobOutput, Lease, Output, QuoteError, Report, RunId, RunOutcome,
    StateQuery, StateReply, StateSnapshot, Task,
};
use crate::error::JobError;
use crate::host_port::HandlerHost;
use crate::log::{ConsoleSubscriber, LevelFilter, LogFormat};
use crate::nip90::JobRequest;
use crate::price::Price;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Counter {
    count: u64,
    /// A number that JSON cannot always hold.
    ratio: f64,
}

impl Agent for Counter {
    const DECLARATION: AgentDeclaration =
        AgentDeclaration { state_version: 2, ..AgentDeclaration::new("counter") };
    const STATE: StateJson<Self> = StateJson::by_serde();
}

type CounterRun = Run<Counter, JobContext, Output>;

const fn handler(timeout: Duration, quote: Option<Quote<Counter>>, run: CounterRun) -> Handler<Counter> {
    let declaration =
        JobDeclaration { timeout, price: Price::sat(3), ..JobDeclaration::new(5000, "handler") };
    Handler { declaration, quote, run }
}

const MINUTE: Duration = Duration::from_secs(60);

const READ: usize = 0;
const COUNT: usize = 1;
const COUNT_AND_FAIL: usize = 2;
const COUNT_AND_PANIC: usize = 3;
const COUNT_FOR_EVER: usize = 4;
const LEAVE_ALONE: usize = 5;
const TALK: usize = 6;
const PANIC_AT_ONCE: usize = 7;
const DIVIDE_BY_ZERO: usize = 8;
const BLOCK: usize = 9;

impl Jobs for Counter {
    const HANDLERS: &'static [Handler<Self>] = &[
        handler(
            MINUTE,
            None,
            Run::Shared(|agent, _| Box::pin(async { Ok(Output::new(agent.count.to_string())) })),
        ),
        handler(
            MINUTE,
            Some(|agent, _| Ok(Price::sat(agent.count))),
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    Ok(Output::new(agent.count.to_string()))
                })
            }),
        ),
        handler(
            MINUTE,
            Some(|_, _| Err(JobError::failed("not for sale"))),
            Run::Exclusive(|agent, context| {
                Box::pin(async move {
                    agent.count += 1;
                    context.memory().write("count", &agent.count)?;
                    Err(JobError::retry("later"))
                })
            }),
        ),
        handler(
            MINUTE,
            Some(|_, _| panic!("on purpose")),
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    panic!("on purpose")
                })
            }),
        ),
        handler(
            Duration::from_millis(10),
            None,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    std::future::pending().await
                })
            }),
        ),
        handler(MINUTE, None, Run::Exclusive(|_, _| Box::pin(async { Ok(Output::default()) }))),
        handler(
            MINUTE,
            None,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    context.progress("half");
                    context.partial("Hel");
                    context.memory().write("k", "v")?;
                    context.session().say("user", "hi");
                    context.publish(UnsignedEvent::new(Kind(1), "note"));
                    let known: Option<String> = context.memory().read("elsewhere").await?;
                    Ok(Output::new(format!(
                        "{} {known:?} {:?}",
                        context.attempt(),
                        context.output_of(&"07".repeat(32))
                    )))
                })
            }),
        ),
        handler(MINUTE, None, Run::Shared(|_, _| panic!("before it has a future"))),
        handler(
            MINUTE,
            None,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    agent.ratio = f64::NAN;
                    Ok(Output::default())
                })
            }),
        ),
        Handler {
            declaration: JobDeclaration::new(5000, "block"),
            quote: None,
            run: Run::Shared(|_, _| {
                Box::pin(async {
                    std::thread::sleep(Duration::from_millis(150));
                    Ok(Output::default())
                })
            }),
        },
    ];

    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule {
        declaration: ScheduleDeclaration {
            name: "tick",
            about: "",
            rule: ScheduleRule::Every(MINUTE),
            timeout: MINUTE,
        },
        run: Run::Exclusive(|agent, _| {
            Box::pin(async {
                agent.count += 10;
                Ok(())
            })
        }),
    }];

    const HOOKS: Hooks<Self> = Hooks {
        on_error: Some(Run::Shared(|_, context: AgentContext| {
            Box::pin(async move {
                let failure =
                    context.failure().ok_or_else(|| JobError::failed("no failure"))?.message.clone();
                context.memory().write("failure", &failure)
            })
        })),
        migrate: Some(|form, old| match form {
            1 => Ok(json!({"count": old["number"]})),
            other => Err(JobError::failed(format!("form {other} was never released"))),
        }),
        ..Hooks::NONE
    };
}

/// Records reports, and holds one value.
struct Quiet(Keys, Mutex<Vec<(Lease, Report)>>);

#[async_trait]
impl HandlerHost for Quiet {
    fn keys(&self) -> &Keys {
        &self.0
    }

    fn reach(&self) -> Reach {
        Reach::default()
    }

    fn report(&self, lease: Lease, report: Report) {
        self.1.lock().unwrap().push((lease, report));
    }

    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError> {
        assert_eq!(query, StateQuery::Memory { key: "elsewhere".into() });
        Ok(StateReply::Json(json!("kept")))
    }

    async fn events(&self, _: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(vec![])
    }
}

fn quiet() -> Arc<Quiet> {
    Arc::new(Quiet(Keys::from_secret(&[4; 32]).unwrap(), Mutex::default()))
}

fn request() -> JobRequest {
    let keys = Keys::from_secret(&[3; 32]).unwrap();
    JobRequest::from_event(UnsignedEvent::new(Kind(5000), "").sign(&keys, Timestamp::EPOCH)).unwrap()
}

async fn finish_task(
    cache: &StateCache<Counter>,
    host: Arc<Quiet>,
    run_id: RunId,
    task: Task,
    state: &StateSnapshot,
) -> (RunOutcome, Changes) {
    let lease = Lease { run: run_id, attempt: 2 };
    match run(cache, host, Timestamp::EPOCH, lease, task, state.clone()).await {
        Input::Finished { lease: reported, outcome, changes } => {
            assert_eq!(reported, lease);
            (outcome, changes)
        }
        other => panic!("{other:?}"),
    }
}

async fn finish(
    cache: &StateCache<Counter>,
    handler: usize,
    state: &StateSnapshot,
) -> (RunOutcome, Option<String>) {
    let request = request();
    let id = RunId::Job(request.id());
    let task = Task::Job { handler, request: Box::new(request), outputs: vec![] };
    let (outcome, changes) = finish_task(cache, quiet(), id, task, state).await;
    (outcome, changes.state)
}

fn stored(version: u64, json: &str) -> StateSnapshot {
    StateSnapshot { version, form: 2, json: Some(json.into()) }
}

fn message(outcome: RunOutcome) -> (String, bool) {
    match outcome {
        RunOutcome::Failed { message, retryable, .. } => (message, retryable),
        RunOutcome::Done(output) => panic!("{output:?}"),
    }
}

#[tokio::test]
async fn begins_with_the_default_and_gives_back_what_a_handler_changed() {
    let cache = StateCache::default();
    let (outcome, state) = finish(&cache, COUNT, &StateSnapshot::default()).await;
    assert_eq!(outcome, RunOutcome::Done(Output::new("1")));
    let state = stored(1, &state.unwrap());
    assert_eq!(finish(&cache, COUNT, &state).await.0, RunOutcome::Done(Output::new("2")));
}

#[tokio::test]
async fn a_state_that_was_not_committed_is_not_seen() {
    let cache = StateCache::default();
    finish(&cache, COUNT, &StateSnapshot::default()).await;
    let (outcome, _) = finish(&cache, COUNT, &StateSnapshot::default()).await;
    assert_eq!(outcome, RunOutcome::Done(Output::new("1")), "the engine still has the first version");
}

#[tokio::test]
async fn a_state_that_another_run_committed_under_the_same_number_is_not_taken_for_its_own() {
    for (handler, expected) in [(READ, "7"), (COUNT, "8")] {
        let cache = StateCache::default();
        // Its changes were not committed, as if its lease had ended; those of another run were.
        finish(&cache, COUNT, &stored(0, "{\"count\":0}")).await;
        let (outcome, _) = finish(&cache, handler, &stored(1, "{\"count\":7}")).await;
        assert_eq!(outcome, RunOutcome::Done(Output::new(expected)));
    }
}

#[tokio::test]
async fn a_failed_run_changes_nothing() {
    let cache = StateCache::default();
    let state = stored(4, "{\"count\":7}");
    for handler in [COUNT_AND_FAIL, COUNT_AND_PANIC, COUNT_FOR_EVER] {
        assert_eq!(finish(&cache, handler, &state).await.1, None);
        assert_eq!(finish(&cache, READ, &state).await.0, RunOutcome::Done(Output::new("7")));
    }
}

#[tokio::test]
async fn a_failed_run_remembers_nothing() {
    let request = request();
    let task = Task::Job { handler: COUNT_AND_FAIL, request: Box::new(request.clone()), outputs: vec![] };
    let id = RunId::Job(request.id());
    let (outcome, changes) =
        finish_task(&StateCache::default(), quiet(), id, task, &StateSnapshot::default()).await;
    assert_eq!(message(outcome), ("later".into(), true));
    assert!(changes.memory.is_empty());
}

#[tokio::test]
async fn a_panic_is_a_final_error_that_tells_the_customer_nothing() {
    for handler in [COUNT_AND_PANIC, PANIC_AT_ONCE] {
        let (outcome, _) = finish(&StateCache::default(), handler, &StateSnapshot::default()).await;
        assert_eq!(message(outcome), ("the agent failed to do this job".into(), false));
    }
}

#[tokio::test]
async fn a_handler_that_takes_too_long_fails_for_good() {
    let (outcome, _) = finish(&StateCache::default(), COUNT_FOR_EVER, &StateSnapshot::default()).await;
    assert_eq!(message(outcome), ("the agent did not finish within 10ms".into(), false));
}

#[tokio::test]
async fn a_state_that_did_not_change_is_not_stored_again() {
    let (outcome, state) =
        finish(&StateCache::default(), LEAVE_ALONE, &stored(4, "{\"count\":7,\"ratio\":0.0}")).await;
    assert_eq!((outcome, state), (RunOutcome::Done(Output::default()), None));
}

#[tokio::test]
async fn a_state_of_another_form_fails_the_job_and_says_what_to_do() {
    let cache = StateCache::<Counter>::default();
    let foreign = stored(1, "{\"count\":\"seven\"}");
    assert!(cache.shared(&foreign).unwrap_err().to_string().contains("keeps its type"));
    let (outcome, _) = finish(&cache, COUNT, &foreign).await;
    assert_eq!(message(outcome), ("the agent cannot read its state".into(), false));
}

#[tokio::test]
async fn a_state_of_an_earlier_version_is_migrated_and_stored_in_todays_form() {
    let old = StateSnapshot { form: 1, ..stored(3, "{\"number\":7}") };
    let (outcome, state) = finish(&StateCache::default(), COUNT, &old).await;
    assert_eq!(
        (outcome, state.as_deref()),
        (RunOutcome::Done(Output::new("8")), Some("{\"count\":8,\"ratio\":0.0}"))
    );
}

#[test]
fn says_which_states_cannot_be_read() {
    let cache = StateCache::<Counter>::default();
    let error = |form| cache.shared(&StateSnapshot { form, ..stored(1, "{}") }).unwrap_err();
    assert!(matches!(error(3), StateError::Newer { stored: 3, known: 2 }));
    assert!(matches!(error(0), StateError::Migration { stored: 0, .. }));
}

#[tokio::test]
async fn gives_a_handler_what_it_builds_upon_and_takes_all_that_it_leaves() {
    let request = request();
    let id = RunId::Job(request.id());
    let outputs = vec![JobOutput { event: EventId::from_bytes([7; 32]), content: "upstream".into() }];
    let task = Task::Job { handler: TALK, request: Box::new(request), outputs };
    let agent_context = quiet();
    let (outcome, changes) =
        finish_task(&StateCache::default(), Arc::clone(&agent_context), id, task, &StateSnapshot::default())
            .await;
    assert_eq!(outcome, RunOutcome::Done(Output::new("2 Some(\"kept\") Some(\"upstream\")")));
    assert_eq!(changes.memory["k"].as_deref(), Some("\"v\""));
    assert_eq!((changes.turns.len(), changes.events.len(), changes.state), (1, 1, None));
    let lease = Lease { run: id, attempt: 2 };
    let said = agent_context.1.lock().unwrap().clone();
    assert_eq!(said, [(lease, Report::Progress("half".into())), (lease, Report::Partial("Hel".into()))]);
}

#[tokio::test]
async fn runs_schedules_on_the_state() {
    let run = RunId::Schedule(0);
    let state = stored(1, "{\"count\":7}");
    let (outcome, changes) =
        finish_task(&StateCache::default(), quiet(), run, Task::Schedule(0), &state).await;
    assert_eq!(outcome, RunOutcome::Done(Output::default()));
    assert_eq!(changes.state.as_deref(), Some("{\"count\":17,\"ratio\":0.0}"));
}

#[tokio::test]
async fn tells_on_error_which_job_failed() {
    let request = request();
    let failure = JobFailure {
        request: request.id(),
        kind: request.kind(),
        customer: request.customer(),
        message: "no such model".into(),
    };
    let hook = RunId::Hook(Hook::Error);
    let task = Task::Hook(Hook::Error, Some(failure));
    let (_, changes) =
        finish_task(&StateCache::default(), quiet(), hook, task, &StateSnapshot::default()).await;
    assert_eq!(changes.memory["failure"].as_deref(), Some("\"no such model\""));
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test]
async fn a_handler_that_holds_its_thread_is_named_once() {
    let write = |_, line: &str| LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
    let subscriber = ConsoleSubscriber::new(LevelFilter::WARN, LogFormat::Text, write);
    // With a single dispatcher in the process, `tracing` asks the one of the thread that reaches a line first whether the
    // line is wanted, and other tests reach it as well, without any. With two it asks both.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _logging = tracing::subscriber::set_default(subscriber);
    for handler in [BLOCK, BLOCK] {
        finish(&StateCache::default(), handler, &StateSnapshot::default()).await;
    }
    let lines = LINES.take();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("`block` held its thread for ") && line.starts_with("job{job="), "{line}");
}

#[tokio::test]
async fn a_state_that_could_not_be_read_back_fails_the_job_and_changes_nothing() {
    let cache = StateCache::<Counter>::default();
    let state = stored(1, "{\"count\":7,\"ratio\":0.5}");
    let (outcome, changed) = finish(&cache, DIVIDE_BY_ZERO, &state).await;
    assert_eq!(message(outcome), ("the agent cannot store its state".to_owned(), false));
    assert_eq!(changed, None);
    let (outcome, changed) = finish(&cache, COUNT, &state).await;
    assert_eq!(outcome, RunOutcome::Done(Output::new("8")));
    assert_eq!(changed.as_deref(), Some("{\"count\":8,\"ratio\":0.5}"));
}

#[test]
fn names_the_fields_that_do_not_fit() {
    let unreadable = |json: &str| {
        let error = StateCache::<Counter>::default().shared(&stored(1, json)).unwrap_err();
        error.to_string()
    };
    let told = unreadable("{\"count\":3,\"ratio\":null}");
    assert!(told.contains("the field `ratio`: ") && told.contains("`#[migrate]`"), "{told}");
    let told = unreadable("{\"count\":-1,\"ratio\":\"x\",\"other\":1}");
    assert!(told.contains("the fields `count`, `ratio`: "), "{told}");
    assert!(unreadable("7").contains("does not fit the agent's fields: invalid"), "{}", unreadable("7"));
}

#[test]
fn asks_a_handler_for_its_price() {
    let (cache, request) = (StateCache::<Counter>::default(), request());
    let state = stored(1, "{\"count\":7}");
    let price = |handler| match quote(&cache, request.id(), handler, &request, &state) {
        Input::Quoted { job, price } => {
            assert_eq!(job, request.id());
            price
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(price(COUNT), Ok(Price::sat(7)));
    assert_eq!(price(READ), Ok(Price::sat(3)), "the declared one, where no other is found");
    assert_eq!(price(COUNT_AND_FAIL), Err(QuoteError::Refused("not for sale".into())));
    assert_eq!(price(COUNT_AND_PANIC), Err(QuoteError::Panicked));
}

#[test]
fn tells_the_customer_nothing_of_a_state_that_no_price_can_be_found_on() {
    let cache = StateCache::<Counter>::default();
    let foreign = stored(1, "{\"count\":\"seven\"}");
    let Input::Quoted { price: Err(error), .. } = quote(&cache, request().id(), COUNT, &request(), &foreign)
    else {
        panic!()
    };
    assert_eq!(error.to_string(), "the agent cannot read its state");
}

#[test]
fn knows_of_an_agent_what_its_engine_needs() {
    let spec = agent_spec::<Counter>();
    assert_eq!((spec.handlers.len(), spec.schedules.len()), (10, 1));
    assert_eq!((spec.handlers[READ].exclusive, spec.handlers[READ].quotes), (false, false));
    assert_eq!((spec.handlers[COUNT].exclusive, spec.handlers[COUNT].quotes), (true, true));
    assert!(spec.schedules[0].exclusive);
    assert_eq!((spec.hooks.on_error, spec.hooks.on_create), (Some(false), None));
}
