//! A crash in every state of a job: whatever crashes, a request gets exactly one final answer, and the agent's state
//! agrees with it.
//!
//! The results are printed as a table; `OPENAGENTS_WRITE_MATRIX=1` also writes it to `docs/crash-matrix.md`.

mod matrix;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, event_at, fresh_author, now};
use openagents_tests::jobs::{self, Conversation, ask, follow, listen, request, status, status_text};
use openagents_tests::server::{Host, Object, Server};
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

pub(crate) use matrix::report;

scenarios! {
    on Host::ALL => {
        every_state_survives_a_kill,
        every_millisecond_survives_a_kill,
    }
    on [Host::Workerd] => {
        every_state_survives_the_eviction_of_the_agents_object,
        every_state_survives_the_eviction_of_the_relays_object,
        every_state_survives_the_abortion_of_all_objects,
        every_millisecond_survives_the_abortion_of_all_objects,
    }
}

/// How long a job may take after a crash: its lease may have to expire first.
const RECOVERY: Duration = Duration::from_secs(40);

/// What crashes.
#[derive(Debug, Clone, Copy)]
enum Crash {
    /// The process, with `kill -9`.
    Process,
    /// A Durable Object is evicted by the runtime: its current work may finish first, and its sockets hibernate.
    Evicted(Object),
    /// All Durable Objects, in the middle of their work; their sockets are closed.
    Aborted,
}

impl Crash {
    fn name(self) -> &'static str {
        match self {
            Self::Process => "process killed",
            Self::Evicted(Object::Agent) => "agent's object evicted",
            Self::Evicted(Object::Relay) => "relay's object evicted",
            Self::Aborted => "all objects aborted",
        }
    }
}

type Row = for<'cell> fn(&'cell Cell<'cell>) -> Pin<Box<dyn Future<Output = String> + 'cell>>;

/// The moments of the crash. Each function returns what its request got.
const ROWS: [(&str, Row); 16] = [
    ("published, not yet acknowledged", |cell| Box::pin(published(cell))),
    ("acknowledged", |cell| Box::pin(acknowledged(cell))),
    ("refused", |cell| Box::pin(refused(cell))),
    ("waiting for the output of another job", |cell| Box::pin(awaiting_input(cell))),
    ("queued behind an exclusive job", |cell| Box::pin(queued(cell))),
    ("running, attempt 1", |cell| Box::pin(running(cell))),
    ("running, partial output shown", |cell| Box::pin(running_with_partial_output(cell))),
    ("failed once, waiting for its retry", |cell| Box::pin(waiting_for_retry(cell))),
    ("running, attempt 2", |cell| Box::pin(running_again(cell))),
    ("ending just now", |cell| Box::pin(ending(cell))),
    ("done", |cell| Box::pin(done(cell))),
    ("queued, its cancellation just published", |cell| Box::pin(cancelling_while_queued(cell))),
    ("running, its cancellation just published", |cell| Box::pin(cancelling_while_running(cell))),
    ("cancelled while waiting for input", |cell| Box::pin(cancelled_while_waiting(cell))),
    ("cancelled while queued", |cell| Box::pin(cancelled_while_queued(cell))),
    ("cancelled while running", |cell| Box::pin(cancelled_while_running(cell))),
];

async fn every_state_survives_a_kill(servers: &Servers) {
    fill_column(servers, Crash::Process).await;
}

async fn every_state_survives_the_eviction_of_the_agents_object(servers: &Servers) {
    fill_column(servers, Crash::Evicted(Object::Agent)).await;
}

async fn every_state_survives_the_eviction_of_the_relays_object(servers: &Servers) {
    fill_column(servers, Crash::Evicted(Object::Relay)).await;
}

async fn every_state_survives_the_abortion_of_all_objects(servers: &Servers) {
    fill_column(servers, Crash::Aborted).await;
}

async fn every_millisecond_survives_a_kill(servers: &Servers) {
    // Restarting workerd takes seconds.
    let moments =
        if servers.host() == Host::Workerd { (0..30).step_by(5).collect() } else { (0..60).collect() };
    crash_at_each(servers, Crash::Process, moments).await;
}

