//! Tests of the relay client against a scripted relay.

#![allow(clippy::arithmetic_side_effects)]

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::net::socket::tests::{Served, serve};
use crate::{Keys, Kind, UnsignedEvent};

mod authenticating;

const SECOND: Duration = Duration::from_secs(1);

fn note(number: u64) -> VerifiedEvent {
    let keys = Keys::from_secret(&[1; 32]).unwrap();
    UnsignedEvent::new(Kind(1), format!("note {number}")).sign(&keys, Timestamp::from_seconds(number))
}

/// An event with the signature of another one.
fn forged() -> Value {
    let mut event: Value = serde_json::from_str(note(1).json()).unwrap();
    event["sig"] = serde_json::from_str::<Value>(note(2).json()).unwrap()["sig"].clone();
    event
}

fn value(event: &VerifiedEvent) -> Value {
    serde_json::from_str(event.json()).unwrap()
}

/// A relay that answers each message with the result of `answer`.
async fn relay(answer: impl Fn(&Value) -> Vec<Value> + Clone + Send + Sync + 'static) -> String {
    serve(move |mut socket: Served| {
        let answer = answer.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                for answer in answer(&serde_json::from_str(&text).unwrap()) {
                    let _ = socket.send(Message::text(answer.to_string())).await;
                }
            }
        }
    })
    .await
}

async fn connect_with(url: &str, limits: RelayLimits) -> RelayClient {
    RelayClient::over(Socket::connect(url, Reach::Anywhere, limits.timeout).await.unwrap(), limits)
}

async fn connect(url: &str) -> RelayClient {
    connect_with(url, RelayLimits { timeout: 5 * SECOND, ..RelayLimits::default() }).await
}

/// Limits for relays that never finish.
fn short() -> RelayLimits {
    RelayLimits { timeout: SECOND / 4, ..RelayLimits::default() }
}

async fn next(client: &mut RelayClient) -> Option<Result<(SubscriptionId, VerifiedEvent), RelayError>> {
    timeout(5 * SECOND, client.next_event()).await.expect("nothing came")
}

mod publishing {
    use super::*;

    /// Publishes to a relay that answers with `accepted` and `reason`.
    async fn outcome(accepted: bool, reason: &'static str) -> PublishOutcome {
        let url = relay(move |message| match message[0].as_str() {
            Some("EVENT") => vec![json!(["OK", message[1]["id"], accepted, reason])],
            _ => vec![],
        })
        .await;
        connect(&url).await.publish(&note(1)).await.unwrap()
    }

    #[tokio::test]
    async fn takes_the_relays_word() {
        assert_eq!(outcome(true, "").await, PublishOutcome::Accepted);
        assert_eq!(outcome(true, "duplicate: had it").await, PublishOutcome::Accepted);
        assert_eq!(outcome(false, "duplicate: had it").await, PublishOutcome::Accepted);
        for reason in ["blocked: you", "auth-required: who are you?", ""] {
            assert_eq!(outcome(false, reason).await, PublishOutcome::Refused(Reason::parse(reason)));
        }
    }

    #[tokio::test]
    async fn sends_the_event_as_it_was_signed() {
        let url = relay(|message| {
            let event = Event::from_json(&message[1].to_string()).unwrap().verify().unwrap();
            vec![json!(["OK", event.id.to_hex(), true, ""])]
        })
        .await;
        assert_eq!(connect(&url).await.publish(&note(7)).await, Ok(PublishOutcome::Accepted));
    }

    #[tokio::test]
    async fn waits_for_the_word_on_this_event() {
        let url = relay(|message| {
            vec![
                json!(["NOTICE", "hello"]),
                json!(["AUTH", "challenge"]),
                json!("garbage"),
                json!(["OK", note(2).id.to_hex(), false, "blocked: another"]),
                json!(["OK", message[1]["id"], true, ""]),
            ]
        })
        .await;
        assert_eq!(connect(&url).await.publish(&note(1)).await, Ok(PublishOutcome::Accepted));
    }

    #[tokio::test]
    async fn gives_up_when_no_word_comes() {
        let url = relay(|_| vec![json!(["OK", note(2).id.to_hex(), true, ""])]).await;
        let outcome = connect_with(&url, short()).await.publish(&note(1)).await;
        assert_eq!(outcome, Err(RelayError::Timeout { after: short().timeout }));
        let url = serve(async |mut socket: Served| {
            socket.next().await;
            socket.close(None).await.unwrap();
        })
        .await;
        assert_eq!(connect(&url).await.publish(&note(1)).await, Err(RelayError::Disconnected));
    }
}

