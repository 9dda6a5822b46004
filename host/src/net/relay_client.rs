//! A client of one relay (NIP-01): publish, query, subscribe.
//!
//! A relay is not trusted. Each event's id and signature are checked, and that it is one that was asked for; what is not
//! is dropped. Time, number and bytes are limited.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::address::Reach;
use super::error::SocketError;
use super::platform::{now, timeout};
use super::socket::Socket;
use crate::nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use crate::nostr::reason::Outcome;
use crate::nostr::{Event, EventId, Filter, VerifiedEvent};
use crate::time::Timestamp;

/// How much a relay may take of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// How long connecting, publishing, or a query may take.
    pub timeout: Duration,
    /// How long a relay may be silent while [`RelayClient::next_event`] is awaited, before it is asked for a sign of life.
    pub idle: Duration,
    /// How many events a query looks at; how many may wait for [`RelayClient::next_event`].
    pub max_events: usize,
    /// How many bytes a query takes; how many may wait for [`RelayClient::next_event`].
    pub max_bytes: usize,
}

impl Default for RelayLimits {
    /// 10 seconds, a minute of silence, 500 events, 5 MB.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            max_events: 500,
            max_bytes: 5_000_000,
        }
    }
}

/// What a relay did with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The relay has it, now or from before.
    Accepted,
    /// The relay does not want it and says why, such as `auth-required: …` or `blocked: …` (NIP-01).
    Refused(String),
}

/// Why a relay gave no answer that is of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The WebSocket failed. It has ended.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The relay ended the connection.
    #[error("the relay ended the connection")]
    Disconnected,
    /// The answer did not come in time.
    #[error("no answer of the relay within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The relay ended a subscription, or did not begin it. The connection goes on.
    #[error("the relay closed the subscription `{subscription}`: {reason}")]
    Closed {
        /// The id of the subscription.
        subscription: SubscriptionId,
        /// What the relay says, such as `auth-required: …`.
        reason: String,
    },
    /// A query brought more bytes than the limit.
    #[error("the relay sent more than {limit} bytes, expected an end of stored events before")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Events of subscriptions came in while nobody took them, more than the limits allow. Some are lost.
    #[error("more events than are kept came in before they were read; some are lost")]
    Overrun,
}

/// A connection to one relay.
///
/// Events of [subscriptions](Self::subscribe) that come in during another call wait for
/// [`next_event`](Self::next_event). Dropping the future of `next_event` loses nothing; dropping that of a query leaves
/// its subscription with the relay until the connection ends.
#[derive(Debug)]
pub struct RelayClient {
    socket: Socket,
    limits: RelayLimits,
    subscriptions: BTreeMap<SubscriptionId, Vec<Filter>>,
    backlog: Backlog,
    last_id: u64,
    last_heard: Timestamp,
    /// When the relay was asked for a sign of life, if it gave none since.
    asked_for_life: Option<Timestamp>,
}

/// What came in for subscriptions and was not yet read.
#[derive(Debug, Default)]
struct Backlog {
    arrivals: VecDeque<Result<(SubscriptionId, VerifiedEvent), RelayError>>,
    bytes: usize,
    overrun: bool,
}

impl RelayClient {
    /// Connects to a relay with the default limits.
    ///
    /// # Errors
    /// When the address may not be reached, or there is no WebSocket within the time.
    pub async fn connect(url: &str, reach: Reach) -> Result<Self, RelayError> {
        let limits = RelayLimits::default();
        Ok(Self::over(Socket::connect(url, reach, limits.timeout).await?, limits))
    }

    /// Speaks to the relay at the other end of a socket.
    #[must_use]
    pub fn over(socket: Socket, limits: RelayLimits) -> Self {
        Self {
            socket,
            limits,
            subscriptions: BTreeMap::new(),
            backlog: Backlog::default(),
            last_id: 0,
            last_heard: now(),
            asked_for_life: None,
        }
    }

    /// Sends an event and waits for the relay's word on it.
    ///
    /// An event that the relay says it had already (`duplicate:`) counts as accepted.
    ///
    /// # Errors
    /// When the connection fails, or there is no `OK` in time. The relay may have the event even so.
    pub async fn publish(&mut self, event: &VerifiedEvent) -> Result<PublishOutcome, RelayError> {
        let after = self.limits.timeout;
        timeout(after, self.publish_in_time(event)).await.unwrap_or(Err(RelayError::Timeout { after }))
    }

