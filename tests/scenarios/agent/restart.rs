//! What survives when a server is killed, restarted, or evicted from memory.

use std::collections::HashSet;
use std::time::Duration;

use nostr_sdk::nostr::{Event, PublicKey};
use openagents_tests::events::{as_json, event, event_at, fresh_author, note, now};
use openagents_tests::jobs::{self, ask, follow, listen, request, status};
use openagents_tests::server::{Host, Object, Server};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        everything_is_kept_over_an_orderly_restart,
        everything_acknowledged_survives_a_kill,
        the_state_goes_on_after_a_kill,
        an_agent_without_a_given_key_keeps_its_own,
        a_job_killed_before_it_was_processed_gets_one_result,
        a_job_killed_while_running_gets_one_result,
        a_job_stopped_while_running_gets_one_result,
        a_job_killed_after_its_result_gets_no_second_one,
        jobs_killed_at_any_moment_get_one_result_each,
        a_retry_that_was_waiting_survives_a_kill,
    }
    on [Host::Workerd] => {
        a_subscription_survives_hibernation,
        a_subscription_hears_a_result_through_hibernation,
        the_state_survives_eviction,
        a_client_closed_by_eviction_comes_back,
        a_hundred_sockets_survive_hibernation,
    }
}

/// How long a job may take after a kill: its lease may have to expire first.
const RECOVERY: Duration = Duration::from_secs(40);

fn kill_and_restart(server: &Server) {
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
}

async fn count(server: &Server) -> u64 {
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5911, Some(server.agent()), "", &[]);
    ask(&mut client, &request).await.result().content.parse().expect("a count")
}

/// The job's only result, whenever it arrives.
async fn expect_one_result(server: &Server, request: &Event) -> Event {
    let mut client = Client::connect(&server.url()).await;
    let mut said = listen(&mut client, request).await;
    follow(&mut client, request, &mut said, RECOVERY).await;
    client.expect_silence().await;
    jobs::stored(&mut client, request).await.result().clone()
}

async fn everything_is_kept_over_an_orderly_restart(servers: &Servers) {
    let server = servers.own("probe");
    let author = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let kept = [
        note(&author, "kept"),
        event(&author, 0, &[], "profile"),
        event(&author, 30_023, &[&["d", "page"]], "page"),
    ];
    for event in &kept {
        client.publish_accepted(event).await;
    }
    client.publish(&event(&author, 20_000, &[], "ephemeral")).await;
    assert_eq!(count(&server).await, 1);
    server.stop_and_restart().unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(&server.url()).await;
    let stored = client.query(&[json!({"authors": [author.public_key()]})]).await;
    let ids: HashSet<_> = stored.iter().map(|event| event.id).collect();
    assert_eq!(ids, kept.iter().map(|event| event.id).collect());
    // Replaceable events are still replaced.
    client.publish(&event_at(&author, now() - 100, 0, &[], "an old profile")).await;
    let profiles = client.query(&[json!({"authors": [author.public_key()], "kinds": [0]})]).await;
    assert_eq!(profiles, [kept[1].clone()]);
    assert_eq!(count(&server).await, 2);
}

async fn everything_acknowledged_survives_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let author = fresh_author();
    let mut acknowledged = HashSet::new();
    let rounds = if servers.host() == Host::Workerd { 2 } else { 4 };
    for round in 0..rounds {
        let mut client = Client::connect(&server.url()).await;
        let events: Vec<Event> = (0..200).map(|n| note(&author, &format!("{round}, {n}"))).collect();
        for event in &events {
            client.send(&json!(["EVENT", as_json(event)])).await;
        }
        // The kill comes when some of them are acknowledged and the rest in flight.
        for event in &events[..20 + 45 * round] {
            assert!(client.answer_to(&event.id.to_hex()).await.accepted);
            acknowledged.insert(event.id);
        }
        kill_and_restart(&server);
    }
    let mut client = Client::connect(&server.url()).await;
    let stored = client.query(&[json!({"authors": [author.public_key()], "limit": 1000})]).await;
    let stored: HashSet<_> = stored.iter().map(|event| event.id).collect();
    let lost = acknowledged.difference(&stored).count();
    assert_eq!(lost, 0, "of {} acknowledged events", acknowledged.len());
}