mod querying {
    use super::*;

    /// Answers a REQ with `answers`, in which `SUB` is replaced by its id.
    async fn answering(answers: Vec<Value>) -> String {
        relay(move |message| match message[0].as_str() {
            Some("REQ") => {
                let filled = json!(answers).to_string().replace("\"SUB\"", &message[1].to_string());
                serde_json::from_str(&filled).unwrap()
            }
            _ => vec![],
        })
        .await
    }

    async fn query(answers: Vec<Value>, limits: RelayLimits) -> Result<Vec<VerifiedEvent>, RelayError> {
        connect_with(&answering(answers).await, limits).await.query(&[Filter::new().kinds([1])]).await
    }

    #[tokio::test]
    async fn returns_what_is_stored_and_closes_the_subscription() {
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let url = relay(move |message| {
            sender.send(message.clone()).unwrap();
            match message[0].as_str() {
                Some("REQ") => vec![
                    json!(["EVENT", message[1], value(&note(2))]),
                    json!(["EVENT", message[1], value(&note(1))]),
                    json!(["EOSE", message[1]]),
                ],
                _ => vec![],
            }
        })
        .await;
        let mut client = connect(&url).await;
        let filters = [Filter::new().kinds([1]).limit(2), Filter::new().ids([note(9).id])];
        assert_eq!(client.query(&filters).await, Ok(vec![note(2), note(1)]));
        let request = received.recv().await.unwrap();
        let sent = filters.each_ref().map(|filter| json!(filter));
        assert_eq!((&request[0], &request[2], &request[3]), (&json!("REQ"), &sent[0], &sent[1]));
        assert_eq!(received.recv().await.unwrap(), json!(["CLOSE", request[1]]));
        // Each query is a subscription of its own.
        client.query(&filters).await.unwrap();
        assert_ne!(received.recv().await.unwrap()[1], request[1]);
    }

    #[tokio::test]
    async fn drops_what_is_forged_unwanted_repeated_or_garbage() {
        let other_kind = UnsignedEvent::new(Kind(2), "").sign(&Keys::generate().unwrap(), Timestamp::EPOCH);
        let mut renamed = value(&note(3));
        renamed["content"] = json!("something else");
        let answers = vec![
            json!(["EVENT", "SUB", forged()]),
            json!(["EVENT", "SUB", renamed]),
            json!(["EVENT", "SUB", value(&other_kind)]),
            json!(["EVENT", "another", value(&note(9))]),
            json!(["EVENT", "SUB", { "id": "?" }]),
            json!({ "not": "a message" }),
            json!(["EVENT", "SUB", value(&note(4))]),
            json!(["EVENT", "SUB", value(&note(4))]),
            json!(["EOSE", "another"]),
            json!(["EVENT", "SUB", value(&note(5))]),
            json!(["EOSE", "SUB"]),
            json!(["EVENT", "SUB", value(&note(6))]),
        ];
        assert_eq!(query(answers, RelayLimits::default()).await, Ok(vec![note(4), note(5)]));
    }

    #[tokio::test]
    async fn reports_a_relay_that_does_not_answer_the_query() {
        let answers = vec![json!(["CLOSED", "SUB", "auth-required: who are you?"])];
        let Err(RelayError::Closed { reason, .. }) = query(answers, RelayLimits::default()).await else {
            panic!("expected that it is closed")
        };
        assert_eq!(reason.to_string(), "auth-required: who are you?");
        let endless = vec![json!(["EVENT", "SUB", value(&note(1))])];
        assert_eq!(query(endless, short()).await, Err(RelayError::Timeout { after: short().timeout }));
    }

    #[tokio::test]
    async fn can_be_repeated_after_a_timeout() {
        let url = relay(|message| match (message[0].as_str(), message[1].as_str()) {
            (Some("REQ"), Some("s1")) => vec![],
            (Some("REQ"), _) => {
                vec![
                    json!(["EVENT", "s1", value(&note(1))]),
                    json!(["EOSE", "s1"]),
                    json!(["EVENT", message[1], value(&note(2))]),
                    json!(["EOSE", message[1]]),
                ]
            }
            _ => vec![],
        })
        .await;
        let mut client = connect_with(&url, short()).await;
        assert!(client.query(&[Filter::new()]).await.is_err());
        assert_eq!(client.query(&[Filter::new()]).await, Ok(vec![note(2)]));
    }

