//! The native server over real sockets, with a third-party WebSocket client.

#![allow(clippy::arithmetic_side_effects)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use openagents_host::native::http;
use openagents_host::{Kind, Timestamp, UnsignedEvent, VerifiedEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{DeliveryError, HandoverSink, QueryError, RelayHandle, RelayServer, RelayServerConfig};
use crate::fixtures;
use crate::reason::Outcome;
use openagents_host::nostr::filter::Filter;

struct Running {
    server: RelayServer,
    url: String,
}

async fn start(config: RelayServerConfig, handover: Arc<dyn HandoverSink>) -> Running {
    let server = RelayServer::start(config, handover).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(accept(listener, server.handle()));
    Running { server, url }
}

async fn accept(listener: TcpListener, relay: RelayHandle) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let relay = relay.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let relay = relay.clone();
                async move {
                    let mut request = http::request(request);
                    let response = relay.upgrade(&mut request, None);
                    Ok::<_, std::convert::Infallible>(http::response(response, request.method()))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(url: &str) -> Self {
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    async fn frame(&mut self, last: bool, kind: Data, bytes: Vec<u8>) {
        self.0.send(Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))).await.unwrap();
    }

    /// The next message that is not a ping of the relay.
    async fn next(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next());
            match next.await.unwrap().unwrap().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    async fn text(&mut self) -> String {
        self.next().await.into_text().unwrap().to_string()
    }

    async fn ask(&mut self, text: impl Into<String>) -> String {
        self.send(text).await;
        self.text().await
    }

    async fn publish(&mut self, event: &VerifiedEvent) -> String {
        self.ask(format!("[\"EVENT\",{}]", event.json())).await
    }
}

fn event(number: u64) -> VerifiedEvent {
    fixtures::signed(1, number, &[])
}

fn in_folder(folder: &Path) -> RelayServerConfig {
    RelayServerConfig::new(folder.join("relay.sqlite"))
}