async fn every_millisecond_survives_the_abortion_of_all_objects(servers: &Servers) {
    crash_at_each(servers, Crash::Aborted, (0..60).step_by(3).collect()).await;
}

/// Crashes one server in every state, one after another. A failing row does not prevent the others.
async fn fill_column(servers: &Servers, crash: Crash) {
    let server = servers.own("probe");
    let mut failures = Vec::new();
    for (row, play) in ROWS {
        let outcome = in_cell(&server, crash, play).await;
        matrix::fill(row, servers.host(), crash.name(), outcome.clone());
        failures.extend(outcome.err().map(|failure| format!("{row}: {failure}")));
    }
    assert!(failures.is_empty(), "{}, {}:\n{}", servers.host().name(), crash.name(), failures.join("\n"));
}

/// Runs one row. The agent's own counter must agree with the results that its customers got.
async fn in_cell(server: &Server, crash: Crash, row: Row) -> Result<String, String> {
    let cell = Cell { server, crash, customer: fresh_author(), before: 0.into(), results: 0.into() };
    let play = AssertUnwindSafe(async {
        cell.before.set(cell.count().await);
        let got = row(&cell).await;
        let (counted, expected) = (cell.count().await, cell.before.get() + cell.results.get());
        assert_eq!(counted, expected, "the state does not agree with the results");
        got
    });
    play.catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// One job and one crash at each of these milliseconds after its publication.
async fn crash_at_each(servers: &Servers, crash: Crash, moments: Vec<u64>) {
    let server = servers.own("probe");
    let agent = server.agent();
    let customer = fresh_author();
    let mut attempts = [0; 4];
    let started = Instant::now();
    for (done, moment) in moments.iter().enumerate() {
        let name = format!("{moment}ms");
        let request = request(&customer, 5920, Some(agent), &name, &[("milliseconds", "20")]);
        let cell =
            Cell { server: &server, crash, customer: customer.clone(), before: 0.into(), results: 0.into() };
        cell.send(&request).await;
        tokio::time::sleep(Duration::from_millis(*moment)).await;
        cell.crash();
        cell.publish(&request).await;
        let content = cell.last_word(&request).await.result().content.clone();
        let attempt = content.strip_prefix(&format!("{name} {} ", done + 1));
        let attempt =
            attempt.unwrap_or_else(|| panic!("after {moment} ms, {done} jobs done before: {content}"));
        attempts[attempt.parse::<usize>().expect("an attempt")] += 1;
    }
    let row = "at any millisecond from its publication on";
    let text = format!("{0} crashes, 1 result each ({1} by a second attempt)", moments.len(), attempts[2]);
    matrix::fill(row, servers.host(), crash.name(), Ok(text));
    println!("{} crashes, {}: {:?}", moments.len(), crash.name(), started.elapsed());
}

/// One row on one server.
struct Cell<'server> {
    server: &'server Server,
    crash: Crash,
    customer: Keys,
    /// The number of jobs that the agent had counted before.
    before: std::cell::Cell<u64>,
    /// The number of this cell's jobs with a result.
    results: std::cell::Cell<u64>,
}