    #[tokio::test]
    async fn takes_no_more_than_the_limits() {
        let limits = RelayLimits { max_events: 3, ..RelayLimits::default() };
        let many = (1..=10).map(|number| json!(["EVENT", "SUB", value(&note(number))])).collect();
        assert_eq!(query(many, limits).await, Ok(vec![note(1), note(2), note(3)]));
        // Forged events count, because verifying them is work as well.
        let many = vec![json!(["EVENT", "SUB", forged()]); 10];
        assert_eq!(query(many, limits).await, Ok(vec![]));
        let limits = RelayLimits { max_bytes: 10_000, ..RelayLimits::default() };
        let flood = vec![json!(["NOTICE", "x".repeat(1_000)]); 11];
        assert_eq!(query(flood, limits).await, Err(RelayError::TooLarge { limit: 10_000 }));
    }

    #[tokio::test]
    async fn ends_with_a_message_that_is_too_large() {
        let huge = vec![json!(["NOTICE", "x".repeat(3_000_000)])];
        let outcome = query(huge, RelayLimits::default()).await;
        assert!(matches!(outcome, Err(RelayError::Socket(SocketError::TooLarge { .. }))), "{outcome:?}");
    }

    #[tokio::test]
    async fn gives_up_on_a_relay_that_floods_without_end() {
        let url = serve(
            async |mut socket: Served| {
                while socket.send(Message::text(r#"["NOTICE","more"]"#)).await.is_ok() {}
            },
        )
        .await;
        let outcome = connect_with(&url, short()).await.query(&[Filter::new()]).await;
        assert!(
            matches!(outcome, Err(RelayError::TooLarge { .. } | RelayError::Timeout { .. })),
            "{outcome:?}"
        );
    }
}

mod subscribing {
    use super::*;

    /// Subscribers get `events`, one of them forged; an event that is published is sent to `s1`.
    async fn lively(events: Vec<VerifiedEvent>) -> String {
        relay(move |message| match message[0].as_str() {
            Some("REQ") => {
                let mut answers: Vec<_> =
                    events.iter().map(|event| json!(["EVENT", message[1], value(event)])).collect();
                answers.insert(0, json!(["EVENT", message[1], forged()]));
                answers.extend([json!(["NOTICE", "hello"]), json!(["EOSE", message[1]])]);
                answers
            }
            Some("EVENT") => {
                vec![json!(["EVENT", "s1", message[1]]), json!(["OK", message[1]["id"], true, ""])]
            }
            _ => vec![],
        })
        .await
    }

    #[tokio::test]
    async fn delivers_stored_events_and_those_to_come() {
        let url = lively(vec![note(1), note(2)]).await;
        let mut client = connect(&url).await;
        let id = client.subscribe(&[Filter::new().kinds([1])]).await.unwrap();
        assert_eq!(next(&mut client).await, Some(Ok((id.clone(), note(1)))));
        assert_eq!(next(&mut client).await, Some(Ok((id.clone(), note(2)))));
        assert_eq!(client.publish(&note(3)).await, Ok(PublishOutcome::Accepted));
        assert_eq!(next(&mut client).await, Some(Ok((id, note(3)))));
        assert!(timeout(SECOND / 10, client.next_event()).await.is_err());
    }

    #[tokio::test]
    async fn keeps_events_that_come_during_a_query() {
        let mut client = connect(&lively(vec![note(1)]).await).await;
        let id = client.subscribe(&[Filter::new()]).await.unwrap();
        assert_eq!(client.query(&[Filter::new()]).await, Ok(vec![note(1)]));
        assert_eq!(next(&mut client).await, Some(Ok((id, note(1)))));
    }

    #[tokio::test]
    async fn delivers_nothing_of_a_subscription_that_was_ended() {
        let mut client = connect(&lively(vec![]).await).await;
        let id = client.subscribe(&[Filter::new()]).await.unwrap();
        client.unsubscribe(&id).await.unwrap();
        client.publish(&note(3)).await.unwrap();
        assert!(timeout(SECOND / 10, client.next_event()).await.is_err());
    }

    #[tokio::test]
    async fn reports_a_subscription_that_the_relay_closed_and_goes_on() {
        let url = relay(|message| match (message[0].as_str(), message[1].as_str()) {
            (Some("REQ"), Some("s1")) => vec![json!(["CLOSED", "s1", "restricted: not you"])],
            (Some("REQ"), _) => vec![
                json!(["EVENT", "s1", value(&note(1))]),
                json!(["CLOSED", "s1", "again"]),
                json!(["EVENT", message[1], value(&note(2))]),
            ],
            _ => vec![],
        })
        .await;
        let mut client = connect(&url).await;
        let subscription = client.subscribe(&[Filter::new()]).await.unwrap();
        let reason = Reason::restricted("not you");
        assert_eq!(next(&mut client).await, Some(Err(RelayError::Closed { subscription, reason })));
        let id = client.subscribe(&[Filter::new()]).await.unwrap();
        assert_eq!(next(&mut client).await, Some(Ok((id, note(2)))));
    }

    #[tokio::test]
    async fn ends_with_the_connection() {
        let url = serve(async |mut socket: Served| {
            socket.next().await;
            socket.close(None).await.unwrap();
        })
        .await;
        let mut client = connect(&url).await;
        client.subscribe(&[Filter::new()]).await.unwrap();
        assert_eq!(next(&mut client).await, None);
        assert_eq!(next(&mut client).await, None);
    }

    #[tokio::test]
    async fn says_so_when_events_were_lost() {
        let url = lively((1..=5).map(note).collect()).await;
        let limits = RelayLimits { max_events: 3, ..RelayLimits::default() };
        let mut client = connect_with(&url, limits).await;
        let id = client.subscribe(&[Filter::new()]).await.unwrap();
        // Its answers come after those of the subscription. The client does not read events, so it can wait longer.
        client.publish(&note(9)).await.unwrap();
        for number in 1..=3 {
            assert_eq!(next(&mut client).await, Some(Ok((id.clone(), note(number)))));
        }
        assert_eq!(next(&mut client).await, Some(Err(RelayError::Overrun)));
        client.publish(&note(10)).await.unwrap();
        assert_eq!(next(&mut client).await, Some(Ok((id, note(10)))));
    }

    #[tokio::test]
    async fn asks_a_silent_relay_for_a_sign_of_life() {
        let impatient = RelayLimits { idle: SECOND / 10, timeout: SECOND / 4, ..RelayLimits::default() };
        // This relay answers.
        let url = relay(|message| match (message[0].as_str(), message[1].as_str()) {
            (Some("REQ"), Some("alive")) => vec![json!(["EOSE", "alive"])],
            _ => vec![],
        })
        .await;
        let mut client = connect_with(&url, impatient).await;
        client.subscribe(&[Filter::new()]).await.unwrap();
        assert!(timeout(SECOND, client.next_event()).await.is_err());
        // Even if the wait is restarted all the time.
        for _ in 0..50 {
            assert!(timeout(SECOND / 50, client.next_event()).await.is_err());
        }
        // Even if nobody has read for long, including between probe and answer.
        for pause in [SECOND / 2, SECOND / 20, SECOND / 2] {
            sleep(pause).await;
            let wait = timeout(SECOND * 3 / 20, client.next_event()).await;
            assert!(wait.is_err(), "{wait:?}");
        }
        // This relay does not answer.
        let url = serve(async |socket: Served| {
            sleep(60 * SECOND).await;
            drop(socket);
        })
        .await;
        let mut client = connect_with(&url, impatient).await;
        client.subscribe(&[Filter::new()]).await.unwrap();
        assert_eq!(next(&mut client).await, Some(Err(RelayError::Timeout { after: impatient.timeout })));
        assert_eq!(next(&mut client).await, None);
        let mut client = connect_with(&url, impatient).await;
        let mut outcome = None;
        for _ in 0..100 {
            outcome = timeout(SECOND / 50, client.next_event()).await.ok();
            if outcome.is_some() {
                break;
            }
        }
        assert_eq!(outcome, Some(Some(Err(RelayError::Timeout { after: impatient.timeout }))));
    }
}

#[test]
fn can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let keys = Keys::from_secret(&[1; 32]).unwrap();
    is_send(&RelayClient::connect("wss://example.com", Reach::Public, &keys));
    let _ = |mut client: RelayClient| {
        is_send(&client.publish(&note(1)));
        is_send(&client.query(&[]));
        is_send(&client.subscribe(&[]));
        is_send(&client.next_event());
    };
}