async fn the_state_goes_on_after_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    assert_eq!(count(&server).await, 1);
    assert_eq!(count(&server).await, 2);
    kill_and_restart(&server);
    assert_eq!(count(&server).await, 3);
    kill_and_restart(&server);
    assert_eq!(count(&server).await, 4);
}

async fn an_agent_without_a_given_key_keeps_its_own(servers: &Servers) {
    async fn agent_of(server: &Server) -> PublicKey {
        let mut client = Client::connect(&server.url()).await;
        let request = request(&fresh_author(), 5900, None, "who are you?", &[]);
        ask(&mut client, &request).await.result().pubkey
    }
    let server = servers.own_without_key("probe");
    let before = agent_of(&server).await;
    kill_and_restart(&server);
    assert_eq!(agent_of(&server).await, before);
    let other = servers.own_without_key("probe");
    assert_ne!(agent_of(&other).await, before, "two agents with the same key");
}

async fn a_job_killed_before_it_was_processed_gets_one_result(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5900, Some(server.agent()), "in time", &[]);
    client.publish_accepted(&request).await;
    kill_and_restart(&server);
    assert_eq!(expect_one_result(&server, &request).await.content, "in time");
}

async fn a_job_killed_while_running_gets_one_result(servers: &Servers) {
    let server = servers.own("probe");
    let request = running_job(&server).await;
    kill_and_restart(&server);
    // The state has one start and one end: the interrupted attempt left nothing behind.
    assert_eq!(expect_one_result(&server, &request).await.content, "2");
}

async fn a_job_stopped_while_running_gets_one_result(servers: &Servers) {
    let server = servers.own("probe");
    let request = running_job(&server).await;
    server.stop_and_restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(expect_one_result(&server, &request).await.content, "2");
}

/// A job that runs for a second, when half of it has passed.
async fn running_job(server: &Server) -> Event {
    let mut client = Client::connect(&server.url()).await;
    let parameters = [("milliseconds", "1000")];
    let request = request(&fresh_author(), 5905, Some(server.agent()), "x", &parameters);
    listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    let processing = client.next_event(&jobs::subscription(&request)).await;
    assert_eq!(status(&processing), "processing");
    tokio::time::sleep(Duration::from_millis(200)).await;
    request
}

async fn a_job_killed_after_its_result_gets_no_second_one(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5911, Some(server.agent()), "", &[]);
    let result = ask(&mut client, &request).await.result().clone();
    kill_and_restart(&server);
    let mut client = Client::connect(&server.url()).await;
    // The same request again is the same job.
    assert!(client.publish(&request).await.accepted);
    assert_eq!(count(&server).await, 2);
    assert_eq!(jobs::stored(&mut client, &request).await.result(), &result);
}

async fn jobs_killed_at_any_moment_get_one_result_each(servers: &Servers) {
    let server = servers.own("probe");
    let customer = fresh_author();
    let moments: &[u64] =
        if servers.host() == Host::Workerd { &[2, 120] } else { &[0, 1, 3, 8, 20, 50, 90, 110, 150, 250] };
    let (mut counts, mut steps) = (Vec::new(), Vec::new());
    for moment in moments {
        let mut client = Client::connect(&server.url()).await;
        let name = format!("killed after {moment} ms");
        let slow = request(&customer, 5905, Some(server.agent()), &name, &[("milliseconds", "100")]);
        let quick = request(&customer, 5911, Some(server.agent()), &name, &[]);
        client.publish_accepted(&slow).await;
        client.publish_accepted(&quick).await;
        tokio::time::sleep(Duration::from_millis(*moment)).await;
        kill_and_restart(&server);
        // Wait for both before the next kill: interruptions count as attempts, of which a job has three.
        steps.push(expect_one_result(&server, &slow).await.content);
        counts.push(expect_one_result(&server, &quick).await.content);
    }
    // Each job changed the state exactly once.
    let numbers = |texts: Vec<String>| {
        let mut numbers: Vec<usize> = texts.iter().map(|text| text.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(numbers(counts), (1..=moments.len()).collect::<Vec<_>>());
    assert_eq!(numbers(steps), (1..=moments.len()).map(|n| 2 * n).collect::<Vec<_>>());
}

async fn a_retry_that_was_waiting_survives_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5903, Some(server.agent()), "", &[]);
    client.publish_accepted(&request).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    kill_and_restart(&server);
    assert_eq!(expect_one_result(&server, &request).await.content, "attempt 3");
}

