#![allow(clippy::arithmetic_side_effects)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::relays::tests::{Relay, agent, filter, request};

/// Accepts events, unless told to fail.
#[derive(Clone)]
struct RecordingTaker {
    taken: UnboundedSender<(EventId, String)>,
    fails: Arc<AtomicBool>,
    all: Arc<Mutex<Vec<EventId>>>,
}

impl RequestTaker for RecordingTaker {
    async fn take(&self, event: VerifiedEvent, relay: &str) -> Result<(), AgentError> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(AgentError::Stopped(openagents_host::native::EngineStopped));
        }
        self.all.lock().unwrap().push(event.id);
        let _ = self.taken.send((event.id, relay.to_owned()));
        Ok(())
    }
}

fn record() -> (RecordingTaker, UnboundedReceiver<(EventId, String)>) {
    let (taken, received) = unbounded_channel();
    (RecordingTaker { taken, fails: Arc::default(), all: Arc::default() }, received)
}

fn listening() -> Listening {
    Listening { filter: filter(), reach: Reach::Anywhere, keys: agent(), max_age: Duration::from_secs(3_600) }
}

async fn next(received: &mut UnboundedReceiver<(EventId, String)>) -> (EventId, String) {
    tokio::time::timeout(Duration::from_secs(10), received.recv())
        .await
        .expect("nothing came")
        .expect("it ended")
}

fn recent(number: u64) -> VerifiedEvent {
    request(5_050, now().as_seconds() - 10, number)
}

#[tokio::test]
async fn takes_what_each_relay_has_with_where_it_came_from() {
    let relays = [Relay::start().await, Relay::start().await];
    let both = recent(1);
    relays.iter().for_each(|relay| relay.store(&both));
    relays[0].store(&request(5_050, now().as_seconds() - 7_200, 2));
    let (record, mut received) = record();
    let urls = relays.iter().map(Relay::url).collect();
    let listeners = Listeners::start_with(urls, listening(), &record);
    let mut taken = vec![next(&mut received).await, next(&mut received).await];
    taken.sort();
    let mut expected = relays.each_ref().map(|relay| (both.id, relay.url()));
    expected.sort();
    assert_eq!(taken, expected);
    listeners.stop().await;
    assert_eq!(record.all.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn comes_back_after_the_relay_was_gone_and_takes_only_what_is_new() {
    let mut relay = Relay::start().await;
    let old = recent(1);
    relay.store(&old);
    let (record, mut received) = record();
    let listeners = Listeners::start_with(vec![relay.url()], listening(), &record);
    assert_eq!(next(&mut received).await.0, old.id);
    relay.stop().await;
    let new = recent(2);
    relay.store(&new);
    relay.restart().await;
    assert_eq!(next(&mut received).await.0, new.id);
    listeners.stop().await;
    assert_eq!(record.all.lock().unwrap().len(), 2);
    // The first connection was too short to be sure that all stored events had arrived.
    assert_eq!(relay.asked_since().len(), 2);
}

#[tokio::test]
async fn asks_again_for_what_could_not_be_put_on_record() {
    let relay = Relay::start().await;
    let event = recent(1);
    relay.store(&event);
    let (record, mut received) = record();
    record.fails.store(true, Ordering::Relaxed);
    let listeners = Listeners::start_with(vec![relay.url()], listening(), &record);
    assert_eq!(next(&mut received).await.0, event.id);
    assert_eq!(relay.connections(), 2);
    listeners.stop().await;
}

#[tokio::test]
async fn authenticates_where_a_relay_requires_it() {
    let relay = Relay::start_guarded(None).await;
    let event = recent(1);
    relay.store(&event);
    let (record, mut received) = record();
    let listeners = Listeners::start_with(vec![relay.url()], listening(), &record);
    assert_eq!(next(&mut received).await.0, event.id);
    listeners.stop().await;
    assert_eq!((relay.connections(), relay.shown()), (1, vec![serde_json::json!(agent().public_key())]));
}

#[tokio::test]
async fn a_relay_that_refuses_the_agent_is_left_alone_for_an_hour() {
    let relay = Relay::start_guarded(Some("restricted: not you")).await;
    let (record, _received) = record();
    let listeners = Listeners::start_with(vec![relay.url()], listening(), &record);
    // Any other failure would be followed by another try after a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    listeners.stop().await;
    assert_eq!((relay.connections(), relay.shown().len()), (1, 1));
}

#[tokio::test]
async fn never_listens_to_a_private_address_unless_that_is_allowed() {
    let relay = Relay::start().await;
    let (record, _received) = record();
    let listening = Listening { reach: Reach::Public, ..listening() };
    let listeners = Listeners::start_with(vec![relay.url()], listening, &record);
    tokio::time::sleep(Duration::from_millis(100)).await;
    listeners.stop().await;
    assert_eq!(relay.connections(), 0);
}

#[test]
fn pauses_grow_to_five_minutes_and_differ() {
    let longest: Vec<u64> = (1..12).map(|failures| pause(failures, 0).as_secs()).collect();
    assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    let shortest: Vec<u64> = (1..12).map(|failures| pause(failures, u32::MAX).as_secs()).collect();
    assert_eq!(shortest, [1, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
    assert_ne!((random(), random()), (random(), random()));
}

proptest! {
    #[test]
    fn a_pause_is_never_nothing_and_never_too_long(failures: u32, random: u32) {
        let pause = pause(failures, random);
        prop_assert!((Duration::from_secs(1)..=MAX_PAUSE).contains(&pause));
    }
}

#[test]
fn knows_the_last_events_it_saw() {
    let mut seen = Seen::default();
    let ids: Vec<EventId> = (0..5_000_u32)
        .map(|number| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            EventId::from_hex(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).unwrap()
        })
        .collect();
    for id in &ids {
        seen.insert(*id);
        seen.insert(*id);
    }
    assert!(!seen.contains(&ids[0]) && seen.contains(&ids[4_999]));
    assert_eq!((seen.ids.len(), seen.order.len()), (MAX_SEEN, MAX_SEEN));
}
