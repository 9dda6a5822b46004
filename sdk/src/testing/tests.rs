mod blobs;
mod variables;
mod web;

use std::time::Duration;

use openagents_host::net::HttpError;
use openagents_host::{Encryption, Kind, Timestamp, UnsignedEvent};
use openagents_relay::Filter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Job, Page, TestAgent, customer};
use crate::author::agent::{Agent, Jobs, StateJson};
use crate::author::context::AgentContext;
use crate::author::handler::{Handler, Hooks, Run, Schedule};
use crate::author::job::JobContext;
use crate::declaration::{AgentDeclaration, JobDeclaration, ScheduleDeclaration, ScheduleRule};
use crate::engine::{JobState, Output};
use crate::error::JobError;
use crate::nip90::Status;
use crate::payment::Settlement;
use crate::price::Price;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const COUNT: u16 = 5000;
const PERSIST: u16 = 5001;
const SLEEP: u16 = 5002;
const ECHO: u16 = 5003;
const PAID: u16 = 5004;
const FETCH: u16 = 5005;
const REMEMBER: u16 = 5006;
const READ: u16 = 5007;
const PANIC: u16 = 5008;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Probe {
    count: u64,
    ticks: u64,
}

impl Agent for Probe {
    const DECLARATION: AgentDeclaration =
        AgentDeclaration { state_version: 2, ..AgentDeclaration::new("probe") };
    const STATE: StateJson<Self> = StateJson::by_serde();
}

type RunJob = Run<Probe, JobContext, Output>;

const fn handler(kind: u16, price: Price, run: RunJob) -> Handler<Probe> {
    Handler { declaration: JobDeclaration { price, ..JobDeclaration::new(kind, "test") }, quote: None, run }
}

/// Counts itself every hour, by `&mut self`.
const TICK: Schedule<Probe> = Schedule {
    declaration: ScheduleDeclaration {
        name: "tick",
        about: "",
        rule: ScheduleRule::Every(Duration::from_secs(3600)),
        timeout: MINUTE,
    },
    run: Run::Exclusive(|agent: &mut Probe, _: AgentContext| {
        Box::pin(async {
            agent.ticks += 1;
            Ok(())
        })
    }),
};

impl Jobs for Probe {
    const HANDLERS: &'static [Handler<Self>] = &[
        handler(
            COUNT,
            Price::FREE,
            Run::Exclusive(|agent, _| {
                Box::pin(async {
                    agent.count += 1;
                    Ok(Output::new(agent.count.to_string()))
                })
            }),
        ),
        handler(
            PERSIST,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    match context.attempt() {
                        3 => Ok(Output::new("third time lucky")),
                        attempt => Err(JobError::retry(format!("attempt {attempt} was in vain"))),
                    }
                })
            }),
        ),
        handler(
            SLEEP,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    let seconds = context.request().text().unwrap_or("0").parse()?;
                    context.progress("half asleep");
                    context.sleep(Duration::from_secs(seconds)).await;
                    Ok(Output::new(format!("attempt {}", context.attempt())))
                })
            }),
        ),
        handler(
            ECHO,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    let request = context.request();
                    let language = request.params.first("language").unwrap_or("none");
                    Ok(Output::new(format!("{} in {language}", request.text().unwrap_or_default())))
                })
            }),
        ),
        handler(PAID, Price::sat(21), Run::Shared(|_, _| Box::pin(async { Ok(Output::new("worth it")) }))),
        handler(
            FETCH,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    let url = context.request().text().unwrap_or_default();
                    let read = async {
                        let mut response = context.http().get(url).bearer("key").send().await?;
                        let status = response.status();
                        let mut text = Vec::new();
                        while let Some(chunk) = response.chunk().await? {
                            text.extend_from_slice(&chunk);
                            context.partial(String::from_utf8_lossy(&text));
                        }
                        Ok::<_, HttpError>(format!("{status} {}", String::from_utf8_lossy(&text)))
                    };
                    let read = read.await.map_err(|error| JobError::failed(error.to_string()))?;
                    Ok(Output::new(read))
                })
            }),
        ),
        handler(
            REMEMBER,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    let text = context.request().text().unwrap_or_default();
                    let memory = context.memory();
                    let before: Option<String> = memory.read("last").await?;
                    memory.write("last", text)?;
                    context.session().say("user", text);
                    memory.sql("CREATE TABLE IF NOT EXISTS my_words (word TEXT)", &[]).await?;
                    memory.sql("INSERT INTO my_words VALUES (?)", &[text.into()]).await?;
                    context.publish(UnsignedEvent::new(Kind(1), text));
                    Ok(Output::new(before.unwrap_or_default()))
                })
            }),
        ),
        handler(
            READ,
            Price::FREE,
            Run::Shared(|_, context| {
                Box::pin(async move {
                    let notes = context.events([Filter::new().kinds([1])]).await?;
                    let texts: Vec<&str> = notes.iter().map(|note| note.content.as_str()).collect();
                    Ok(Output::new(texts.join(",")))
                })
            }),
        ),
        handler(PANIC, Price::FREE, Run::Shared(|_, _| Box::pin(async { panic!("on purpose") }))),
    ];

    const SCHEDULES: &'static [Schedule<Self>] = &[TICK];

    const HOOKS: Hooks<Self> = Hooks {
        migrate: Some(|version, state| match version {
            1 => Ok(json!({ "count": state["counted"] })),
            other => Err(JobError::failed(format!("form {other}"))),
        }),
        ..Hooks::NONE
    };
}