impl Cell<'_> {
    fn crash(&self) {
        let crashed = match self.crash {
            Crash::Process => self.server.kill_and_restart(),
            Crash::Evicted(object) => self.server.hibernate(object),
            Crash::Aborted => self.server.abort_objects(),
        };
        crashed.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn client(&self) -> Client {
        Client::connect(&self.server.url()).await
    }

    fn job(&self, input: &str, parameters: &[(&str, &str)]) -> Event {
        request(&self.customer, 5920, Some(self.server.agent()), input, parameters)
    }

    /// Publishes without waiting for anything.
    async fn send(&self, request: &Event) {
        self.client().await.send(&json!(["EVENT", as_json(request)])).await;
    }

    /// Publishes until the relay accepts it, as a customer without an answer would.
    async fn publish(&self, request: &Event) {
        self.client().await.publish_accepted(request).await;
    }

    /// Publishes an event that its author has deleted, which the relay rejects.
    async fn publish_in_vain(&self, request: &Event) {
        let answer = self.client().await.publish(request).await;
        assert!(!answer.accepted && answer.message.starts_with("blocked: "), "{answer:?}");
    }

    /// Publishes a request and waits until the agent has sent feedback with this status.
    async fn publish_until(&self, request: &Event, wanted: &str) {
        let mut client = self.client().await;
        listen(&mut client, request).await;
        client.publish_accepted(request).await;
        while status(&client.next_event(&jobs::subscription(request)).await) != wanted {}
    }

    async fn cancel(&self, request: &Event) {
        let (id, kind) = (request.id.to_hex(), request.kind.to_string());
        self.publish(&event(&self.customer, 5, &[&["e", &id], &["k", &kind]], "")).await;
    }

    /// All answers to a request, once its final answer has arrived and no other has followed.
    async fn last_word(&self, request: &Event) -> Conversation {
        let mut client = self.client().await;
        let mut said = listen(&mut client, request).await;
        follow(&mut client, request, &mut said, RECOVERY).await;
        client.expect_silence().await;
        jobs::stored(&mut client, request).await
    }

    /// Expects one result: the input, the expected count, and the attempt, which is returned.
    async fn expect_result(&self, request: &Event, input: &str) -> String {
        let said = self.last_word(request).await;
        self.results.set(self.results.get() + 1);
        let errors = said.statuses().iter().filter(|status| *status == "error").count();
        assert_eq!(errors, 0, "an error beside the result: {said:?}");
        let content = &said.result().content;
        let counted = self.before.get() + self.results.get();
        let attempt = content.strip_prefix(&format!("{input} {counted} "));
        let attempt = attempt.unwrap_or_else(|| panic!("expected `{input} {counted} …`, got `{content}`"));
        format!("1 result (attempt {attempt})")
    }

    /// Expects exactly one answer: an error that contains this text.
    async fn expect_error(&self, request: &Event, text: &str) -> String {
        let said = self.last_word(request).await;
        let told = status_text(said.error());
        assert!(told.contains(text), "expected an error about `{text}`, got `{told}`");
        "1 error".to_owned()
    }

    /// Expects one final answer: the result of `a`, or an error.
    async fn expect_either(&self, request: &Event) -> String {
        if self.last_word(request).await.results.is_empty() {
            return self.expect_error(request, "cancelled").await;
        }
        self.expect_result(request, "a").await
    }

    /// The number of jobs that the agent has counted.
    async fn count(&self) -> u64 {
        let request = request(&fresh_author(), 5907, Some(self.server.agent()), "state", &[]);
        let said = ask(&mut self.client().await, &request).await;
        let state: Value = serde_json::from_str(&said.result().content).expect("JSON");
        state["count"].as_u64().expect("a count")
    }
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

async fn published(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[]);
    cell.send(&job).await;
    cell.crash();
    cell.publish(&job).await;
    cell.expect_result(&job, "a").await
}

async fn acknowledged(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("milliseconds", "300")]);
    cell.publish(&job).await;
    cell.crash();
    cell.expect_result(&job, "a").await
}

async fn refused(cell: &Cell<'_>) -> String {
    let agent = cell.server.agent().to_hex();
    let tags: [&[&str]; 2] = [&["i", "a", "text"], &["p", &agent]];
    let job = event_at(&cell.customer, now() - 2 * 24 * 60 * 60, 5920, &tags, "");
    cell.publish_until(&job, "error").await;
    cell.crash();
    cell.publish(&job).await;
    cell.expect_error(&job, "older").await
}

/// A job whose input is another job that has not arrived yet.
async fn chain(cell: &Cell<'_>) -> (Event, Event) {
    let agent = cell.server.agent();
    let first = request(&cell.customer, 5900, Some(agent), "upstream", &[]);
    let tags: [&[&str]; 2] = [&["i", &first.id.to_hex(), "job"], &["p", &agent.to_hex()]];
    let second = event(&cell.customer, 5920, &tags, "");
    cell.publish_until(&second, "processing").await;
    (first, second)
}

async fn awaiting_input(cell: &Cell<'_>) -> String {
    let (first, second) = chain(cell).await;
    cell.crash();
    ask(&mut cell.client().await, &first).await.result();
    cell.expect_result(&second, "upstream").await
}

