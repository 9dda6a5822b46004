//! The connection to the remote relay, over which many events are sent and fetched at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use openagents_host::native::now;
use openagents_host::net::{Reach, Socket, SocketError};
use openagents_host::nostr::message::{ClientMessage, Completeness, RelayMessage, SubscriptionId};
use openagents_host::nostr::reason::{Outcome, Prefix, Reason};
use openagents_host::{Event, EventId, Keys, VerifiedEvent};

use super::identity::{AUTH_REQUIRED, Identity};
use super::refusal_cause::RefusalCause;
use crate::native::tools::bulk_insert::ImportCounts;
use openagents_host::nostr::filter::Filter;

/// How long a relay may be silent about a request. Unrelated messages do not count.
const ANSWER_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a relay may take to answer a request completely.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(600);

/// How often to check whether to stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How many events may be sent without having been acknowledged.
const MAX_UNANSWERED: usize = 128;

/// The first pause before something that hit a rate limit is sent again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How often the relay may ask for a pause before it accepts an event or serves a request.
const MAX_PAUSES: u32 = 8;

/// How many events, and how many bytes of them, a relay may send for one request.
const MAX_PAGE_EVENTS: usize = 20_000;
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Why reading from or writing to a relay failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The relay cannot be reached.
    #[error("cannot reach the relay {url}: {error}")]
    Connect {
        /// The URL of the relay.
        url: String,
        /// Why it cannot be reached.
        error: SocketError,
    },
    /// The connection failed.
    #[error("the connection to the relay failed: {0}")]
    Socket(#[from] SocketError),
    /// The relay closed the connection.
    #[error("the relay closed the connection")]
    Disconnected,
    /// The relay did not answer in time.
    #[error("the relay did not answer within {} s", ANSWER_IDLE_TIMEOUT.as_secs())]
    Silent,
    /// The relay did not complete its answer in time.
    #[error("the relay did not complete its answer within {} s", MAX_ANSWER_TIME.as_secs())]
    TooSlow,
    /// It was stopped by the caller.
    #[error("stopped while waiting for the relay")]
    Stopped,
    /// The relay refused a request, for this reason.
    #[error("the relay refused: {0}")]
    Refused(String),
    /// The relay requires authentication, and there is no key to authenticate with.
    #[error("the relay requires authentication (NIP-42), and there is no key to authenticate with: {0}")]
    NoKey(String),
    /// The relay rejected the authentication.
    #[error("the relay rejected the authentication as {who}: {reason}")]
    AuthRejected {
        /// The public key, as an npub.
        who: String,
        /// The reason given by the relay.
        reason: String,
    },
    /// The relay refuses a request although the client is authenticated.
    #[error("the relay refused a request of {who}, who is authenticated: {reason}")]
    Restricted {
        /// The public key, as an npub.
        who: String,
        /// The reason given by the relay.
        reason: String,
    },
    /// The relay sends only invalid events.
    #[error("none of the events that the relay sent has a valid id and signature")]
    Invalid,
    /// The relay sends more than was requested.
    #[error("the relay sent more than was requested")]
    TooMuch,
    /// The relay violates the protocol.
    #[error("the relay violates the protocol: {0}")]
    Protocol(String),
}

/// A connection to a relay.
pub struct Remote {
    socket: Socket,
    last_id: u64,
    identity: Option<Identity>,
    pub(super) first_pause: Duration,
    /// How long the relay may be silent about a reconciliation before it counts as one that knows none.
    pub(super) reconciliation_timeout: Duration,
}

/// One page of a relay's stored events.
#[derive(Debug, Default)]
pub(super) struct EventPage {
    /// They match the filter, but are not verified.
    pub(super) events: Vec<Event>,
    /// How many events the relay sent that do not match the filter or cannot be parsed.
    pub(super) unrequested: usize,
    /// Whether the relay says that there are no more (NIP-67).
    pub(super) is_last: bool,
}

/// Tracks how long an answer takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerWait {
    begun: Instant,
    /// When a part of the answer was last received.
    last_progress: Instant,
    idle_timeout: Duration,
}

