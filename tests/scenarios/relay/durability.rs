//! `OK true` is a promise: wherever the process is killed, every acknowledged event is there afterwards, every index
//! finds it, and every acknowledged job ends once.
//!
//! The moments are random; the seed is printed, and `OPENAGENTS_TEST_SEED` repeats it.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, fresh_author, tag_value};
use openagents_tests::server::{Host, Server, binary};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, runs_long, scenarios};

scenarios![what_was_acknowledged_under_full_load_survives_a_kill];

/// The number of connections that publish events at the same time, and of those that publish jobs.
const WRITERS: usize = 8;
const CUSTOMERS: usize = 2;
/// The most jobs of a customer.
const JOBS: usize = 24;
/// The number of events in flight from each connection.
const DEPTH: usize = 16;
/// The longest duration of a round.
const LONGEST: u64 = 300;
/// How long an agent may take for the jobs of a customer: the lease of one may have to expire first.
const RECOVERY: Duration = Duration::from_secs(60);

async fn what_was_acknowledged_under_full_load_survives_a_kill(servers: &Servers) {
    // Restarting workerd takes seconds.
    let (rounds, events) = match servers.host() {
        Host::Native => (50, 160),
        Host::NativeForgetful => (10, 160),
        Host::Workerd => (5, 80),
    };
    let rounds = if runs_long() { 50 } else { rounds };
    let mut random = Random::new();
    let server = servers.own("hello-world");
    let (mut events_kept, mut jobs_kept) = (Count::default(), Count::default());
    let (mut results, mut restarts) = (Vec::new(), Vec::new());
    let started = Instant::now();
    for round in 0..rounds {
        let mut writers: Vec<Vec<Event>> =
            (0..WRITERS).map(|writer| presigned(round, writer, events)).collect();
        writers.extend((0..CUSTOMERS).map(|customer| jobs(&server, &topic(round, WRITERS + customer))));
        let moment = Duration::from_millis(random.below(LONGEST));
        let kept = kill_under_load(&server, &writers, moment).await;
        if round % 10 == 9 {
            expect_sound(&server);
        }
        let killed = Instant::now();
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
        restarts.push(killed.elapsed());
        for (writer, kept) in kept.iter().enumerate() {
            expect_kept(&server, &topic(round, writer), &kept.acknowledged).await;
            let count = if writer < WRITERS { &mut events_kept } else { &mut jobs_kept };
            count.acknowledged += kept.acknowledged.len();
            count.sent += kept.sent;
        }
        for customer in 0..CUSTOMERS {
            results.extend(expect_one_result_each(&server, &topic(round, WRITERS + customer)).await);
        }
    }
    // The agent's own counter agrees with its results, and no job was done twice.
    results.sort_unstable();
    assert_eq!(results, (1..=results.len()).collect::<Vec<_>>(), "the numbers of the greetings");
    expect_whole_files(&server);
    println!(
        "{}: {rounds} kills under load; {events_kept} events acknowledged, none lost; {jobs_kept} jobs acknowledged, \
         none lost, {} results, none twice; back after {:?} on average, {:?} at most; all in {:?} \
         (OPENAGENTS_TEST_SEED={})",
        servers.host().name(),
        results.len(),
        restarts.iter().sum::<Duration>() / u32::try_from(rounds).expect("few"),
        restarts.iter().max().expect("at least one"),
        started.elapsed(),
        random.seed
    );
    assert!(events_kept.acknowledged > rounds * 10, "{events_kept} acknowledged events prove nothing");
    assert!(jobs_kept.acknowledged > rounds, "{jobs_kept} acknowledged jobs prove nothing");
}

/// How many events were acknowledged, of how many.
#[derive(Default)]
struct Count {
    acknowledged: usize,
    sent: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.acknowledged, self.sent)
    }
}

/// The tag of all events of a writer.
fn topic(round: usize, writer: usize) -> String {
    format!("round {round} writer {writer}")
}

/// Events of kinds that a relay stores in different ways.
fn presigned(round: usize, writer: usize, count: usize) -> Vec<Event> {
    let author: Keys = fresh_author();
    let (topic, other) = (topic(round, writer), fresh_author().public_key().to_hex());
    let one = |number: usize| {
        let identifier = number.to_string();
        let tags: [&[&str]; 3] = [&["t", &topic], &["d", &identifier], &["p", &other]];
        // A note, an article at its own address, a job request that nobody handles.
        let kind = [1, 1, 30_023, 5_999][number % 4];
        event(&author, kind, &tags, &format!("{topic} number {number}"))
    };
    (0..count).map(one).collect()
}

/// The jobs of a customer.
fn jobs(server: &Server, topic: &str) -> Vec<Event> {
    let (customer, agent) = (fresh_author(), server.agent().to_hex());
    let one = |number: usize| {
        let name = number.to_string();
        let tags: [&[&str]; 3] = [&["t", topic], &["i", &name, "text"], &["p", &agent]];
        event(&customer, 5_050, &tags, "")
    };
    (0..JOBS).map(one).collect()
}

