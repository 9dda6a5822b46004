use async_trait::async_trait;
use openagents_host::net::Reach;
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent};
use openagents_relay::Filter;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::engine::{Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::relays::tests::{Relay, note};

const TEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The agent's own relay, with these events.
struct Own(Keys, Vec<Event>);

#[async_trait]
impl HandlerHost for Own {
    fn keys(&self) -> &Keys {
        &self.0
    }

    fn reach(&self) -> Reach {
        Reach::Anywhere
    }

    fn report(&self, _: Lease, _: Report) {}

    async fn query_state(&self, _: StateQuery) -> Result<StateReply, JobError> {
        Ok(StateReply::Json(Value::Null))
    }

    async fn events(&self, _: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.1.clone())
    }
}

struct QueuesBench {
    queues: PerRelayQueues,
    deliveries: UnboundedReceiver<Input>,
}

impl QueuesBench {
    fn new(open: usize, idle: Duration) -> Self {
        Self::with(open, idle, vec![])
    }

    fn with(open: usize, idle: Duration, own: Vec<Event>) -> Self {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let own = Arc::new(Own(Keys::from_secret(&[5; 32]).unwrap(), own));
        Self { queues: PerRelayQueues::over(own, sender, open, idle), deliveries }
    }

    fn send(&mut self, entry: u64, url: String) {
        self.queues.send(ExternalDelivery { entry, event: note(entry), to: Destination::Relay(url) });
    }

    async fn delivered(&mut self) -> (u64, Delivery) {
        let input =
            tokio::time::timeout(TEST_TIMEOUT, self.deliveries.recv()).await.expect("nothing was delivered");
        let Some(Input::Delivered { entry, delivery }) = input else { panic!("no delivery: {input:?}") };
        (entry, delivery)
    }
}

#[tokio::test]
async fn keeps_the_order_and_the_connection() {
    let relay = Relay::start().await;
    let mut bench = QueuesBench::new(4, TEST_TIMEOUT);
    for entry in 0..20 {
        bench.send(entry, relay.url());
    }
    for entry in 0..20 {
        assert_eq!(bench.delivered().await, (entry, Delivery::Accepted));
    }
    let expected: Vec<String> = (0..20).map(|number| format!("note {number}")).collect();
    assert_eq!((relay.published(), relay.connections()), (expected, 1));
}

#[tokio::test]
async fn a_relay_that_says_nothing_holds_up_no_other() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start().await;
    let mut bench = QueuesBench::new(4, TEST_TIMEOUT);
    for entry in 0..5 {
        bench.send(entry, format!("ws://{}", silent.local_addr().unwrap()));
    }
    bench.send(9, relay.url());
    assert_eq!(bench.delivered().await, (9, Delivery::Accepted));
}

#[tokio::test]
async fn what_waits_behind_a_failure_fails_with_it() {
    let mut relay = Relay::start().await;
    relay.stop().await;
    let mut bench = QueuesBench::new(4, TEST_TIMEOUT);
    for entry in 0..5 {
        bench.send(entry, relay.url());
    }
    for entry in 0..5 {
        let (of, delivery) = bench.delivered().await;
        assert_eq!(of, entry);
        assert!(matches!(delivery, Delivery::Unreachable(_)), "{delivery:?}");
    }
}

#[tokio::test]
async fn more_than_can_wait_is_given_back() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = QueuesBench::new(4, TEST_TIMEOUT);
    for entry in 0..200 {
        bench.send(entry, format!("ws://{}", silent.local_addr().unwrap()));
    }
    let (_, delivery) = bench.delivered().await;
    assert!(matches!(delivery, Delivery::Unreachable(_)), "{delivery:?}");
}

#[tokio::test]
async fn an_idle_lane_ends_and_another_follows_when_it_is_needed() {
    let relay = Relay::start().await;
    let mut bench = QueuesBench::new(4, Duration::from_millis(20));
    for entry in 0..3 {
        bench.send(entry, relay.url());
        assert_eq!(bench.delivered().await, (entry, Delivery::Accepted));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(relay.connections(), 3);
    bench.send(3, relay.url());
    assert_eq!(bench.queues.queues.len(), 1);
    bench.delivered().await;
}

#[tokio::test]
async fn idle_lanes_make_room() {
    let relays = [Relay::start().await, Relay::start().await, Relay::start().await];
    let mut bench = QueuesBench::new(1, Duration::from_secs(600));
    for round in 0..2 {
        for (entry, relay) in (round * 10..).zip(&relays) {
            bench.send(entry, relay.url());
            assert_eq!(bench.delivered().await, (entry, Delivery::Accepted));
        }
    }
}

#[tokio::test]
async fn finds_where_a_customer_reads() {
    let customer = Keys::from_secret(&[3; 32]).unwrap();
    let list = UnsignedEvent::new(Kind(10_002), "").tag(["r", "wss://there.example"]);
    let list = list.sign(&customer, Timestamp::from_seconds(1));
    let mut bench = QueuesBench::with(4, TEST_TIMEOUT, vec![(*list).clone()]);
    let to = Destination::ReadBy { customer: customer.public_key(), source: "ws://127.0.0.1:1".to_owned() };
    for entry in 0..3 {
        bench.queues.send(ExternalDelivery { entry, event: note(entry), to: to.clone() });
    }
    for entry in 0..3 {
        let there = Delivery::ReadFrom(vec!["wss://there.example".to_owned()]);
        assert_eq!(bench.delivered().await, (entry, there));
    }
}

#[tokio::test]
async fn finishes_what_is_on_its_way() {
    let relay = Relay::start().await;
    let mut bench = QueuesBench::new(4, Duration::from_secs(600));
    for entry in 0..10 {
        bench.send(entry, relay.url());
    }
    tokio::time::timeout(TEST_TIMEOUT, bench.queues.finish()).await.expect("it does not end");
    assert_eq!(relay.published().len(), 10);
}