fn hibernate(server: &Server, object: Object) {
    server.hibernate(object).unwrap_or_else(|error| panic!("{error}"));
}

async fn a_subscription_survives_hibernation(servers: &Servers) {
    let server = servers.own("probe");
    let author = fresh_author();
    let mut subscriber = Client::connect(&server.url()).await;
    subscriber.subscribe("kept", &[json!({"authors": [author.public_key()], "kinds": [1]})]).await;
    subscriber.subscribe("closed", &[json!({"authors": [author.public_key()]})]).await;
    subscriber.close("closed").await;
    subscriber.expect_alive().await;
    for number in 0..3 {
        hibernate(&server, Object::Relay);
        let event = note(&author, &format!("after hibernation {number}"));
        let mut publisher = Client::connect(&server.url()).await;
        publisher.publish_accepted(&event).await;
        assert_eq!(subscriber.next_event("kept").await, event);
        subscriber.expect_silence().await;
    }
    // The hibernating socket itself can publish, query and close.
    hibernate(&server, Object::Relay);
    let own = note(&author, "from a socket that slept");
    subscriber.publish_accepted(&own).await;
    assert_eq!(subscriber.next_event("kept").await, own);
    hibernate(&server, Object::Relay);
    subscriber.close("kept").await;
    subscriber.publish_accepted(&note(&author, "unheard")).await;
    subscriber.expect_silence().await;
}

async fn a_subscription_hears_a_result_through_hibernation(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    for objects in [[Object::Relay].as_slice(), &[Object::Agent], &[Object::Agent, Object::Relay]] {
        let request = request(&fresh_author(), 5900, Some(server.agent()), "hello", &[]);
        // The agent's object exists after its first job.
        ask(&mut client, &request).await.result();
        let next = self::request(&fresh_author(), 5900, Some(server.agent()), "again", &[]);
        let mut said = listen(&mut client, &next).await;
        objects.iter().for_each(|object| hibernate(&server, *object));
        client.publish_accepted(&next).await;
        follow(&mut client, &next, &mut said, RECOVERY).await;
        assert_eq!(said.result().content, "again");
        assert_eq!(said.statuses(), ["processing"]);
    }
}

async fn the_state_survives_eviction(servers: &Servers) {
    let server = servers.own("probe");
    for expected in 1..=4 {
        assert_eq!(count(&server).await, expected);
        hibernate(&server, Object::Agent);
    }
}

async fn a_client_closed_by_eviction_comes_back(servers: &Servers) {
    let server = servers.own("probe");
    let author = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let event = note(&author, "before");
    client.publish_accepted(&event).await;
    server.evict_and_close(Object::Relay).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.receive_within(Duration::from_secs(5)).await, None);
    let mut client = Client::connect(&server.url()).await;
    assert_eq!(client.query(&[json!({"authors": [author.public_key()]})]).await, [event]);
}

async fn a_hundred_sockets_survive_hibernation(servers: &Servers) {
    // A relay without an agent: the runtime sometimes cannot evict a relay to which an agent publishes meanwhile.
    let server = servers.own("relay");
    let authors = [fresh_author(), fresh_author()];
    let mut clients = Vec::new();
    for number in 0..100 {
        let mut client = Client::connect(&server.url()).await;
        client.subscribe("mine", &[json!({"authors": [authors[number % 2].public_key()]})]).await;
        clients.push(client);
    }
    hibernate(&server, Object::Relay);
    let events = authors.map(|author| note(&author, "good morning"));
    let mut publisher = Client::connect(&server.url()).await;
    for event in &events {
        publisher.publish_accepted(event).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.next_event("mine").await, events[number % 2]);
    }
}