/// What happened to a writer's events.
#[derive(Default)]
struct Kept {
    acknowledged: Vec<Event>,
    sent: usize,
}

/// All writers publish as fast as they can, until the process is killed.
async fn kill_under_load(server: &Server, writers: &[Vec<Event>], moment: Duration) -> Vec<Kept> {
    let mut tasks = Vec::new();
    for events in writers {
        let client = Client::connect(&server.url()).await;
        tasks.push(tokio::spawn(write(client, events.clone())));
    }
    tokio::time::sleep(moment).await;
    server.kill();
    let mut kept = Vec::new();
    for task in tasks {
        kept.push(task.await.expect("a writer ends by itself"));
    }
    kept
}

async fn write(mut client: Client, events: Vec<Event>) -> Kept {
    let mut kept = Kept::default();
    for some in events.chunks(DEPTH) {
        for event in some {
            client.try_send_text(json!(["EVENT", as_json(event)]).to_string()).await;
            kept.sent += 1;
        }
        for _ in some {
            let Some(answer) = client.receive_text_within(Duration::from_secs(20)).await else { return kept };
            let answer: (String, String, bool, String) = serde_json::from_str(&answer).expect("an OK");
            assert!(answer.2, "{answer:?}");
            let of = some.iter().find(|event| event.id.to_hex() == answer.1).expect("of one that was sent");
            kept.acknowledged.push(of.clone());
        }
    }
    kept
}

/// Every acknowledged event is there, byte for byte, and found by its tag.
async fn expect_kept(server: &Server, topic: &str, acknowledged: &[Event]) {
    let mut client = Client::connect(&server.url()).await;
    let ids: Vec<String> = acknowledged.iter().map(|event| event.id.to_hex()).collect();
    for filter in [json!({"ids": ids, "limit": 1000}), json!({"#t": [topic], "limit": 1000})] {
        let found = client.query(&[filter]).await;
        let lost = acknowledged.iter().filter(|event| !found.contains(event)).count();
        assert_eq!(lost, 0, "of {} acknowledged events of {topic}", acknowledged.len());
    }
}

/// Every stored request of a topic gets one result and no error. Returns which greeting of the agent each result was.
async fn expect_one_result_each(server: &Server, topic: &str) -> Vec<usize> {
    let mut client = Client::connect(&server.url()).await;
    let requests = client.query(&[json!({"kinds": [5_050], "#t": [topic]})]).await;
    let ids: Vec<String> = requests.iter().map(|request| request.id.to_hex()).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let answers = json!({"kinds": [6_050, 7_000], "#e": ids, "limit": 1000});
    let deadline = Instant::now() + RECOVERY;
    loop {
        let answers = client.query(std::slice::from_ref(&answers)).await;
        let (results, feedback): (Vec<Event>, Vec<Event>) =
            answers.into_iter().partition(|answer| answer.kind.as_u16() == 6_050);
        let errors =
            feedback.iter().filter(|one| tag_value(one, "status").as_deref() == Some("error")).count();
        assert_eq!(errors, 0, "errors in {topic}: {feedback:?}");
        let mut answered: Vec<String> = results.iter().filter_map(|result| tag_value(result, "e")).collect();
        answered.sort_unstable();
        answered.dedup();
        assert_eq!(answered.len(), results.len(), "a request of {topic} got two results");
        if answered.len() == ids.len() {
            return results.iter().map(greeting).collect();
        }
        assert!(Instant::now() < deadline, "{} of {} jobs of {topic} ended", answered.len(), ids.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number in `Hello, …! You are number N.`
fn greeting(result: &Event) -> usize {
    let number = result.content.rsplit(' ').next().map(|last| last.trim_end_matches('.'));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no greeting: {}", result.content))
}

/// The database after the kill: every index finds every event, and no index has anything else.
fn expect_sound(server: &Server) {
    if server.host() != Host::Workerd {
        let mut check = Command::new(binary("hello-world"));
        let said = check.args(["relay", "check", "--data"]).arg(server.data()).output().expect("a verdict");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }
}

/// SQLite finds no errors in its files.
fn expect_whole_files(server: &Server) {
    if server.host() == Host::Workerd {
        return;
    }
    for name in ["relay.sqlite", "agent.sqlite"] {
        let database = rusqlite::Connection::open(server.data().join(name)).expect("a database");
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
        assert_eq!(verdict, "ok", "{name}");
    }
}

/// Reproducible random numbers (SplitMix64).
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let given = std::env::var("OPENAGENTS_TEST_SEED").ok();
        let seed = given.map_or_else(
            || RandomState::new().hash_one(()),
            |seed| seed.parse().expect("OPENAGENTS_TEST_SEED is a number"),
        );
        Self { seed, state: seed }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