    async fn publish_in_time(&mut self, event: &VerifiedEvent) -> Result<PublishOutcome, RelayError> {
        self.send(ClientMessage::Event(event.clone())).await?;
        loop {
            if let (Some(RelayMessage::Ok { id, outcome }), _) = self.receive_answer().await?
                && id == event.id
            {
                return Ok(match outcome {
                    Outcome::Accepted | Outcome::Duplicate => PublishOutcome::Accepted,
                    Outcome::Refused(reason) => PublishOutcome::Refused(reason.to_string()),
                });
            }
        }
    }

    /// The stored events that match one of the filters (NIP-01), in the order in which the relay sends them: the newest
    /// first, as a rule. Each is checked, and comes once.
    ///
    /// Ends after [`RelayLimits::max_events`], whether the relay has more or not; a `limit` in the filter asks for fewer.
    ///
    /// # Errors
    /// When the connection fails, the relay closes the subscription, does not come to an end in time, or sends more bytes
    /// than the limit.
    pub async fn query(&mut self, filters: &[Filter]) -> Result<Vec<VerifiedEvent>, RelayError> {
        let after = self.limits.timeout;
        let id = self.next_id();
        let outcome = timeout(after, self.query_in_time(&id, filters)).await;
        match outcome {
            Some(Err(
                error @ (RelayError::Closed { .. } | RelayError::Socket(_) | RelayError::Disconnected),
            )) => Err(error),
            outcome => {
                self.send(ClientMessage::Close(id)).await?;
                outcome.unwrap_or(Err(RelayError::Timeout { after }))
            }
        }
    }

    async fn query_in_time(
        &mut self,
        id: &SubscriptionId,
        filters: &[Filter],
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        let RelayLimits { max_events, max_bytes, .. } = self.limits;
        self.request(id, filters).await?;
        let (mut events, mut ids) = (Vec::new(), HashSet::new());
        let (mut looked_at, mut bytes) = (0_usize, 0_usize);
        while looked_at < max_events {
            let (message, length) = self.receive_answer().await?;
            bytes = bytes.saturating_add(length);
            if bytes > max_bytes {
                // What came is worth something: the newest events, most often. Whoever wants more asks for older ones.
                if events.is_empty() {
                    return Err(RelayError::TooLarge { limit: max_bytes });
                }
                break;
            }
            match message {
                Some(RelayMessage::Event { subscription, event }) if subscription == *id => {
                    let Ok(event) = Event::from_json(&event) else { continue };
                    looked_at = looked_at.saturating_add(1);
                    if let Some(event) = expected(filters, event).filter(|event| ids.insert(event.id)) {
                        events.push(event);
                    }
                }
                Some(RelayMessage::EndOfStoredEvents { subscription, .. }) if subscription == *id => break,
                Some(RelayMessage::Closed { subscription, reason }) if subscription == *id => {
                    return Err(RelayError::Closed { subscription, reason: reason.to_string() });
                }
                _ => {}
            }
        }
        Ok(events)
    }

    /// Asks for the events that match one of the filters, those that are stored and those that will come, and returns the
    /// id of the subscription. The events come by [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// When the connection fails. That the relay does not want the subscription is learnt from `next_event`.
    pub async fn subscribe(&mut self, filters: &[Filter]) -> Result<SubscriptionId, RelayError> {
        let id = self.next_id();
        self.request(&id, filters).await?;
        self.subscriptions.insert(id.clone(), filters.to_vec());
        Ok(id)
    }