fn start() -> TestAgent<Probe> {
    TestAgent::start()
}

#[test]
fn does_a_job_without_time_passing() {
    let mut agent = start();
    let began = agent.now();
    let job = agent.submit(Job::of(ECHO).text("Ada").param("language", "en"));
    assert_eq!(agent.result(&job).content, "Ada in en");
    assert_eq!(agent.now(), began);
    assert_eq!(agent.job(&job).state, JobState::Done);
    assert_eq!(agent.feedback(&job).len(), 0, "it ended at once");
}

#[test]
fn a_job_that_goes_on_has_feedback_that_it_is_being_processed() {
    let mut agent = start();
    let job = agent.submit(Job::of(SLEEP).text("30"));
    let feedback = agent.feedback(&job);
    assert!(feedback.iter().all(|feedback| feedback.status == Status::Processing));
    assert_eq!(feedback.len(), 2, "before what the handler says");
}

#[test]
fn keeps_jobs_apart_that_are_the_same() {
    let mut agent = start();
    let jobs = [(); 3].map(|()| agent.submit(Job::of(COUNT).text("Ada")));
    let results = jobs.map(|job| agent.result(&job).content);
    assert_eq!(results, ["1", "2", "3"]);
    assert_eq!(agent.state(), Probe { count: 3, ticks: 0 });
}

#[test]
fn tries_again_when_the_pause_is_over_and_not_before() {
    let mut agent = start();
    let job = agent.submit(Job::of(PERSIST));
    agent.settle();
    assert_eq!((agent.job(&job).state, agent.job(&job).attempts), (JobState::Queued, 1));
    agent.advance(Duration::from_millis(999));
    assert_eq!(agent.job(&job).attempts, 1);
    agent.advance(Duration::from_millis(1));
    assert_eq!(agent.job(&job).attempts, 2);
    agent.advance(SECOND * 2);
    assert_eq!(agent.result(&job).content, "third time lucky");
}

#[test]
fn finishes_a_job_with_all_its_attempts_in_virtual_time() {
    let mut agent = start();
    let began = agent.now();
    let job = agent.submit(Job::of(PERSIST));
    agent.finish(&job);
    assert_eq!(agent.result(&job).content, "third time lucky");
    assert_eq!(began.until(agent.now()), SECOND * 3);
}

#[test]
fn time_passes_as_handlers_sleep_only_when_the_test_lets_it() {
    let mut agent = start();
    let began = agent.now();
    let job = agent.submit(Job::of(SLEEP).text("30"));
    assert_eq!(agent.job(&job).state, JobState::Running);
    agent.advance(SECOND * 29);
    assert_eq!(agent.job(&job).state, JobState::Running);
    agent.settle();
    assert_eq!(began.until(agent.now()), SECOND * 30);
    assert_eq!(agent.result(&job).content, "attempt 1");
    assert_eq!(agent.feedback(&job)[1].message.as_deref(), Some("half asleep"));
}

#[test]
fn ends_a_handler_that_outlasts_its_timeout() {
    let mut agent = start();
    let job = agent.submit(Job::of(SLEEP).text("61"));
    agent.settle();
    assert_eq!(agent.error(&job), "the agent did not finish within 60s");
}

#[test]
fn runs_a_schedule_by_virtual_time() {
    let mut agent = start();
    agent.advance(MINUTE * 59);
    assert_eq!(agent.state().ticks, 0);
    agent.advance(MINUTE);
    assert_eq!(agent.state().ticks, 1);
    agent.advance(MINUTE * 60 * 23);
    assert_eq!(agent.state().ticks, 24);
}

#[test]
fn runs_a_schedule_by_hand() {
    let mut agent = start();
    agent.run_schedule("tick");
    assert_eq!(agent.state().ticks, 1);
}

#[test]
fn cancels_a_running_job() {
    let mut agent = start();
    let job = agent.submit(Job::of(SLEEP).text("30"));
    agent.cancel(&job);
    assert_eq!(agent.job(&job).state, JobState::Cancelled);
    agent.advance(MINUTE);
    assert!(agent.find_result(&job).is_none());
    assert_eq!(agent.error(&job), "cancelled by the customer");
}

