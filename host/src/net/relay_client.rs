//! A client of one relay (NIP-01): publish, query, subscribe, and authenticate if the relay requires it (NIP-42).
//!
//! The relay is not trusted: events are dropped unless their id and signature are valid and they match the filters.
//! Time, number of events and bytes are limited.

mod authentication;
mod backlog;
mod refusals;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::address::Reach;
use super::error::SocketError;
use super::platform::{now, timeout};
use super::socket::Socket;
use crate::nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use crate::nostr::reason::{Outcome, Prefix, Reason};
use crate::nostr::{Event, EventId, Filter, Keys, VerifiedEvent};
use crate::time::Timestamp;
use authentication::Authentication;
use backlog::Backlog;

/// The limits that a client sets for a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// How long connecting, publishing, or a query may take.
    pub timeout: Duration,
    /// How long a relay may be silent while [`RelayClient::next_event`] is awaited, before the connection is probed.
    pub idle: Duration,
    /// How many events a query examines, and how many may be queued for [`RelayClient::next_event`].
    pub max_events: usize,
    /// How many bytes a query accepts, and how many may be queued for [`RelayClient::next_event`].
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

/// The relay's answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The relay has stored the event, now or before.
    Accepted,
    /// The relay refused the event, for this reason, such as `auth-required: …` or `blocked: …` (NIP-01).
    Refused(Reason),
}

/// Why a request to a relay failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The WebSocket failed and has ended.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The relay closed the connection.
    #[error("the relay closed the connection")]
    Disconnected,
    /// The relay did not answer in time.
    #[error("the relay did not answer within {after:?}")]
    Timeout {
        /// The time limit.
        after: Duration,
    },
    /// The relay closed or refused a subscription. The connection can still be used.
    #[error("the relay closed the subscription `{subscription}`: {reason}")]
    Closed {
        /// The id of the subscription.
        subscription: SubscriptionId,
        /// The reason given by the relay, such as `restricted: …`.
        reason: Reason,
    },
    /// A query returned more bytes than the limit.
    #[error("the relay sent more than {limit} bytes without an end of stored events")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Events of subscriptions arrived faster than they were read, and exceeded the limits. Some are lost.
    #[error("more events arrived than can be queued; some are lost")]
    Overrun,
}

impl RelayError {
    /// Whether the relay has refused a subscription for good: trying again soon gets the same answer.
    #[must_use]
    pub fn is_final_refusal(&self) -> bool {
        let Self::Closed { reason, .. } = self else { return false };
        matches!(
            reason.prefix,
            Prefix::Restricted | Prefix::Blocked | Prefix::Invalid | Prefix::Unsupported | Prefix::Pow
        )
    }
}

/// A connection to one relay.
///
/// What the relay refuses with `auth-required:` is repeated once the client has authenticated (NIP-42); if the relay does
/// not accept that, the refusal stands. The client does not authenticate before the relay requires it.
///
/// Events of [subscriptions](Self::subscribe) that arrive during another call are queued for
/// [`next_event`](Self::next_event). Dropping the future of `next_event` loses nothing; dropping the future of a query
/// leaves its subscription open at the relay until the connection ends.
#[derive(Debug)]
pub struct RelayClient {
    socket: Socket,
    limits: RelayLimits,
    /// `None` for a client without a key.
    authentication: Option<Authentication>,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Messages that the client sends next: it answers the relay while it waits for something else.
    unsent: VecDeque<String>,
    backlog: Backlog,
    last_id: u64,
    last_heard: Timestamp,
    /// When a probe was sent, if nothing was received since.
    asked_for_life: Option<Timestamp>,
}

/// An open subscription.
#[derive(Debug)]
struct Subscription {
    filters: Vec<Filter>,
    /// How often the client had authenticated when it last sent the `REQ`.
    authentications: u32,
    /// Why the relay has refused it, if the `REQ` is repeated after authentication.
    refusal: Option<Reason>,
}

impl RelayClient {
    /// Connects to a relay with the default limits. With `keys` the client authenticates, if the relay requires it.
    ///
    /// # Errors
    /// When the address may not be reached, or no WebSocket can be opened in time.
    pub async fn connect(url: &str, reach: Reach, keys: &Keys) -> Result<Self, RelayError> {
        Self::connect_with(url, reach, keys, RelayLimits::default()).await
    }

    /// Connects to a relay with these limits; see [`connect`](Self::connect).
    ///
    /// # Errors
    /// When the address may not be reached, or no WebSocket can be opened in time.
    pub async fn connect_with(
        url: &str,
        reach: Reach,
        keys: &Keys,
        limits: RelayLimits,
    ) -> Result<Self, RelayError> {
        let socket = Socket::connect(url, reach, limits.timeout).await?;
        Ok(Self::over(socket, limits).authenticating(url, keys))
    }

