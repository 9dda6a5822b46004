//! A relay at the other end of a WebSocket: many events sent before the first is answered, many asked for at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openagents_host::outgoing::{Reach, Socket, SocketError};
use openagents_host::{Event, EventId, VerifiedEvent};

use super::message::Message;
use crate::filter::Filter;
use crate::native::intake::{Refusal, Tally};

/// How long a relay may be silent while something is asked of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many events may be sent that are not answered.
const WINDOW: usize = 128;

/// The longest pause before what a relay took for too much is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often a relay may want a pause before any event is taken.
const PAUSES: u32 = 8;

/// The most events, and the most bytes of them, that a relay is let to send for one question.
const MOST_EVENTS: usize = 20_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Why a relay cannot be read from or written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is no WebSocket.
    #[error("cannot reach the relay {url}: {error}")]
    Connect {
        /// Where it was looked for.
        url: String,
        /// Why.
        error: SocketError,
    },
    /// The connection failed.
    #[error("the connection to the relay failed: {0}")]
    Socket(#[from] SocketError),
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Disconnected,
    /// The relay says nothing.
    #[error("no answer of the relay within {} s", PATIENCE.as_secs())]
    Silent,
    /// The relay does not answer a question, and says why.
    #[error("the relay refused: {0}")]
    Refused(String),
    /// The relay sends without end.
    #[error("the relay sent more than was asked for")]
    TooMuch,
    /// What the relay says is not what the protocol has there.
    #[error("the relay does not keep to the protocol: {0}")]
    Protocol(String),
}

/// A connection to a relay.
pub struct Remote {
    socket: Socket,
    last_id: u64,
}

/// Stored events of a relay.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// They match the filter; nothing else is known of them.
    pub(super) events: Vec<Event>,
    /// Whether the relay says that there are no more (NIP-67).
    pub(super) is_last: bool,
}

/// An event to be sent.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) id: EventId,
    pub(super) json: Arc<str>,
}

impl From<&VerifiedEvent> for Outgoing {
    fn from(event: &VerifiedEvent) -> Self {
        Self { id: event.id, json: Arc::clone(event.json()) }
    }
}

impl Remote {
    /// Connects to a relay, wherever it is.
    ///
    /// # Errors
    /// When the URL is none of a relay, or nothing answers there.
    pub async fn connect(url: &str) -> Result<Self, RemoteError> {
        match Socket::connect(url, Reach::Anywhere, Duration::from_secs(15)).await {
            Ok(socket) => Ok(Self { socket, last_id: 0 }),
            Err(error) => Err(RemoteError::Connect { url: url.to_owned(), error }),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.socket.close().await;
    }

    /// Sends events and enters in the account what the relay says of each. Where it wants less at a time, it is given
    /// time. `stop` ends it after the answers to what was sent.
    ///
    /// # Errors
    /// When the connection fails. The relay may have more than the account says.
    pub async fn publish(
        &mut self,
        events: &[VerifiedEvent],
        stop: &AtomicBool,
        tally: &mut Tally,
    ) -> Result<(), RemoteError> {
        self.send_all(events.iter().map(Outgoing::from).collect(), stop, tally).await
    }

    pub(super) async fn send_all(
        &mut self,
        mut waiting: VecDeque<Outgoing>,
        stop: &AtomicBool,
        tally: &mut Tally,
    ) -> Result<(), RemoteError> {
        let mut sent: HashMap<EventId, Outgoing> = HashMap::new();
        let mut pauses = 0_u32;
        let mut is_too_fast = false;
        loop {
            while sent.len() < WINDOW && !is_too_fast && !stop.load(Ordering::Relaxed) {
                let Some(event) = waiting.pop_front() else { break };
                if sent.contains_key(&event.id) {
                    tally.pass_over();
                    continue;
                }
                self.socket.send(format!(r#"["EVENT",{}]"#, event.json)).await?;
                sent.insert(event.id, event);
            }
            if sent.is_empty() {
                if waiting.is_empty() || stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                pause(pauses, stop).await;
                is_too_fast = false;
                continue;
            }
            let Message::Ok { id, accepted, reason } = self.receive().await? else { continue };
            let Some(event) = sent.remove(&id) else { continue };
            if reason.starts_with("duplicate:") {
                tally.pass_over();
            } else if accepted {
                pauses = 0;
                tally.accept();
            } else if reason.starts_with("rate-limited:") && pauses < PAUSES {
                if !is_too_fast {
                    pauses = pauses.saturating_add(1);
                }
                is_too_fast = true;
                waiting.push_front(event);
            } else {
                tally.refuse(Refusal::ByRelay(reason));
            }
        }
    }

    /// The stored events of a filter, as many as the relay gives at once.
    pub(super) async fn fetch(&mut self, filter: &Filter) -> Result<Page, RemoteError> {
        let id = self.next_id();
        let filter_json = serde_json::to_string(filter).unwrap_or_default();
        self.socket.send(format!(r#"["REQ","{id}",{filter_json}]"#)).await?;
        let (mut page, mut bytes) = (Page::default(), 0_usize);
        loop {
            match self.receive().await? {
                Message::Event { subscription, event, length } if subscription == id => {
                    bytes = bytes.saturating_add(length);
                    if bytes > MOST_BYTES || page.events.len() >= MOST_EVENTS {
                        return Err(RemoteError::TooMuch);
                    }
                    // Whatever else it sends, nobody asked for.
                    if filter.matches(&event) {
                        page.events.push(event);
                    }
                }
                Message::EndOfStored { subscription, is_last } if subscription == id => {
                    page.is_last = is_last;
                    self.socket.send(format!(r#"["CLOSE","{id}"]"#)).await?;
                    return Ok(page);
                }
                Message::Closed { subscription, reason } if subscription == id => {
                    return Err(RemoteError::Refused(reason));
                }
                _ => {}
            }
        }
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), RemoteError> {
        Ok(self.socket.send(text).await?)
    }

    pub(super) async fn receive(&mut self) -> Result<Message, RemoteError> {
        match tokio::time::timeout(PATIENCE, self.socket.next()).await {
            Ok(Some(text)) => Ok(Message::from_json(&text?)),
            Ok(None) => Err(RemoteError::Disconnected),
            Err(_) => Err(RemoteError::Silent),
        }
    }

    pub(super) fn next_id(&mut self) -> String {
        self.last_id = self.last_id.saturating_add(1);
        format!("sync{}", self.last_id)
    }
}

/// Waits 1 s, 2 s, 4 s … unless it is time to stop.
async fn pause(pauses: u32, stop: &AtomicBool) {
    const GLANCE: Duration = Duration::from_millis(100);
    let mut left = Duration::from_secs(1_u64.checked_shl(pauses.saturating_sub(1)).unwrap_or(u64::MAX))
        .min(LONGEST_PAUSE);
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(GLANCE.min(left)).await;
        left = left.saturating_sub(GLANCE);
    }
}
