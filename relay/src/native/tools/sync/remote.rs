//! A connection to the other relay: events are sent and fetched many at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use openagents_host::native::now;
use openagents_host::net::{Reach, Socket, SocketError};
use openagents_host::nostr::message::{ClientMessage, Completeness, RelayMessage, SubscriptionId};
use openagents_host::nostr::reason::{Outcome, Prefix};
use openagents_host::{Event, EventId, Keys, VerifiedEvent};

use super::identity::{AUTH_REQUIRED, Identity};
use crate::native::tools::bulk_insert::ImportCounts;
use openagents_host::nostr::filter::Filter;

/// How long a relay may say nothing to what is asked of it. What else it says meanwhile is no answer.
const ANSWER_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a relay may take to answer one question, however often it says a bit of the answer.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(600);

/// How long it takes to notice that it is time to stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How many events may be sent that are not answered.
const MAX_UNANSWERED: usize = 128;

/// The longest pause before what a relay took for too much is sent again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How often a relay may want a pause before any event is taken.
const MAX_PAUSES: u32 = 8;

/// The most events, and the most bytes of them, that a relay is let to send for one question.
const MAX_PAGE_EVENTS: usize = 20_000;
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Why a relay cannot be read from or written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is no WebSocket.
    #[error("cannot reach the relay {url}: {error}")]
    Connect {
        /// Where it was looked for.
        url: String,
        /// The reason or error.
        error: SocketError,
    },
    /// The connection failed.
    #[error("the connection to the relay failed: {0}")]
    Socket(#[from] SocketError),
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Disconnected,
    /// The relay says nothing.
    #[error("no answer of the relay within {} s", ANSWER_IDLE_TIMEOUT.as_secs())]
    Silent,
    /// The relay goes on without coming to the end of an answer.
    #[error("no whole answer of the relay within {} s", MAX_ANSWER_TIME.as_secs())]
    TooSlow,
    /// It was time to stop.
    #[error("stopped while waiting for the relay")]
    Stopped,
    /// The relay does not answer a question, and says why.
    #[error("the relay refused: {0}")]
    Refused(String),
    /// The relay answers only those who say who they are, and there is no key to say so with.
    #[error("the relay answers only those who identify themselves, and there is no key to do so with: {0}")]
    Anonymous(String),
    /// The relay does not take the client for who it says it is.
    #[error("the relay does not accept the identification as {who}: {reason}")]
    NotIdentified {
        /// Who the client says it is, as an npub.
        who: String,
        /// What the relay says about that.
        reason: String,
    },
    /// The relay knows who the client is, and does not answer even so.
    #[error("the relay refuses {who}, who has identified themselves: {reason}")]
    NotEnough {
        /// Who the client is, as an npub.
        who: String,
        /// The reason or error.
        reason: String,
    },
    /// The relay sends only what is not genuine.
    #[error("none of the events that the relay sent is genuine")]
    Forged,
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
    identity: Option<Identity>,
}

/// Stored events of a relay.
#[derive(Debug, Default)]
pub(super) struct EventPage {
    /// They match the filter; nothing else is known of them.
    pub(super) events: Vec<Event>,
    /// Whether the relay says that there are no more (NIP-67).
    pub(super) is_last: bool,
}

/// How long an answer has been waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerWait {
    begun: Instant,
    /// When something of the answer came last.
    heard: Instant,
}

impl AnswerWait {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, heard: now }
    }

    /// Something of the answer came.
    pub(super) fn hear(&mut self) {
        self.heard = Instant::now();
    }

    fn check(&self) -> Result<(), RemoteError> {
        if self.heard.elapsed() > ANSWER_IDLE_TIMEOUT {
            return Err(RemoteError::Silent);
        }
        if self.begun.elapsed() > MAX_ANSWER_TIME {
            return Err(RemoteError::TooSlow);
        }
        Ok(())
    }
}

/// An event to be sent.
#[derive(Clone, Debug)]
pub(super) struct OutgoingEvent {
    pub(super) id: EventId,
    pub(super) json: Arc<str>,
}

