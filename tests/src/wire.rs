//! A Nostr client that exchanges raw frames over one socket.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nostr_sdk::nostr::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::events::verified;

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How long to listen before assuming that nothing will come.
pub const SILENCE: Duration = Duration::from_millis(400);

/// A message from a relay (NIP-01, "From relay to client").
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// An event for a subscription, already verified.
    Event(String, Box<Event>),
    /// The end of the stored events of a subscription.
    EndOfStored(String),
    /// A subscription was rejected or closed by the relay.
    Closed(String, String),
    /// An event with this id was accepted or rejected.
    Ok(String, bool, String),
    /// A message for a human.
    Notice(String),
    /// The challenge that a client signs to authenticate (NIP-42).
    Challenge(String),
    /// The answer to a `COUNT` (NIP-45).
    Count(String, Value),
    /// A step of a reconciliation (NIP-77), in hex.
    Reconcile(String, String),
    /// A reconciliation was rejected or closed by the relay (NIP-77).
    ReconcileRefused(String, String),
}

impl Frame {
    fn parse(text: &str) -> Self {
        let value: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("relay sent no JSON ({error}): {text}"));
        let string = |index: usize| value[index].as_str().map(str::to_owned);
        let frame = match value[0].as_str() {
            Some("EVENT") => string(1).map(|id| Self::Event(id, Box::new(verified(&value[2])))),
            Some("EOSE") => string(1).map(Self::EndOfStored),
            Some("CLOSED") => string(1).zip(string(2)).map(|(id, why)| Self::Closed(id, why)),
            Some("OK") => string(1)
                .zip(value[2].as_bool())
                .zip(string(3))
                .map(|((id, accepted), message)| Self::Ok(id, accepted, message)),
            Some("NOTICE") => string(1).map(Self::Notice),
            Some("AUTH") => string(1).map(Self::Challenge),
            Some("COUNT") => string(1).map(|id| Self::Count(id, value[2].clone())),
            Some("NEG-MSG") => string(1).zip(string(2)).map(|(id, message)| Self::Reconcile(id, message)),
            Some("NEG-ERR") => string(1).zip(string(2)).map(|(id, why)| Self::ReconcileRefused(id, why)),
            _ => None,
        };
        frame.unwrap_or_else(|| panic!("not a NIP-01 relay message: {text}"))
    }
}

/// The relay's answer to an `EVENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The third element of `OK`.
    pub accepted: bool,
    /// The fourth element of `OK`.
    pub message: String,
}

impl Answer {
    /// Whether this is a rejection whose message starts with the machine-readable `prefix`.
    pub fn refused_as(&self, prefix: &str) -> bool {
        !self.accepted && self.message.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(": "))
    }
}

/// One connection to a relay.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames read while waiting for another.
    waiting: VecDeque<Frame>,
    /// The challenge, which the relay sends when a connection opens.
    challenge: Option<String>,
    /// Numbers this client's subscriptions.
    queries: u32,
}

impl Client {
    /// Connects, or fails the test.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// When nothing is listening or the upgrade is refused.
    pub async fn try_connect(url: &str) -> Result<Self, SocketError> {
        Self::try_connect_with(url, &[]).await
    }

    /// Connects like a client at another network address: through a proxy that gives this address in a header.
    /// Natively, the server must trust that proxy.
    ///
    /// # Errors
    /// When nothing is listening or the upgrade is refused.
    pub async fn try_connect_from(url: &str, address: &str) -> Result<Self, SocketError> {
        Self::try_connect_with(url, &[("X-Forwarded-For", address), ("CF-Connecting-IP", address)]).await
    }

    async fn try_connect_with(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, SocketError> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        // Tests send oversized frames on purpose; only the server should reject them.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _response) = timeout(PATIENCE, connect_async_with_config(request, Some(config), true))
            .await
            .map_err(|_| SocketError::Io(std::io::ErrorKind::TimedOut.into()))??;
        Ok(Self { socket, waiting: VecDeque::new(), challenge: None, queries: 0 })
    }

    /// Sends one JSON message.
    pub async fn send(&mut self, message: &Value) {
        self.send_message(Message::text(message.to_string())).await;
    }

