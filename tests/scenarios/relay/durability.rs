//! `OK true` is a promise: wherever the process is killed, every acknowledged event is there afterwards, and every
//! index finds it.
//!
//! The moments are random; the seed is printed, and `OPENAGENTS_TEST_SEED` repeats it.

use std::hash::{BuildHasher as _, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, fresh_author};
use openagents_tests::server::{Host, Server, binary};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![what_was_acknowledged_under_full_load_survives_a_kill];

/// The number of connections that publish at the same time.
const WRITERS: usize = 8;
/// The number of events in flight from each writer.
const DEPTH: usize = 16;
/// The longest duration of a round.
const LONGEST: u64 = 300;

async fn what_was_acknowledged_under_full_load_survives_a_kill(servers: &Servers) {
    // Restarting workerd takes seconds.
    let (rounds, events) = match servers.host() {
        Host::Native => (50, 160),
        Host::NativeForgetful => (10, 160),
        Host::Workerd => (5, 80),
    };
    let mut random = Random::new();
    let server = servers.own("hello-world");
    let (mut acknowledged, mut sent) = (0, 0);
    let started = Instant::now();
    for round in 0..rounds {
        let writers: Vec<Vec<Event>> = (0..WRITERS).map(|writer| presigned(round, writer, events)).collect();
        let moment = Duration::from_millis(random.below(LONGEST));
        let kept = kill_under_load(&server, &writers, moment).await;
        if round % 10 == 9 {
            expect_sound(&server);
        }
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
        for (writer, kept) in kept.iter().enumerate() {
            expect_kept(&server, &topic(round, writer), &kept.acknowledged).await;
            acknowledged += kept.acknowledged.len();
            sent += kept.sent;
        }
    }
    expect_whole_files(&server);
    println!(
        "{}: {rounds} kills under load, {acknowledged} of {sent} events acknowledged, none lost, in {:?} (OPENAGENTS_TEST_SEED={})",
        servers.host().name(),
        started.elapsed(),
        random.seed
    );
    assert!(acknowledged > rounds * 10, "{acknowledged} acknowledged events prove nothing");
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
