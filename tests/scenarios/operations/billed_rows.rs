//! Rows read and written, which Cloudflare bills.

use std::collections::BTreeMap;
use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys, ToBech32 as _};
use openagents_tests::events::{as_json, event_at, fresh_author, now};
use openagents_tests::jobs::request;
use openagents_tests::server::{Host, Server};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Workerd] => {
        a_mix_of_events_writes_seven_and_a_half_rows_each_at_most,
        asking_subscribing_and_leaving_write_nothing,
        a_job_writes_twenty_six_rows_at_most,
    }
}

/// The rows that an object has read and written since the first call.
fn rows_of(server: &Server, class: &str, name: &str) -> Value {
    let answer = server.ask_object(class, name, "/internal/billed-rows").unwrap();
    assert_eq!(answer.0, 200, "{answer:?}");
    serde_json::from_str(&answer.1).unwrap()
}

/// The rows that the relay's object has read and written since the first call.
fn billed(server: &Server) -> (u64, u64) {
    let rows = rows_of(server, "RelayDurableObject", "main-relay");
    (rows["read"].as_u64().unwrap(), rows["written"].as_u64().unwrap())
}

/// The rows written to each table, of both objects.
fn written(server: &Server) -> BTreeMap<String, u64> {
    let agent = server.agent().to_bech32().unwrap();
    let objects = [("relay", "RelayDurableObject", "main-relay"), ("agent", "AgentDurableObject", &agent)];
    let mut written = BTreeMap::new();
    for (object, class, name) in objects {
        for (table, rows) in rows_of(server, class, name)["tables"].as_object().unwrap() {
            written.insert(format!("{object} {table}"), rows.as_u64().unwrap());
        }
    }
    written
}

/// The same mix of events as in `bench relay`: of ten, three are of job kinds, one is addressable, and six are notes.
fn mixed(count: u64) -> Vec<Event> {
    let authors: Vec<Keys> = (0..8).map(|_| fresh_author()).collect();
    let reference = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36";
    let (e, p, t): (&[&str], &[&str], &[&str]) = (&["e", reference], &["p", reference], &["t", "bench"]);
    let of = |number: u64| {
        let author = &authors[usize::try_from(number).unwrap() % authors.len()];
        let at = now() - 10_000 + number;
        let text = format!("{number}: {}", "lorem ipsum ".repeat(12));
        let event = |kind, tags: &[&[&str]], content| event_at(author, at, kind, tags, content);
        match number % 10 {
            0 => event(
                5001,
                &[&["i", &text, "text"], &["param", "language", "en"], &["output", "text/plain"]],
                "",
            ),
            1 => event(7000, &[e, p, &["status", "processing"]], ""),
            2 => event(6001, &[e, p, &["amount", "1000", "lnbc1"]], &text),
            3 => event(30_023, &[&["d", &number.to_string()], t], &text),
            4 => event(1, &[t], &text),
            9 => event(1, &[e, p], &text),
            _ => event(1, &[e, p, t], &text),
        }
    };
    (0..count).map(of).collect()
}

async fn a_mix_of_events_writes_seven_and_a_half_rows_each_at_most(servers: &Servers) {
    let server = servers.own("hello-world");
    let mut client = openagents_tests::wire::Client::connect(&server.url()).await;
    let before = billed(&server);
    let events = mixed(200);
    for event in &events {
        client.publish_accepted(event).await;
    }
    let after = billed(&server);
    let count = events.len() as u64;
    let (read, written) = (after.0 - before.0, after.1 - before.1);
    println!("{count} events: {written} rows written, {read} read");
    // One row in the table and one in each index is the minimum for finding an event.
    assert!(written >= 4 * count, "{written} rows written for {count} events: they are not counted");
    assert!(written * 2 <= 15 * count, "{written} rows written for {count} events");
    assert!(read <= 15 * count, "{read} rows read for {count} events");
}

async fn asking_subscribing_and_leaving_write_nothing(servers: &Servers) {
    let server = servers.own("hello-world");
    let mut client = openagents_tests::wire::Client::connect(&server.url()).await;
    for event in mixed(10) {
        client.publish_accepted(&event).await;
    }
    let before = billed(&server);
    for number in 0..20 {
        let name = format!("name {number}");
        client.send(&json!(["REQ", name, {"kinds": [1], "limit": 3}, {"#t": ["bench"]}])).await;
        client.send(&json!(["CLOSE", name])).await;
    }
    // The answer to the last message comes after all others.
    let found = client.query(&[json!({"kinds": [1]})]).await;
    assert_eq!(found.len(), 6);
    drop(client);
    let mut client = openagents_tests::wire::Client::connect(&server.url()).await;
    assert_eq!(client.query(&[json!({"kinds": [30_023]})]).await.len(), 1);
    let after = billed(&server);
    assert_eq!(after.1, before.1, "rows written");
    assert!(after.0 > before.0, "nothing is counted");
}

async fn a_job_writes_twenty_six_rows_at_most(servers: &Servers) {
    const JOBS: u64 = 200;
    let server = servers.own("hello-world");
    let mut client = openagents_tests::wire::Client::connect(&server.url()).await;
    let customer = fresh_author();
    client.subscribe("results", &[json!({"kinds": [6050], "#p": [customer.public_key()]})]).await;
    // A `p` tag of a request is one row more.
    let job = |number: u64| request(&customer, 5050, None, &number.to_string(), &[]);
    // The first job begins the agent's life.
    client.send(&json!(["EVENT", as_json(&job(0))])).await;
    client.next_event("results").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = written(&server);
    for number in 1..=JOBS {
        client.send(&json!(["EVENT", as_json(&job(number))])).await;
    }
    for _ in 0..JOBS {
        client.next_event("results").await;
    }
    // What is confirmed afterwards.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut all, mut told) = (0, String::new());
    for (table, rows) in written(&server) {
        let rows = rows - before.get(&table).copied().unwrap_or_default();
        all += rows;
        if rows > 0 {
            told.push_str(&format!(", {table} {:.1}", rows as f64 / JOBS as f64));
        }
    }
    println!("{JOBS} jobs: {:.1} rows written for each{told}", all as f64 / JOBS as f64);
    assert!(all >= 20 * JOBS, "{all} rows written for {JOBS} jobs: they are not counted{told}");
    assert!(all <= 26 * JOBS, "{all} rows written for {JOBS} jobs{told}");
}