async fn queued(cell: &Cell<'_>) -> String {
    let (ahead, job) = (cell.job("ahead", &[("milliseconds", "600")]), cell.job("a", &[]));
    cell.publish_until(&ahead, "processing").await;
    cell.publish(&job).await;
    cell.crash();
    cell.expect_result(&ahead, "ahead").await;
    cell.expect_result(&job, "a").await
}

async fn running(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("milliseconds", "600")]);
    cell.publish_until(&job, "processing").await;
    pause(200).await;
    cell.crash();
    cell.expect_result(&job, "a").await
}

async fn running_with_partial_output(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("milliseconds", "800"), ("partials", "true")]);
    cell.publish_until(&job, "partial").await;
    cell.crash();
    cell.expect_result(&job, "a").await
}

async fn waiting_for_retry(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("failures", "1")]);
    cell.publish_until(&job, "processing").await;
    pause(400).await;
    cell.crash();
    cell.expect_result(&job, "a").await
}

async fn running_again(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("failures", "1"), ("milliseconds", "800")]);
    cell.publish_until(&job, "processing").await;
    // 0.8 s of attempt 1, 1 s of pause, part of attempt 2.
    pause(2200).await;
    cell.crash();
    cell.expect_result(&job, "a").await
}

/// When `processing` arrives, the end of a job that does nothing is being stored or delivered.
async fn ending(cell: &Cell<'_>) -> String {
    let rounds = if cell.server.host() == Host::Workerd { 2 } else { 5 };
    let mut got = Vec::new();
    for round in 0..rounds {
        let name = format!("round{round}");
        let job = cell.job(&name, &[]);
        cell.publish_until(&job, "processing").await;
        std::thread::sleep(Duration::from_micros(400 * round));
        cell.crash();
        got.push(cell.expect_result(&job, &name).await);
    }
    format!("{rounds} × 1 result")
}

async fn done(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[]);
    ask(&mut cell.client().await, &job).await.result();
    cell.crash();
    cell.publish(&job).await;
    pause(300).await;
    cell.expect_result(&job, "a").await
}

/// A cancellation that the relay has and the agent may not have yet: either the result or the cancellation may win,
/// but not both.
async fn cancelling_while_queued(cell: &Cell<'_>) -> String {
    let (ahead, job) = (cell.job("ahead", &[("milliseconds", "600")]), cell.job("a", &[]));
    cell.publish_until(&ahead, "processing").await;
    cell.publish(&job).await;
    cell.cancel(&job).await;
    cell.crash();
    cell.expect_result(&ahead, "ahead").await;
    cell.expect_either(&job).await
}

async fn cancelling_while_running(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("milliseconds", "900")]);
    cell.publish_until(&job, "processing").await;
    pause(200).await;
    cell.cancel(&job).await;
    cell.crash();
    cell.expect_either(&job).await
}

async fn cancelled_while_waiting(cell: &Cell<'_>) -> String {
    let (first, second) = chain(cell).await;
    cell.cancel(&second).await;
    cell.expect_error(&second, "cancelled").await;
    cell.crash();
    ask(&mut cell.client().await, &first).await.result();
    cell.publish_in_vain(&second).await;
    cell.expect_error(&second, "cancelled").await
}

async fn cancelled_while_queued(cell: &Cell<'_>) -> String {
    let (ahead, job) = (cell.job("ahead", &[("milliseconds", "1200")]), cell.job("a", &[]));
    cell.publish_until(&ahead, "processing").await;
    cell.publish(&job).await;
    cell.cancel(&job).await;
    cell.expect_error(&job, "cancelled").await;
    cell.crash();
    cell.expect_result(&ahead, "ahead").await;
    cell.publish_in_vain(&job).await;
    cell.expect_error(&job, "cancelled").await
}

async fn cancelled_while_running(cell: &Cell<'_>) -> String {
    let job = cell.job("a", &[("milliseconds", "1500")]);
    cell.publish_until(&job, "processing").await;
    pause(200).await;
    cell.cancel(&job).await;
    cell.expect_error(&job, "cancelled").await;
    cell.crash();
    cell.publish_in_vain(&job).await;
    // Until it would have finished.
    pause(900).await;
    cell.expect_error(&job, "cancelled").await
}