#[test]
fn does_a_paid_job_when_it_is_paid() {
    let mut agent = start();
    let job = agent.submit(Job::of(PAID).bid(Price::sat(100)));
    agent.advance(MINUTE);
    assert_eq!(agent.job(&job).state, JobState::AwaitingPayment);
    let [invoice] = &agent.wallet().invoices()[..] else { panic!("one invoice") };
    assert_eq!(
        (invoice.invoice.bolt11.as_str(), invoice.request.price),
        ("lnbcrt-test-0001", Price::sat(21))
    );
    agent.pay(&job);
    assert_eq!(agent.result(&job).content, "worth it");
    assert_eq!(agent.wallet().invoices()[0].settlement, Settlement::Paid);
}

#[test]
fn gives_up_a_job_that_is_not_paid() {
    let mut agent = start();
    let job = agent.submit(Job::of(PAID));
    agent.finish(&job);
    assert_eq!(agent.error(&job), "the invoice was not paid in time");
}

#[test]
fn a_broken_wallet_holds_a_paid_job_up() {
    let mut agent = start();
    agent.wallet().break_down("the node is gone");
    let job = agent.submit(Job::of(PAID));
    agent.advance(MINUTE);
    assert!(agent.warnings()[0].contains("the node is gone"), "{:?}", agent.warnings());
    assert!(agent.wallet().invoices().is_empty());
    agent.wallet().repair();
    agent.advance(MINUTE);
    agent.pay(&job);
    assert_eq!(agent.result(&job).content, "worth it");
}

#[test]
fn a_wallet_that_breaks_down_after_its_invoice_is_asked_again() {
    let mut agent = start();
    let job = agent.submit(Job::of(PAID));
    let invoice = agent.wallet().invoices()[0].invoice.bolt11.clone();
    assert!(agent.wallet().pay(&invoice));
    agent.wallet().break_down("the node is gone");
    agent.advance(MINUTE);
    assert!(agent.warnings()[0].contains("the node is gone"), "{:?}", agent.warnings());
    assert_eq!(agent.job(&job).state, JobState::AwaitingPayment);
    agent.wallet().repair();
    agent.advance(MINUTE);
    assert_eq!(agent.result(&job).content, "worth it");
}

#[test]
fn an_agent_without_a_wallet_refuses_a_paid_job() {
    let mut agent = TestAgent::<Probe>::builder().without_wallet().start();
    let job = agent.submit(Job::of(PAID));
    assert_eq!(agent.job(&job).state, JobState::Rejected);
    assert!(agent.error(&job).contains("no wallet"));
}

#[test]
fn asks_and_answers_under_seal() {
    for encryption in [Encryption::Nip04, Encryption::Nip44] {
        let mut agent = start();
        let job = agent.submit(Job::of(ECHO).text("Ada").param("language", "en").sealed(encryption));
        assert_eq!(agent.result(&job).content, "Ada in en", "{encryption:?}");
        let job = agent.submit(Job::of(SLEEP).text("soon").sealed(encryption));
        agent.finish(&job);
        assert_eq!(agent.error(&job), "the agent failed to do this job", "{encryption:?}");
        let told = agent.relay_events().iter().map(|event| event.json().to_string()).collect::<String>();
        assert!(!told.contains("Ada") && !told.contains("soon") && !told.contains("failed to"), "{told}");
    }
}

#[test]
fn an_evicted_agent_begins_its_run_again() {
    let mut agent = start();
    let done = agent.submit(Job::of(COUNT));
    let job = agent.submit(Job::of(SLEEP).text("30"));
    agent.advance(SECOND * 20);
    agent.evict();
    assert_eq!((agent.job(&job).state, agent.job(&job).attempts), (JobState::Running, 2));
    agent.advance(SECOND * 20);
    assert!(agent.find_result(&job).is_none(), "the first run is lost");
    agent.settle();
    assert_eq!(agent.result(&job).content, "attempt 2");
    assert_eq!((agent.state().count, agent.result(&done).content), (1, "1".to_owned()));
}

#[test]
fn forgets_without_losing_anything() {
    let mut agent = start();
    for count in ["1", "2", "3"] {
        let job = agent.submit(Job::of(COUNT));
        assert_eq!(agent.result(&job).content, count);
        agent.forget();
    }
    let job = agent.submit(Job::of(SLEEP).text("30"));
    agent.forget();
    agent.settle();
    assert_eq!(agent.result(&job).content, "attempt 1", "it is not forgotten while it runs");
}