    /// Uses a relay at the other end of a socket. The client does not authenticate.
    #[must_use]
    pub fn over(socket: Socket, limits: RelayLimits) -> Self {
        Self {
            socket,
            limits,
            authentication: None,
            subscriptions: BTreeMap::new(),
            unsent: VecDeque::new(),
            backlog: Backlog::default(),
            last_id: 0,
            last_heard: now(),
            asked_for_life: None,
        }
    }

    /// Authenticates with these keys, if the relay requires it. `url` is the relay's address as the client knows it.
    #[must_use]
    pub fn authenticating(self, url: &str, keys: &Keys) -> Self {
        Self { authentication: Some(Authentication::new(keys.clone(), url)), ..self }
    }

    /// Sends an event and waits for the relay's `OK`.
    ///
    /// A duplicate (`duplicate:`) counts as accepted.
    ///
    /// # Errors
    /// When the connection fails, or there is no `OK` in time. The relay may have stored the event nevertheless.
    pub async fn publish(&mut self, event: &VerifiedEvent) -> Result<PublishOutcome, RelayError> {
        let after = self.limits.timeout;
        timeout(after, self.publish_in_time(event)).await.unwrap_or(Err(RelayError::Timeout { after }))
    }

    async fn publish_in_time(&mut self, event: &VerifiedEvent) -> Result<PublishOutcome, RelayError> {
        loop {
            let authentications = self.authentications();
            self.send(ClientMessage::Event(event.clone())).await?;
            match self.outcome_of(&event.id).await? {
                Outcome::Accepted | Outcome::Duplicate => return Ok(PublishOutcome::Accepted),
                Outcome::Refused(reason) => {
                    if let Some(reason) = self.final_refusal(reason, authentications).await? {
                        return Ok(PublishOutcome::Refused(reason));
                    }
                }
            }
        }
    }

    /// Waits for the `OK` of an event.
    async fn outcome_of(&mut self, event: &EventId) -> Result<Outcome, RelayError> {
        loop {
            if let (Some(RelayMessage::Ok { id, outcome }), _) = self.receive_answer().await?
                && id == *event
            {
                return Ok(outcome);
            }
        }
    }

