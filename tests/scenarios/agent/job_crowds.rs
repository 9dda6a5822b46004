//! Crowds of jobs, whose requests and answers go in batches between the relay and the agent: each request gets one result,
//! after its feedback, whatever fails meanwhile.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, EventId};
use openagents_tests::events::{as_json, fresh_author, tag_value};
use openagents_tests::jobs::request;
use openagents_tests::server::{Host, Object, Server};
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        the_answers_to_each_job_of_a_crowd_arrive_in_order,
        long_answers_to_a_crowd_arrive_whole,
        a_crowd_survives_a_kill,
    }
    on [Host::Workerd] => {
        a_crowd_survives_the_eviction_of_the_agents_object,
        a_crowd_survives_the_eviction_of_the_relays_object,
        a_crowd_survives_the_abortion_of_all_objects,
    }
}

/// More than fit into two calls between objects.
const CROWD: usize = 150;

/// How long a crowd may take after a crash: the lease of a job may have to expire first.
const RECOVERY: Duration = Duration::from_secs(60);

/// The job that counts, alone, and returns the count.
const COUNT: u16 = 5911;

async fn the_answers_to_each_job_of_a_crowd_arrive_in_order(servers: &Servers) {
    let server = servers.own("probe");
    let customer = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let answers = json!({"kinds": [7000, COUNT + 1000], "#p": [customer.public_key()]});
    client.subscribe("answers", &[answers]).await;
    let requests: Vec<Event> = (0..CROWD)
        .map(|number| request(&customer, COUNT, Some(server.agent()), &number.to_string(), &[]))
        .collect();
    send(&mut client, &requests).await;
    let mut begun = HashSet::new();
    let mut counts = Vec::new();
    while counts.len() < CROWD {
        let answer = client.next_event("answers").await;
        let request = tag_value(&answer, "e");
        if answer.kind.as_u16() == 7000 {
            assert!(begun.insert(request), "feedback twice: {answer:?}");
        } else {
            assert!(begun.contains(&request), "a result before its feedback: {answer:?}");
            counts.push(answer.content.parse::<usize>().expect("a count"));
        }
    }
    assert_eq!(counts, (1..=CROWD).collect::<Vec<_>>(), "results in the order in which the jobs ended");
}

async fn long_answers_to_a_crowd_arrive_whole(servers: &Servers) {
    let server = servers.probe();
    let customer = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    // Together several megabytes, and one of them more than a call has otherwise.
    let requests: Vec<Event> = (0..16)
        .map(|number| {
            let bytes = if number == 8 { "1100000" } else { "200000" };
            let input = number.to_string();
            request(&customer, 5912, Some(server.agent()), &input, &[("bytes", bytes)])
        })
        .collect();
    send(&mut client, &requests).await;
    for result in results_within(&server, &requests, Duration::from_secs(30)).await.into_values() {
        let letter = tag_value(&result, "i").expect("the input");
        let length = if letter == "8" { 1_100_000 } else { 200_000 };
        let whole: String = letter.chars().cycle().take(length).collect();
        assert!(result.content == whole, "{letter}: {} bytes", result.content.len());
    }
}

async fn a_crowd_survives_a_kill(servers: &Servers) {
    crash_amid_crowds(servers, Server::kill_and_restart).await;
}

async fn a_crowd_survives_the_eviction_of_the_agents_object(servers: &Servers) {
    crash_amid_crowds(servers, |server| server.hibernate(Object::Agent)).await;
}

async fn a_crowd_survives_the_eviction_of_the_relays_object(servers: &Servers) {
    crash_amid_crowds(servers, |server| server.hibernate(Object::Relay)).await;
}

async fn a_crowd_survives_the_abortion_of_all_objects(servers: &Servers) {
    crash_amid_crowds(servers, Server::abort_objects).await;
}

/// One crowd after another, with a crash some time after its first requests were acknowledged. The agent's count shows
/// that no job took effect twice.
async fn crash_amid_crowds(servers: &Servers, crash: impl Fn(&Server) -> Result<(), String>) {
    let server = servers.own("probe");
    let mut counts = Vec::new();
    for milliseconds in [0, 30, 90, 250] {
        let customer = fresh_author();
        let requests: Vec<Event> = (0..CROWD)
            .map(|number| request(&customer, COUNT, Some(server.agent()), &number.to_string(), &[]))
            .collect();
        let mut client = Client::connect(&server.url()).await;
        send(&mut client, &requests).await;
        client.answer_to(&requests[0].id.to_hex()).await;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        crash(&server).unwrap_or_else(|error| panic!("{error}"));
        let mut client = Client::connect(&server.url()).await;
        for request in &requests {
            client.publish_accepted(request).await;
        }
        let results = results_within(&server, &requests, RECOVERY).await;
        counts.extend(results.values().map(|result| result.content.parse::<usize>().expect("a count")));
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=4 * CROWD).collect::<Vec<_>>());
}

/// Sends requests without waiting for answers.
async fn send(client: &mut Client, requests: &[Event]) {
    for request in requests {
        client.send(&json!(["EVENT", as_json(request)])).await;
    }
}

/// The results of requests of one customer and kind. Fails if they do not arrive in time, or there are two of one.
async fn results_within(server: &Server, requests: &[Event], patience: Duration) -> HashMap<EventId, Event> {
    let (customer, kind) = (requests[0].pubkey, requests[0].kind.as_u16() + 1000);
    let filter = |limit: usize| -> Value { json!({"kinds": [kind], "#p": [customer], "limit": limit}) };
    let deadline = Instant::now() + patience;
    let mut client = Client::connect(&server.url()).await;
    let mut results: HashMap<EventId, Event> = HashMap::new();
    let mut take = |result: Event| {
        let request = tag_value(&result, "e").and_then(|id| EventId::from_hex(&id).ok()).expect("a request");
        assert!(requests.iter().any(|asked| asked.id == request), "nobody asked for {result:?}");
        let before = results.insert(request, result.clone());
        assert!(before.is_none_or(|before| before == result), "two results of one request");
        results.len()
    };
    let stored = client.subscribe("results", &[filter(500)]).await;
    let mut count = stored.into_iter().map(&mut take).max().unwrap_or(0);
    while count < requests.len() {
        assert!(Instant::now() < deadline, "{count} of {} results after {patience:?}", requests.len());
        count = take(client.next_event("results").await);
    }
    // Nothing follows.
    client.expect_silence().await;
    results
}