impl From<&VerifiedEvent> for OutgoingEvent {
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
            Ok(socket) => Ok(Self { socket, last_id: 0, identity: None }),
            Err(error) => Err(RemoteError::Connect { url: url.to_owned(), error }),
        }
    }

    /// Has it identify itself as the owner of these keys when the relay asks for that (NIP-42). `url` is the one that
    /// it is connected to.
    #[must_use]
    pub fn identifying_as(self, keys: Keys, url: &str) -> Self {
        Self { identity: Some(Identity::new(keys, url)), ..self }
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
        counts: &mut ImportCounts,
    ) -> Result<(), RemoteError> {
        self.send_all(events.iter().map(OutgoingEvent::from).collect(), stop, counts).await
    }

    pub(super) async fn send_all(
        &mut self,
        mut waiting: VecDeque<OutgoingEvent>,
        stop: &AtomicBool,
        counts: &mut ImportCounts,
    ) -> Result<(), RemoteError> {
        let mut sent: HashMap<EventId, OutgoingEvent> = HashMap::new();
        let mut pauses = 0_u32;
        let mut is_too_fast = false;
        // What is refused as long as nobody knows who sends it waits until all has been answered, and is sent once
        // more.
        let mut unidentified: VecDeque<OutgoingEvent> = VecDeque::new();
        let mut may_identify = self.may_identify();
        // What was sent is still to be accounted for when it is time to stop.
        let never = AtomicBool::new(false);
        let mut wait = AnswerWait::new();
        loop {
            let is_held_up = is_too_fast || !unidentified.is_empty();
            while sent.len() < MAX_UNANSWERED && !is_held_up && !stop.load(Ordering::Relaxed) {
                let Some(event) = waiting.pop_front() else { break };
                if sent.contains_key(&event.id) {
                    counts.pass_over();
                    continue;
                }
                self.socket.send(format!(r#"["EVENT",{}]"#, event.json)).await?;
                if sent.is_empty() {
                    wait = AnswerWait::new();
                }
                sent.insert(event.id, event);
            }
            if sent.is_empty() && !unidentified.is_empty() && !stop.load(Ordering::Relaxed) {
                may_identify = false;
                match self.identify(stop).await {
                    Ok(()) => {
                        unidentified.append(&mut waiting);
                        waiting = std::mem::take(&mut unidentified);
                    }
                    // What is for everybody to send may be taken even so.
                    Err(error @ RemoteError::NotIdentified { .. }) => {
                        let reason = format!("{AUTH_REQUIRED} {error}");
                        unidentified.drain(..).for_each(|_| counts.refuse_by_relay(&reason));
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            if sent.is_empty() {
                if waiting.is_empty() || stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                pause(pauses, stop).await;
                is_too_fast = false;
                continue;
            }
            let Some(RelayMessage::Ok { id, outcome }) = self.receive(&wait, &never).await? else {
                continue;
            };
            let Some(event) = sent.remove(&id) else { continue };
            // The answer to an event is one message.
            wait = AnswerWait::new();
            match outcome {
                Outcome::Duplicate => counts.pass_over(),
                Outcome::Accepted => {
                    pauses = 0;
                    counts.accept();
                }
                Outcome::Refused(reason) if reason.prefix == Prefix::RateLimited && pauses < MAX_PAUSES => {
                    if !is_too_fast {
                        pauses = pauses.saturating_add(1);
                    }
                    is_too_fast = true;
                    waiting.push_front(event);
                }
                Outcome::Refused(reason) if reason.prefix == Prefix::AuthRequired && may_identify => {
                    unidentified.push_back(event);
                }
                Outcome::Refused(reason) => counts.refuse_by_relay(&reason.to_string()),
            }
        }
    }

    /// The stored events of a filter, as many as the relay gives at once.
    pub(super) async fn fetch(
        &mut self,
        filter: &Filter,
        stop: &AtomicBool,
    ) -> Result<EventPage, RemoteError> {
        let mut has_identified = false;
        loop {
            match self.ask(filter, stop).await {
                Err(RemoteError::Refused(reason)) if reason.starts_with(AUTH_REQUIRED) => {
                    self.identify_once(&mut has_identified, reason, stop).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&mut self, filter: &Filter, stop: &AtomicBool) -> Result<EventPage, RemoteError> {
        let id = self.next_id();
        let request = ClientMessage::Request { subscription: id.clone(), filters: vec![filter.clone()] };
        self.send(&request).await?;
        let (mut page, mut bytes) = (EventPage::default(), 0_usize);
        let mut wait = AnswerWait::new();
        loop {
            let (message, length) = self.receive_measured(&wait, stop).await?;
            match message {
                Some(RelayMessage::Event { subscription, event }) if subscription == id => {
                    let Ok(event) = Event::from_json(&event) else { continue };
                    bytes = bytes.saturating_add(length);
                    if bytes > MAX_PAGE_BYTES || page.events.len() >= MAX_PAGE_EVENTS {
                        return Err(RemoteError::TooMuch);
                    }
                    // Whatever else it sends, nobody asked for.
                    if filter.matches(&event) {
                        wait.hear();
                        page.events.push(event);
                    }
                }
                Some(RelayMessage::EndOfStoredEvents { subscription, completeness })
                    if subscription == id =>
                {
                    page.is_last = completeness == Completeness::Finished;
                    self.send(&ClientMessage::Close(id)).await?;
                    return Ok(page);
                }
                Some(RelayMessage::Closed { subscription, reason }) if subscription == id => {
                    return Err(RemoteError::Refused(reason.to_string()));
                }
                _ => {}
            }
        }
    }

    pub(super) async fn send(&mut self, message: &ClientMessage<VerifiedEvent>) -> Result<(), RemoteError> {
        Ok(self.socket.send(message.to_json()).await?)
    }

    /// The next message, whatever it is about; nothing for one that cannot be read.
    pub(super) async fn receive(
        &mut self,
        wait: &AnswerWait,
        stop: &AtomicBool,
    ) -> Result<Option<RelayMessage>, RemoteError> {
        Ok(self.receive_measured(wait, stop).await?.0)
    }

    /// The next message, and its length in bytes.
    async fn receive_measured(
        &mut self,
        wait: &AnswerWait,
        stop: &AtomicBool,
    ) -> Result<(Option<RelayMessage>, usize), RemoteError> {
        loop {
            wait.check()?;
            if stop.load(Ordering::Relaxed) {
                return Err(RemoteError::Stopped);
            }
            match tokio::time::timeout(STOP_CHECK_INTERVAL, self.socket.next()).await {
                Ok(Some(text)) => {
                    let text = text?;
                    let message = RelayMessage::parse(&text);
                    if let (Some(identity), Some(message)) = (&mut self.identity, &message)
                        && let Some(answer) = identity.hear(message, now())
                    {
                        self.socket.send(answer).await?;
                    }
                    return Ok((message, text.len()));
                }
                Ok(None) => return Err(RemoteError::Disconnected),
                Err(_) => {}
            }
        }
    }

    /// Whether the relay knows who this is.
    fn is_identified(&self) -> bool {
        self.identity.as_ref().is_some_and(Identity::is_accepted)
    }

    /// Whether it is still open who the relay takes this for.
    fn may_identify(&self) -> bool {
        self.identity.is_some() && !self.is_identified()
    }

    /// Has the relay know who this is, after it refused a question for this `reason`, so that it is worth to ask again.
    /// That is done once for each question, `has_identified` tells: a relay may forget who somebody is and want to know
    /// it anew, but one that wants to each time would be asked without end.
    pub(super) async fn identify_once(
        &mut self,
        has_identified: &mut bool,
        reason: String,
        stop: &AtomicBool,
    ) -> Result<(), RemoteError> {
        match &self.identity {
            None => Err(RemoteError::Anonymous(reason)),
            Some(identity) if *has_identified => Err(RemoteError::NotEnough { who: identity.npub(), reason }),
            Some(_) => {
                *has_identified = true;
                self.identify(stop).await
            }
        }
    }

    /// Waits until the relay has taken this for who it is. The relay's challenge is answered when it comes.
    async fn identify(&mut self, stop: &AtomicBool) -> Result<(), RemoteError> {
        let wait = AnswerWait::new();
        loop {
            let Some(identity) = &self.identity else { return Ok(()) };
            match identity.verdict() {
                Some(Ok(())) => return Ok(()),
                Some(Err(reason)) => {
                    let (who, reason) = (identity.npub(), reason.to_owned());
                    return Err(RemoteError::NotIdentified { who, reason });
                }
                None => drop(self.receive(&wait, stop).await?),
            }
        }
    }

    pub(super) fn next_id(&mut self) -> SubscriptionId {
        self.last_id = self.last_id.saturating_add(1);
        SubscriptionId::numbered("sync", self.last_id)
    }
}

/// Waits 1 s, 2 s, 4 s … unless it is time to stop.
async fn pause(pauses: u32, stop: &AtomicBool) {
    let mut left =
        Duration::from_secs(1_u64.checked_shl(pauses.saturating_sub(1)).unwrap_or(u64::MAX)).min(MAX_PAUSE);
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(STOP_CHECK_INTERVAL.min(left)).await;
        left = left.saturating_sub(STOP_CHECK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures_util::SinkExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio_tungstenite::tungstenite::Message as Frame;

    use super::{ANSWER_IDLE_TIMEOUT, AnswerWait, MAX_ANSWER_TIME, Remote, RemoteError};
    use openagents_host::nostr::filter::Filter;

    /// A relay that says something all the time, and never what it is asked.
    async fn chatterer() -> Remote {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while socket.send(Frame::text(r#"["NOTICE","la la"]"#)).await.is_ok() {}
        });
        Remote::connect(&url).await.unwrap()
    }

    #[tokio::test]
    async fn chatter_is_no_answer() {
        let mut remote = chatterer().await;
        let (now, stop) = (Instant::now(), AtomicBool::new(false));
        // As long ago as leaves a moment.
        let left = std::time::Duration::from_millis(50);
        for (wait, is_right) in [
            (AnswerWait { begun: now, heard: now - (ANSWER_IDLE_TIMEOUT - left) }, RemoteError::Silent),
            (AnswerWait { begun: now - (MAX_ANSWER_TIME - left), heard: now }, RemoteError::TooSlow),
        ] {
            let error = loop {
                if let Err(error) = remote.receive(&wait, &stop).await {
                    break error;
                }
            };
            assert_eq!(error.to_string(), is_right.to_string());
        }
    }

    #[tokio::test]
    async fn chatter_does_not_keep_it_from_stopping() {
        let mut remote = chatterer().await;
        let stop = AtomicBool::new(false);
        let filter = Filter::new();
        let stopping = async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let (page, ()) = tokio::join!(remote.fetch(&filter, &stop), stopping);
        assert!(matches!(page, Err(RemoteError::Stopped)));
    }
}