    /// The stored events that match any of the filters (NIP-01), in the order in which the relay sends them, usually
    /// the newest first. Each is verified and returned once.
    ///
    /// Ends after [`RelayLimits::max_events`], even if the relay has more; a `limit` in a filter requests fewer.
    ///
    /// # Errors
    /// When the connection fails, or the relay closes the subscription, does not finish in time, or sends too many
    /// bytes.
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
        let mut authentications = self.authentications();
        self.request(id, filters).await?;
        let (mut events, mut ids) = (Vec::new(), HashSet::new());
        let (mut looked_at, mut bytes) = (0_usize, 0_usize);
        while looked_at < max_events {
            let (message, length) = self.receive_answer().await?;
            bytes = bytes.saturating_add(length);
            if bytes > max_bytes {
                // The events received so far are useful: usually they are the newest. A caller that wants more can
                // query older ones.
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
                    if let Some(reason) = self.final_refusal(reason, authentications).await? {
                        return Err(RelayError::Closed { subscription, reason });
                    }
                    authentications = self.authentications();
                    self.request(id, filters).await?;
                }
                _ => {}
            }
        }
        Ok(events)
    }

    /// Subscribes to the stored and future events that match any of the filters, and returns the id of the
    /// subscription. The events are returned by [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// When the connection fails. If the relay refuses the subscription, `next_event` reports that.
    pub async fn subscribe(&mut self, filters: &[Filter]) -> Result<SubscriptionId, RelayError> {
        let id = self.next_id();
        let authentications = self.authentications();
        self.request(&id, filters).await?;
        let subscription = Subscription { filters: filters.to_vec(), authentications, refusal: None };
        self.subscriptions.insert(id.clone(), subscription);
        Ok(id)
    }

    /// Ends a subscription. Events that are already queued are still returned.
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
    /// Waits indefinitely, but not on a dead connection: if the relay is silent for [`RelayLimits::idle`], it is
    /// probed, and must send something within [`RelayLimits::timeout`]. After [`RelayError::Closed`] and
    /// [`RelayError::Overrun`] the connection can still be used; any other error ends it.
    pub async fn next_event(&mut self) -> Option<Result<(SubscriptionId, VerifiedEvent), RelayError>> {
        loop {
            if let Some(arrival) = self.backlog.pop() {
                return Some(arrival);
            }
            match timeout(self.longest_wait(), self.receive()).await {
                Some(Ok((message, length))) => {
                    message.and_then(|message| self.keep(message, length));
                }
                Some(Err(RelayError::Disconnected)) => return None,
                Some(Err(error)) => return Some(Err(error)),
                None if self.end_overdue_authentication() || self.silence_left() > Duration::ZERO => {}
                None if self.asked_for_life.is_some() => {
                    self.socket.abandon();
                    return Some(Err(RelayError::Timeout { after: self.limits.timeout }));
                }
                None => {
                    if let Err(error) = self.probe().await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.socket.close().await;
    }

    async fn request(&mut self, id: &SubscriptionId, filters: &[Filter]) -> Result<(), RelayError> {
        self.send(request_of(id, filters)).await
    }

    async fn send(&mut self, message: ClientMessage<VerifiedEvent>) -> Result<(), RelayError> {
        self.send_unsent().await?;
        Ok(self.socket.send(message.to_json()).await?)
    }

    async fn send_unsent(&mut self) -> Result<(), RelayError> {
        // Removed only when it is sent: the future may be dropped before. The relay may then get it twice, which changes
        // nothing.
        while let Some(message) = self.unsent.front() {
            self.socket.send(message.clone()).await?;
            self.unsent.pop_front();
        }
        Ok(())
    }

    /// Probes the connection with a query for an event that does not exist, which the relay must answer.
    async fn probe(&mut self) -> Result<(), RelayError> {
        self.asked_for_life = Some(now());
        // Always with the same id, because each new one would be another subscription (NIP-01).
        let nothing = Filter::new().ids([EventId::from_bytes([0; 32])]).limit(1);
        self.request(&SubscriptionId::unchecked("alive"), &[nothing]).await
    }

    /// How much longer the relay may be silent.
    fn silence_left(&self) -> Duration {
        now().until(match self.asked_for_life {
            Some(asked) => asked + self.limits.timeout,
            None => self.last_heard + self.limits.idle,
        })
    }

    /// How long to wait for the next message before something else must be done.
    fn longest_wait(&self) -> Duration {
        let authentication = self.authentication_deadline().map(|until| now().until(until));
        // Never zero, so that messages that have already arrived are read first.
        authentication.into_iter().fold(self.silence_left(), Duration::min).max(Duration::from_millis(10))
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

    /// The next message if it can be parsed, and its length in bytes.
    async fn receive(&mut self) -> Result<(Option<RelayMessage>, usize), RelayError> {
        self.send_unsent().await?;
        let text = self.socket.next().await.ok_or(RelayError::Disconnected)??;
        self.last_heard = now();
        self.asked_for_life = None;
        let message = RelayMessage::parse(&text);
        if let Some(message) = &message {
            self.hear_authentication(message);
        }
        Ok((message, text.len()))
    }

    /// Queues a message for a subscription; returns any other.
    fn keep(&mut self, message: RelayMessage, length: usize) -> Option<RelayMessage> {
        match message {
            RelayMessage::Event { subscription, event } => {
                let Some(Subscription { filters, .. }) = self.subscriptions.get(&subscription) else {
                    return Some(RelayMessage::Event { subscription, event });
                };
                if let Some(event) = Event::from_json(&event).ok().and_then(|event| expected(filters, event))
                {
                    self.backlog.push(Ok((subscription, event)), length, &self.limits);
                }
                None
            }
            RelayMessage::Closed { subscription, reason } => {
                let Some(refused) = self.subscriptions.get_mut(&subscription) else {
                    return Some(RelayMessage::Closed { subscription, reason });
                };
                if reason.prefix == Prefix::AuthRequired && self.authentication.is_some() {
                    let authentications = refused.authentications;
                    refused.refusal = Some(reason);
                    self.require_authentication(authentications);
                    self.settle_refused_subscriptions();
                } else {
                    self.subscriptions.remove(&subscription);
                    let error = RelayError::Closed { subscription, reason };
                    self.backlog.push(Err(error), length, &self.limits);
                }
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

fn request_of(id: &SubscriptionId, filters: &[Filter]) -> ClientMessage<VerifiedEvent> {
    ClientMessage::Request { subscription: id.clone(), filters: filters.to_vec() }
}

/// The event, if it is valid and matches the filters.
fn expected(filters: &[Filter], event: Event) -> Option<VerifiedEvent> {
    // In this order, because verifying a signature costs more than matching a filter. Only the relay can judge a
    // search.
    let is_expected = filters.iter().any(|filter| filter.matches_with(&event, |_| true));
    is_expected.then(|| event.verify().ok()).flatten()
}

#[cfg(test)]
mod tests;