impl AnswerWait {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, last_progress: now, idle_timeout: ANSWER_IDLE_TIMEOUT }
    }

    /// A part of the answer was received.
    pub(super) fn record_progress(&mut self) {
        self.last_progress = Instant::now();
    }

    fn check(&self) -> Result<(), RemoteError> {
        if self.last_progress.elapsed() > self.idle_timeout {
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
    /// Connects to a relay at any address, including private ones.
    ///
    /// # Errors
    /// When the URL is not that of a relay, or the relay cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, RemoteError> {
        match Socket::connect(url, Reach::Anywhere, Duration::from_secs(15)).await {
            Ok(socket) => Ok(Self {
                socket,
                last_id: 0,
                identity: None,
                first_pause: FIRST_PAUSE,
                reconciliation_timeout: ANSWER_IDLE_TIMEOUT,
            }),
            Err(error) => Err(RemoteError::Connect { url: url.to_owned(), error }),
        }
    }

    /// Authenticates with these keys when the relay requests it (NIP-42). `url` is the one it is connected to.
    #[must_use]
    pub fn authenticating_as(self, keys: Keys, url: &str) -> Self {
        Self { identity: Some(Identity::new(keys, url)), ..self }
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.socket.close().await;
    }

    /// Sends events and counts the relay's answers. If the relay limits the rate, sending pauses. Setting `stop` ends
    /// it after what was sent has been acknowledged.
    ///
    /// # Errors
    /// When the connection fails. The relay may then have stored more events than were counted.
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
        // Events that are refused for lack of authentication are sent once more, after all others have been
        // acknowledged.
        let mut unauthenticated: VecDeque<OutgoingEvent> = VecDeque::new();
        let mut may_authenticate = self.may_authenticate();
        // After `stop`, acknowledgements are still awaited.
        let never = AtomicBool::new(false);
        let mut wait = AnswerWait::new();
        loop {
            let is_held_up = is_too_fast || !unauthenticated.is_empty();
            while sent.len() < MAX_UNANSWERED && !is_held_up && !stop.load(Ordering::Relaxed) {
                let Some(event) = waiting.pop_front() else { break };
                if sent.contains_key(&event.id) {
                    counts.count_duplicate();
                    continue;
                }
                self.socket.send(format!(r#"["EVENT",{}]"#, event.json)).await?;
                if sent.is_empty() {
                    wait = AnswerWait::new();
                }
                sent.insert(event.id, event);
            }
            if sent.is_empty() && !unauthenticated.is_empty() && !stop.load(Ordering::Relaxed) {
                may_authenticate = false;
                match self.authenticate(stop).await {
                    Ok(()) => {
                        unauthenticated.append(&mut waiting);
                        waiting = std::mem::take(&mut unauthenticated);
                    }
                    // Without authentication, other events may still be accepted.
                    Err(error @ RemoteError::AuthRejected { .. }) => {
                        let reason = format!("{AUTH_REQUIRED} {error}");
                        unauthenticated.drain(..).for_each(|_| counts.refuse_by_relay(&reason));
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            if sent.is_empty() {
                if waiting.is_empty() || stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.pause(pauses, stop).await;
                is_too_fast = false;
                continue;
            }
            let Some(RelayMessage::Ok { id, outcome }) = self.receive(&wait, &never).await? else {
                continue;
            };
            let Some(event) = sent.remove(&id) else { continue };
            // Each event is acknowledged by one message.
            wait = AnswerWait::new();
            match outcome {
                Outcome::Duplicate => counts.count_duplicate(),
                Outcome::Accepted => {
                    pauses = 0;
                    counts.count_accepted();
                }
                Outcome::Refused(reason) if reason.prefix == Prefix::RateLimited && pauses < MAX_PAUSES => {
                    if !is_too_fast {
                        pauses = pauses.saturating_add(1);
                    }
                    is_too_fast = true;
                    waiting.push_front(event);
                }
                Outcome::Refused(reason) if reason.prefix == Prefix::AuthRequired && may_authenticate => {
                    unauthenticated.push_back(event);
                }
                Outcome::Refused(reason) => counts.refuse_by_relay(&reason.to_string()),
            }
        }
    }

    /// The stored events that match a filter, as many as the relay returns at once.
    pub(super) async fn fetch(
        &mut self,
        filter: &Filter,
        stop: &AtomicBool,
    ) -> Result<EventPage, RemoteError> {
        let (mut has_authenticated, mut pauses) = (false, 0);
        loop {
            let reason = match self.fetch_once(filter, stop).await {
                Err(RemoteError::Refused(reason)) => reason,
                answer => return answer,
            };
            match RefusalCause::of(&Reason::parse(&reason)) {
                RefusalCause::Authentication => {
                    self.authenticate_once(&mut has_authenticated, reason, stop).await?;
                }
                RefusalCause::Quota => self.pause_after(&mut pauses, reason, stop).await?,
                RefusalCause::Size | RefusalCause::Other => return Err(RemoteError::Refused(reason)),
            }
        }
    }

    async fn fetch_once(&mut self, filter: &Filter, stop: &AtomicBool) -> Result<EventPage, RemoteError> {
        let id = self.next_id();
        let request = ClientMessage::Request { subscription: id.clone(), filters: vec![filter.clone()] };
        self.send(&request).await?;
        let (mut page, mut bytes) = (EventPage::default(), 0_usize);
        let mut wait = AnswerWait::new();
        loop {
            let (message, length) = self.receive_measured(&wait, stop).await?;
            match message {
                Some(RelayMessage::Event { subscription, event }) if subscription == id => {
                    let Ok(event) = Event::from_json(&event) else {
                        page.unrequested = page.unrequested.saturating_add(1);
                        continue;
                    };
                    bytes = bytes.saturating_add(length);
                    if bytes > MAX_PAGE_BYTES || page.events.len() >= MAX_PAGE_EVENTS {
                        return Err(RemoteError::TooMuch);
                    }
                    if filter.matches(&event) {
                        wait.record_progress();
                        page.events.push(event);
                    } else {
                        page.unrequested = page.unrequested.saturating_add(1);
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

    /// The next message about anything; `None` for one that cannot be parsed.
    pub(super) async fn receive(
        &mut self,
        wait: &AnswerWait,
        stop: &AtomicBool,
    ) -> Result<Option<RelayMessage>, RemoteError> {
        Ok(self.receive_measured(wait, stop).await?.0)
    }

    /// The next message and its length in bytes.
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
                        && let Some(answer) = identity.handle_message(message, now())
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

    /// Whether the client is authenticated.
    fn is_authenticated(&self) -> bool {
        self.identity.as_ref().is_some_and(Identity::is_accepted)
    }

    /// Whether it is undecided if the relay accepts the authentication.
    fn may_authenticate(&self) -> bool {
        self.identity.is_some() && !self.is_authenticated()
    }

    /// Authenticates after the relay refused a request for this `reason`, so that the request can be repeated. This
    /// happens once per request, tracked in `has_authenticated`: a relay may forget an authentication, but if it did so
    /// every time, the request would be repeated for ever.
    pub(super) async fn authenticate_once(
        &mut self,
        has_authenticated: &mut bool,
        reason: String,
        stop: &AtomicBool,
    ) -> Result<(), RemoteError> {
        match &self.identity {
            None => Err(RemoteError::NoKey(reason)),
            Some(identity) if *has_authenticated => {
                Err(RemoteError::Restricted { who: identity.npub(), reason })
            }
            Some(_) => {
                *has_authenticated = true;
                self.authenticate(stop).await
            }
        }
    }

    /// Waits until the relay has accepted the authentication. Its challenge is answered when it arrives.
    async fn authenticate(&mut self, stop: &AtomicBool) -> Result<(), RemoteError> {
        let wait = AnswerWait::new();
        loop {
            let Some(identity) = &self.identity else { return Ok(()) };
            match identity.verdict() {
                Some(Ok(())) => return Ok(()),
                Some(Err(reason)) => {
                    let (who, reason) = (identity.npub(), reason.to_owned());
                    return Err(RemoteError::AuthRejected { who, reason });
                }
                None => drop(self.receive(&wait, stop).await?),
            }
        }
    }

    /// For a reconciliation's first answer.
    pub(super) fn wait_for_reconciliation(&self) -> AnswerWait {
        AnswerWait { idle_timeout: self.reconciliation_timeout, ..AnswerWait::new() }
    }

    /// Pauses after the relay refused a request for this `reason`, so that the request can be repeated. `pauses` counts
    /// those of this request, which grow.
    ///
    /// # Errors
    /// When the relay has refused the request too often.
    pub(super) async fn pause_after(
        &mut self,
        pauses: &mut u32,
        reason: String,
        stop: &AtomicBool,
    ) -> Result<(), RemoteError> {
        if *pauses >= MAX_PAUSES {
            return Err(RemoteError::Refused(reason));
        }
        *pauses = pauses.saturating_add(1);
        self.pause(*pauses, stop).await;
        Ok(())
    }

    /// Waits 1 s, 2 s, 4 s … or until `stop` is set.
    async fn pause(&mut self, pauses: u32, stop: &AtomicBool) {
        let factor = 1_u32.checked_shl(pauses.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut left = self.first_pause.saturating_mul(factor).min(MAX_PAUSE);
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(STOP_CHECK_INTERVAL.min(left)).await;
            left = left.saturating_sub(STOP_CHECK_INTERVAL);
        }
    }

    pub(super) fn next_id(&mut self) -> SubscriptionId {
        self.last_id = self.last_id.saturating_add(1);
        SubscriptionId::numbered("sync", self.last_id)
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

    /// A relay that keeps sending unrelated messages.
    async fn noisy_relay() -> Remote {
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
    async fn unrelated_messages_are_no_answer() {
        let mut remote = noisy_relay().await;
        let (now, stop) = (Instant::now(), AtomicBool::new(false));
        // So long ago that the time is almost up.
        let left = std::time::Duration::from_millis(50);
        for (wait, is_right) in [
            (
                AnswerWait { last_progress: now - (ANSWER_IDLE_TIMEOUT - left), ..AnswerWait::new() },
                RemoteError::Silent,
            ),
            (AnswerWait { begun: now - (MAX_ANSWER_TIME - left), ..AnswerWait::new() }, RemoteError::TooSlow),
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
    async fn unrelated_messages_do_not_keep_it_from_stopping() {
        let mut remote = noisy_relay().await;
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