#[test]
fn shows_what_the_agent_remembers_and_publishes() {
    let mut agent = start();
    let jobs = ["moon", "sun"].map(|word| agent.submit(Job::of(REMEMBER).text(word)));
    assert_eq!(agent.result(&jobs[1]).content, "moon");
    assert_eq!(agent.memory("last"), Some("sun".to_owned()));
    assert_eq!(agent.memory::<u64>("first"), None);
    let said: Vec<String> = agent.turns(&customer(1)).into_iter().map(|turn| turn.text).collect();
    assert_eq!(said, ["moon", "sun"]);
    assert!(agent.turns(&customer(2)).is_empty());
    let published: Vec<_> = agent.published().iter().map(|event| event.content.clone()).collect();
    assert_eq!(published, ["moon", "sun"]);
}

#[test]
fn shows_the_tables_of_the_agent() {
    let mut agent = start();
    agent.submit(Job::of(REMEMBER).text("moon"));
    agent.submit(Job::of(REMEMBER).text("sun"));
    assert_eq!(agent.sql("SELECT count(*) FROM my_words", &[]), [[Value::from(2)]]);
}

#[test]
fn the_agent_reads_what_is_on_its_relay() {
    let mut agent = start();
    for (second, text) in [(1, "first"), (2, "second")] {
        let note = UnsignedEvent::new(Kind(1), text).sign(&customer(3), Timestamp::from_seconds(second));
        agent.publish(&note);
    }
    let job = agent.submit(Job::of(READ));
    assert_eq!(agent.result(&job).content, "second,first");
}

#[test]
fn answers_a_job_from_an_outside_relay_there_as_well() {
    let mut agent = start();
    let job = agent.submit_external("wss://relay.example/", Job::of(ECHO).text("Ada"));
    assert_eq!(agent.result(&job).content, "Ada in none");
    let kinds: Vec<u16> =
        agent.external_events("wss://relay.example").iter().map(|event| event.kind.0).collect();
    assert_eq!(kinds, [ECHO, ECHO + 1000]);
}

#[test]
fn waits_for_the_output_that_a_job_builds_upon() {
    let mut agent = start();
    let first = agent.submit(Job::of(SLEEP).text("30"));
    let second = agent.submit(Job::of(COUNT).output_of(&first));
    assert_eq!(agent.job(&second).state, JobState::AwaitingInput);
    agent.finish(&second);
    assert_eq!(agent.job(&first).state, JobState::Done);
    assert_eq!(agent.result(&second).content, "1");
}

#[test]
fn starts_in_a_state_of_this_release_or_an_earlier_one() {
    let mut agent = TestAgent::<Probe>::builder().state(&Probe { count: 7, ticks: 2 }).start();
    let job = agent.submit(Job::of(COUNT));
    assert_eq!(agent.result(&job).content, "8");
    assert_eq!(agent.state().ticks, 2);
    let agent = TestAgent::<Probe>::builder().stored_state(1, json!({ "counted": 41 })).start();
    assert_eq!(agent.state().count, 41);
}

#[test]
#[should_panic(expected = "the agent cannot start: the state has version 3, from a newer release")]
fn does_not_start_in_a_state_that_it_cannot_read() {
    let _ = TestAgent::<Probe>::builder().stored_state(3, json!({})).start();
}

#[test]
fn two_customers_are_two_people() {
    let mut agent = start();
    agent.submit(Job::of(REMEMBER).text("moon").from(&customer(1)));
    agent.submit(Job::of(REMEMBER).text("sun").from(&customer(2)));
    assert_eq!(agent.turns(&customer(1)).len(), 1);
    assert_eq!(agent.turns(&customer(2))[0].text, "sun");
}

#[test]
#[should_panic(
    expected = "has no result: it is failed after 1 attempts; its last feedback was error: the agent failed to do this job"
)]
fn says_why_there_is_no_result() {
    let mut agent = start();
    let job = agent.submit(Job::of(PANIC));
    let _ = agent.result(&job);
}

#[test]
#[should_panic(expected = "`settle` lets time pass until its handler has finished")]
fn says_how_to_come_to_a_result() {
    let mut agent = start();
    let job = agent.submit(Job::of(SLEEP).text("30"));
    let _ = agent.result(&job);
}

#[test]
#[should_panic(expected = "has no handler for its kind")]
fn says_that_a_job_was_not_taken() {
    let mut agent = start();
    let job = agent.submit(Job::of(5999));
    agent.finish(&job);
}

#[test]
#[should_panic(expected = "no payment is requested for job")]
fn says_that_there_is_nothing_to_pay() {
    let mut agent = start();
    let job = agent.submit(Job::of(COUNT));
    agent.pay(&job);
}

#[tokio::test]
#[should_panic(expected = "use #[test] instead of #[tokio::test]")]
async fn says_that_it_brings_its_own_runtime() {
    let _ = start();
}