    /// Sends one text frame unchanged.
    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends one WebSocket message unchanged.
    pub async fn send_message(&mut self, message: Message) {
        timeout(PATIENCE, self.socket.send(message))
            .await
            .expect("sending hangs")
            .expect("the socket is open");
    }

    /// Sends one text frame that the server may stop reading.
    pub async fn try_send_text(&mut self, text: String) {
        let _ = timeout(PATIENCE, self.socket.send(Message::text(text))).await;
    }

    /// Sends a ping and waits for the pong with the same payload.
    pub async fn ping(&mut self, payload: &'static [u8]) {
        self.send_message(Message::Ping(Bytes::from_static(payload))).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, self.socket.next()).await.expect("a pong in time") {
                Some(Ok(Message::Pong(answer))) if answer == payload => return,
                Some(Ok(_)) => {}
                other => panic!("expected a pong, got {other:?}"),
            }
        }
    }

    /// Sends one text message in several frames of arbitrary bytes.
    pub async fn send_fragments(&mut self, fragments: &[&[u8]]) {
        for (index, fragment) in fragments.iter().enumerate() {
            let part = if index == 0 { Data::Text } else { Data::Continue };
            let last = index + 1 == fragments.len();
            let frame = RawFrame::message(Bytes::copy_from_slice(fragment), OpCode::Data(part), last);
            self.send_message(Message::Frame(frame)).await;
        }
    }

    /// The next frame other than a challenge, or `None` if the connection is closed or nothing arrives in time.
    pub async fn receive_within(&mut self, patience: Duration) -> Option<Frame> {
        if let Some(frame) = self.waiting.pop_front() {
            return Some(frame);
        }
        self.read_until(Instant::now() + patience).await
    }

    /// The next message other than a challenge, neither parsed nor checked: for measurements, which must not include
    /// this work. `None` if the connection is closed or nothing arrives in time.
    pub async fn receive_text_within(&mut self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            match timeout_at(deadline, self.socket.next()).await.ok()?? {
                Ok(Message::Text(text)) if text.starts_with(r#"["AUTH","#) => {
                    if let Frame::Challenge(challenge) = Frame::parse(text.as_str()) {
                        self.challenge = Some(challenge);
                    }
                }
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn read_until(&mut self, deadline: Instant) -> Option<Frame> {
        loop {
            match timeout_at(deadline, self.socket.next()).await.ok()?? {
                Ok(Message::Text(text)) => match Frame::parse(text.as_str()) {
                    Frame::Challenge(challenge) => self.challenge = Some(challenge),
                    frame => return Some(frame),
                },
                Ok(Message::Binary(bytes)) => panic!("relay sent a binary frame: {bytes:?}"),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            }
        }
    }

    /// The next frame; fails the test if none arrives.
    pub async fn receive(&mut self) -> Frame {
        self.receive_within(PATIENCE).await.expect("a frame from the relay, but none came")
    }

    /// The first frame that `wanted` accepts; earlier ones are kept for later.
    pub async fn find<T>(&mut self, mut wanted: impl FnMut(&Frame) -> Option<T>, what: &str) -> T {
        let deadline = Instant::now() + PATIENCE;
        for index in 0..self.waiting.len() {
            if let Some(found) = wanted(&self.waiting[index]) {
                self.waiting.remove(index);
                return found;
            }
        }
        loop {
            let frame = self
                .read_until(deadline)
                .await
                .unwrap_or_else(|| panic!("waited in vain for {what}; other frames: {:?}", self.waiting));
            match wanted(&frame) {
                Some(found) => return found,
                None => self.waiting.push_back(frame),
            }
        }
    }

    /// Whether a challenge came with the messages that were received.
    pub const fn has_challenge(&self) -> bool {
        self.challenge.is_some()
    }

    /// The challenge that the relay has sent or sends now. Other frames are kept for later.
    pub async fn challenge(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(challenge) = &self.challenge {
                return challenge.clone();
            }
            match timeout_at(deadline, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => match Frame::parse(text.as_str()) {
                    Frame::Challenge(challenge) => self.challenge = Some(challenge),
                    frame => self.waiting.push_back(frame),
                },
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                other => panic!("waited in vain for AUTH: {other:?}; other frames: {:?}", self.waiting),
            }
        }
    }

    /// Sends an event with `AUTH` and waits for its `OK`.
    pub async fn authenticate(&mut self, event: &Event) -> Answer {
        self.send(&json!(["AUTH", event])).await;
        self.answer_to(&event.id.to_hex()).await
    }

    /// Sends a `REQ` that is rejected, and returns the text of `CLOSED`.
    pub async fn refusal(&mut self, subscription: &str, filter: &Value) -> String {
        self.send(&json!(["REQ", subscription, filter])).await;
        match self.find(|frame| of_subscription(frame, subscription), "CLOSED").await {
            Frame::Closed(_, why) => why,
            other => panic!("expected CLOSED, got {other:?}"),
        }
    }

    /// Publishes an event and waits for its `OK`.
    pub async fn publish(&mut self, event: &Event) -> Answer {
        self.publish_json(&crate::events::as_json(event)).await
    }

    /// Publishes something that is not a valid event and waits for the `OK` with its `id`.
    pub async fn publish_json(&mut self, event: &Value) -> Answer {
        self.send(&json!(["EVENT", event])).await;
        let id = event["id"].as_str().expect("an id to wait for").to_owned();
        self.answer_to(&id).await
    }

    /// Waits for the `OK` of an event that has been sent.
    pub async fn answer_to(&mut self, id: &str) -> Answer {
        self.find(
            |frame| match frame {
                Frame::Ok(of, accepted, message) if of == id => {
                    Some(Answer { accepted: *accepted, message: message.clone() })
                }
                _ => None,
            },
            "OK",
        )
        .await
    }

    /// Publishes an event that the relay must accept.
    pub async fn publish_accepted(&mut self, event: &Event) {
        let answer = self.publish(event).await;
        assert!(answer.accepted, "refused: {}", answer.message);
    }

    /// Opens a subscription and returns the stored events that come before `EOSE`.
    pub async fn subscribe(&mut self, subscription: &str, filters: &[Value]) -> Vec<Event> {
        let mut request = vec![json!("REQ"), json!(subscription)];
        request.extend_from_slice(filters);
        self.send(&Value::Array(request)).await;
        let mut stored = Vec::new();
        loop {
            let next = self.find(|frame| of_subscription(frame, subscription), "EOSE").await;
            match next {
                Frame::Event(_, event) => stored.push(*event),
                Frame::EndOfStored(_) => return stored,
                other => panic!("the subscription was refused: {other:?}"),
            }
        }
    }

    /// Closes a subscription.
    pub async fn close(&mut self, subscription: &str) {
        self.send(&json!(["CLOSE", subscription])).await;
    }

    /// The stored events that match.
    pub async fn query(&mut self, filters: &[Value]) -> Vec<Event> {
        self.queries += 1;
        let subscription = format!("query-{}", self.queries);
        let stored = self.subscribe(&subscription, filters).await;
        self.close(&subscription).await;
        stored
    }

    /// The next event of a subscription.
    pub async fn next_event(&mut self, subscription: &str) -> Event {
        let frame = self
            .find(
                |frame| matches!(frame, Frame::Event(of, _) if of == subscription).then(|| frame.clone()),
                "a live event",
            )
            .await;
        match frame {
            Frame::Event(_, event) => *event,
            other => panic!("not an event: {other:?}"),
        }
    }

    /// Fails if a frame arrives within [`SILENCE`], or has arrived already.
    pub async fn expect_silence(&mut self) {
        assert_eq!(self.receive_within(SILENCE).await, None, "expected silence");
    }

    /// Checks that the relay still accepts and serves events on this connection.
    pub async fn expect_alive(&mut self) {
        self.queries += 1;
        let subscription = format!("alive-{}", self.queries);
        let nobody = "00".repeat(32);
        assert_eq!(self.subscribe(&subscription, &[json!({"ids": [nobody]})]).await, []);
        self.close(&subscription).await;
    }

    /// Drops the connection without a closing handshake, as a lost network would.
    pub fn vanish(self) {
        drop(self.socket);
    }
}

fn of_subscription(frame: &Frame, subscription: &str) -> Option<Frame> {
    match frame {
        Frame::Event(of, _) | Frame::EndOfStored(of) | Frame::Closed(of, _) if of == subscription => {
            Some(frame.clone())
        }
        _ => None,
    }
}