    /// Ends a subscription. Its events that wait already are still delivered.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn unsubscribe(&mut self, id: &SubscriptionId) -> Result<(), RelayError> {
        if self.subscriptions.remove(id).is_some() {
            self.send(ClientMessage::Close(id.clone())).await?;
        }
        Ok(())
    }

    /// The next event of a subscription, with the subscription's id; `None` when the connection has ended.
    ///
    /// It waits as long as it takes, but not on a dead connection: a relay that is silent for [`RelayLimits::idle`] is
    /// asked something, and must say anything within [`RelayLimits::timeout`]. After [`RelayError::Closed`] and
    /// [`RelayError::Overrun`] the connection goes on; any other error ends it.
    pub async fn next_event(&mut self) -> Option<Result<(SubscriptionId, VerifiedEvent), RelayError>> {
        loop {
            if let Some(arrival) = self.backlog.pop() {
                return Some(arrival);
            }
            match timeout(self.silence_left(), self.receive()).await {
                Some(Ok((message, length))) => {
                    message.and_then(|message| self.keep(message, length));
                }
                Some(Err(RelayError::Disconnected)) => return None,
                Some(Err(error)) => return Some(Err(error)),
                None if self.asked_for_life.is_some() => {
                    self.socket.abandon();
                    return Some(Err(RelayError::Timeout { after: self.limits.timeout }));
                }
                None => {
                    if let Err(error) = self.ask_for_life().await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.socket.close().await;
    }

    async fn request(&mut self, id: &SubscriptionId, filters: &[Filter]) -> Result<(), RelayError> {
        self.send(ClientMessage::Request { subscription: id.clone(), filters: filters.to_vec() }).await
    }

    async fn send(&mut self, message: ClientMessage<VerifiedEvent>) -> Result<(), RelayError> {
        Ok(self.socket.send(message.to_json()).await?)
    }

    /// Asks for an event that nobody has: the relay must answer that it has none.
    async fn ask_for_life(&mut self) -> Result<(), RelayError> {
        self.asked_for_life = Some(now());
        // Always the same id: a new one would be one more subscription each time (NIP-01).
        let nothing = Filter::new().ids([EventId::from_bytes([0; 32])]).limit(1);
        self.request(&SubscriptionId::unchecked("alive"), &[nothing]).await
    }

    /// How long the relay may still be silent.
    fn silence_left(&self) -> Duration {
        let until = match self.asked_for_life {
            Some(asked) => asked + self.limits.timeout,
            None => self.last_heard + self.limits.idle,
        };
        // Never nothing: what came in while nobody waited must have a chance to be seen first.
        now().until(until).max(Duration::from_millis(10))
    }

    /// The next message that is not for a subscription, with its length in bytes.
    async fn receive_answer(&mut self) -> Result<(Option<RelayMessage>, usize), RelayError> {
        loop {
            let (message, length) = self.receive().await?;
            let Some(message) = message else { return Ok((None, length)) };
            if let Some(message) = self.keep(message, length) {
                return Ok((Some(message), length));
            }
        }
    }

    /// The next message, if it can be read, and its length in bytes.
    async fn receive(&mut self) -> Result<(Option<RelayMessage>, usize), RelayError> {
        let text = self.socket.next().await.ok_or(RelayError::Disconnected)??;
        self.last_heard = now();
        self.asked_for_life = None;
        Ok((RelayMessage::parse(&text), text.len()))
    }

    /// Keeps what is for a subscription, and gives back the rest.
    fn keep(&mut self, message: RelayMessage, length: usize) -> Option<RelayMessage> {
        match message {
            RelayMessage::Event { subscription, event } => {
                let Some(filters) = self.subscriptions.get(&subscription) else {
                    return Some(RelayMessage::Event { subscription, event });
                };
                if let Some(event) = Event::from_json(&event).ok().and_then(|event| expected(filters, event))
                {
                    self.backlog.push(Ok((subscription, event)), length, &self.limits);
                }
                None
            }
            RelayMessage::Closed { subscription, reason } => {
                if self.subscriptions.remove(&subscription).is_none() {
                    return Some(RelayMessage::Closed { subscription, reason });
                }
                let error = RelayError::Closed { subscription, reason: reason.to_string() };
                self.backlog.push(Err(error), length, &self.limits);
                None
            }
            message => Some(message),
        }
    }

    fn next_id(&mut self) -> SubscriptionId {
        self.last_id = self.last_id.saturating_add(1);
        SubscriptionId::numbered("s", self.last_id)
    }
}

impl Backlog {
    fn push(
        &mut self,
        arrival: Result<(SubscriptionId, VerifiedEvent), RelayError>,
        length: usize,
        limits: &RelayLimits,
    ) {
        let bytes = self.bytes.saturating_add(length);
        if self.arrivals.len() >= limits.max_events || bytes > limits.max_bytes {
            self.overrun = true;
        } else {
            self.bytes = bytes;
            self.arrivals.push_back(arrival);
        }
    }

    fn pop(&mut self) -> Option<Result<(SubscriptionId, VerifiedEvent), RelayError>> {
        let arrival = self.arrivals.pop_front();
        if self.arrivals.is_empty() {
            self.bytes = 0;
        }
        arrival.or_else(|| std::mem::take(&mut self.overrun).then_some(Err(RelayError::Overrun)))
    }
}

/// The event, if it is genuine and one that was asked for.
fn expected(filters: &[Filter], event: Event) -> Option<VerifiedEvent> {
    // In this order: a signature costs more to check than a filter. What a search finds only the relay can judge.
    let is_expected = filters.iter().any(|filter| filter.matches_with(&event, |_| true));
    is_expected.then(|| event.verify().ok()).flatten()
}

#[cfg(test)]
mod tests;