#[tokio::test]
async fn serves_clients_and_agents_also_when_it_forgets_after_every_batch() {
    for forget_memory in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let config = RelayServerConfig { forget_memory, ..in_folder(folder.path()) };
        let running = start(config, Arc::new(())).await;
        let (mut alice, mut bob) = (Client::connect(&running.url).await, Client::connect(&running.url).await);
        assert!(alice.publish(&event(1)).await.contains(",true,\"\""));
        assert_eq!(
            bob.ask(r#"["REQ","s",{"kinds":[1]}]"#).await,
            format!("[\"EVENT\",\"s\",{}]", event(1).json())
        );
        assert_eq!(bob.text().await, r#"["EOSE","s",["finish"]]"#);
        assert!(alice.publish(&event(2)).await.contains(",true,\"\""));
        assert_eq!(bob.text().await, format!("[\"EVENT\",\"s\",{}]", event(2).json()));
        let relay = running.server.handle();
        assert_eq!(relay.publish(event(3)).await, Ok(Outcome::Accepted));
        assert_eq!(bob.text().await, format!("[\"EVENT\",\"s\",{}]", event(3).json()));
        let statistics = relay.statistics();
        assert_eq!((statistics.connections, statistics.events_accepted, statistics.events_sent), (2, 2, 3));
        running.server.shutdown().await;
    }
}

#[tokio::test]
async fn answers_invalid_messages_and_keeps_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let mut client = Client::connect(&running.url).await;
    client.frame(true, Data::Text, vec![b'[', 0xFF, 0xFE]).await;
    assert_eq!(client.text().await, r#"["NOTICE","invalid: text must be UTF-8"]"#);
    client.frame(true, Data::Binary, vec![0; 300]).await;
    assert_eq!(client.text().await, r#"["NOTICE","invalid: messages are JSON text, not binary"]"#);
    for text in
        [String::new(), "[".repeat(200_000), format!("\"{}\"", "a".repeat(1 << 20)), "a".repeat(5 << 20)]
    {
        assert!(client.ask(text).await.starts_with("[\"NOTICE\",\"invalid: "));
    }
    client.frame(false, Data::Text, vec![b'x'; 1 << 20]).await;
    client.frame(true, Data::Continue, vec![b'x'; 1 << 20]).await;
    assert!(client.text().await.contains("at most 262144 bytes"));
    let large = fixtures::signed_by(&fixtures::keys(0), 1, 1, &[], &"x".repeat(300_000));
    assert!(client.publish(&large).await.starts_with(&format!("[\"OK\",\"{}\",false,\"invalid: ", large.id)));
    client.0.send(Message::Ping("hello".into())).await.unwrap();
    assert_eq!(client.next().await, Message::Pong("hello".into()));
    assert_eq!(client.ask(r#"["REQ","s",{}]"#).await, r#"["EOSE","s",["finish"]]"#);
    client.0.close(None).await.unwrap();
    assert!(matches!(client.next().await, Message::Close(_)));
    running.server.shutdown().await;
}

#[tokio::test]
async fn closes_the_connection_on_protocol_violations() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let mut client = Client::connect(&running.url).await;
    client.frame(true, Data::Continue, b"of nothing".to_vec()).await;
    let Message::Close(Some(close_reason)) = client.next().await else { panic!() };
    assert_eq!(close_reason.code, CloseCode::Protocol);
    running.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_closed_and_delays_no_other() {
    const EVENTS: u64 = 450;
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let relay = running.server.handle();
    let mut slow = Client::connect(&running.url).await;
    let mut quick = Client::connect(&running.url).await;
    for client in [&mut slow, &mut quick] {
        assert_eq!(client.ask(r#"["REQ","s",{"kinds":[20001]}]"#).await, r#"["EOSE","s",["finish"]]"#);
    }
    let read = tokio::spawn(async move {
        for _ in 0..EVENTS {
            assert!(quick.text().await.starts_with("[\"EVENT\",\"s\","));
        }
    });
    let content = "x".repeat(100_000);
    for number in 0..EVENTS {
        let event = UnsignedEvent::new(Kind(20_001), &content)
            .sign(&fixtures::keys(0), Timestamp::from_seconds(number));
        assert_eq!(relay.publish(event).await, Ok(Outcome::Accepted));
    }
    read.await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while relay.statistics().connections > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("both connections have ended");
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_excess_connection_is_refused_until_another_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_folder(folder.path());
    config.relay.admission.connections.max_connections = 1;
    let running = start(config, Arc::new(())).await;
    let mut first = Client::connect(&running.url).await;
    let Err(Error::Http(response)) = tokio_tungstenite::connect_async(&running.url).await else { panic!() };
    assert_eq!(response.status(), 503);
    first.0.close(None).await.unwrap();
    while first.0.next().await.is_some_and(|message| message.is_ok()) {}
    drop(first);
    tokio::time::timeout(Duration::from_secs(10), async {
        while tokio_tungstenite::connect_async(&running.url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    running.server.shutdown().await;
}

#[tokio::test]
async fn acknowledged_events_survive_a_restart_and_clients_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let mut client = Client::connect(&running.url).await;
    for number in 1..=20 {
        assert!(client.publish(&event(number)).await.contains(",true,"));
    }
    let relay = running.server.handle();
    running.server.shutdown().await;
    let Message::Close(Some(close_reason)) = client.next().await else { panic!() };
    assert_eq!(close_reason.code, CloseCode::Away);
    assert!(relay.publish(event(21)).await.is_err());

    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let mut client = Client::connect(&running.url).await;
    client.send(r#"["REQ","s",{}]"#).await;
    for number in (1..=20).rev() {
        assert_eq!(client.text().await, format!("[\"EVENT\",\"s\",{}]", event(number).json()));
    }
    assert_eq!(client.text().await, r#"["EOSE","s",["finish"]]"#);
    running.server.shutdown().await;
}

#[tokio::test]
async fn internal_queries_find_stored_events_even_if_memory_is_lost() {
    for forget_memory in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let config = RelayServerConfig { forget_memory, ..in_folder(folder.path()) };
        let running = start(config, Arc::new(())).await;
        let relay = running.server.handle();
        let tagged = fixtures::signed(7, 3, &[&["t", "nostr"]]);
        for event in [event(1), event(2), tagged.clone()] {
            assert_eq!(relay.publish(event).await, Ok(Outcome::Accepted));
        }
        let found = relay.query(vec![Filter::new().kinds([1]), Filter::new().limit(1)]).await.unwrap();
        assert_eq!(found, [&tagged, &event(2), &event(1)].map(|event| openagents_host::Event::clone(event)));
        let found = relay.query(vec![Filter::new().tag('t', ["nostr"]).unwrap()]).await.unwrap();
        assert_eq!(found, [openagents_host::Event::clone(&tagged)]);
        let queries = (0..50).map(|seconds| relay.query(vec![Filter::new().since(seconds)]));
        for (since, found) in futures_util::future::join_all(queries).await.into_iter().enumerate() {
            assert_eq!(found.unwrap().len(), [3, 3, 2, 1].get(since).copied().unwrap_or_default());
        }
        let refused = relay.query(vec![Filter::new(); 17]).await;
        assert!(matches!(refused, Err(QueryError::Refused(_))), "{refused:?}");
        running.server.shutdown().await;
        let stopped = relay.query(vec![Filter::new()]).await;
        assert!(matches!(stopped, Err(QueryError::EngineStopped(_))), "{stopped:?}");
    }
}

struct FailsOnce {
    calls: AtomicU32,
    delivered: mpsc::UnboundedSender<VerifiedEvent>,
}

#[async_trait]
impl HandoverSink for FailsOnce {
    async fn deliver(&self, event: VerifiedEvent) -> Result<(), DeliveryError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err("not now".into());
        }
        self.delivered.send(event)?;
        Ok(())
    }
}

#[tokio::test]
async fn hands_over_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_folder(folder.path());
    config.relay.handover = [Kind(5_050)].into_iter().collect();
    let (delivered, mut deliveries) = mpsc::unbounded_channel();
    let running = start(config, Arc::new(FailsOnce { calls: AtomicU32::new(0), delivered })).await;
    let mut client = Client::connect(&running.url).await;
    let job = fixtures::signed(5_050, 1, &[]);
    assert!(client.publish(&job).await.contains(",true,"));
    let handed = tokio::time::timeout(Duration::from_secs(10), deliveries.recv()).await.unwrap();
    assert_eq!(handed, Some(job));
    running.server.shutdown().await;
}

/// Events are published all the time. Each subscription must receive each event exactly once, either as stored or as
/// new.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_sent_twice_between_stored_and_new_ones() {
    const EVENTS: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let relay = running.server.handle();
    let publishing = tokio::spawn(async move {
        for number in 0..EVENTS {
            assert_eq!(relay.publish(event(number)).await, Ok(Outcome::Accepted));
        }
    });
    let mut subscribers = Vec::new();
    while !publishing.is_finished() && subscribers.len() < 40 {
        let mut client = Client::connect(&running.url).await;
        client.send(r#"["REQ","s",{"kinds":[1],"limit":1000}]"#).await;
        subscribers.push(client);
    }
    publishing.await.unwrap();
    let mut told_as_new = 0;
    for client in &mut subscribers {
        let (mut seconds, mut ended) = (std::collections::BTreeSet::new(), false);
        while seconds.len() < usize::try_from(EVENTS).unwrap() || !ended {
            let message: serde_json::Value = serde_json::from_str(&client.text().await).unwrap();
            if message[0] == "EOSE" {
                assert!(!std::mem::replace(&mut ended, true));
                continue;
            }
            assert!(seconds.insert(message[2]["created_at"].as_u64().unwrap()), "told twice: {message}");
            told_as_new += u64::from(ended);
        }
    }
    assert!(told_as_new > 0, "some subscribed while events came");
    running.server.shutdown().await;
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(in_folder(folder.path()), Arc::new(())).await;
    let mut client = Client::connect(&running.url).await;
    for round in 0..40 {
        for name in 0..10 {
            client.send(format!(r#"["REQ","{name}",{{"limit":{round}}}]"#)).await;
        }
    }
    for round in 0..40 {
        for name in 0..10 {
            // With a limit of 0, nothing is read, so completeness is unknown.
            let hint = if round == 0 { "" } else { r#",["finish"]"# };
            assert_eq!(client.text().await, format!(r#"["EOSE","{name}"{hint}]"#), "{round}");
        }
    }
    running.server.shutdown().await;
}
