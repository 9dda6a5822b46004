//! Subscriptions to the external relays that an agent serves, with one connection for each relay.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use openagents_host::native::now;
use openagents_host::net::{Reach, RelayClient, RelayError};
use openagents_host::{EventId, Keys, Timestamp, VerifiedEvent};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::native::mailbox::{AgentError, AgentMailbox};
use crate::relays::RequestFilter;

/// How far a new subscription reaches back before the last event: events carry the time of the customer's clock, and
/// relays pass them on late.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// How long a connection must last for the next reconnect to be immediate.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The longest pause before reconnecting.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The pause after the relay has refused this agent, for example with `restricted:`. Its operator may change that.
const REFUSED_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How many event ids are remembered for each relay.
const MAX_SEEN: usize = 4_096;

/// The connections to the external relays that an agent serves.
pub(in crate::native) struct Listeners {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What all these connections share.
pub(in crate::native) struct Listening {
    pub(in crate::native) filter: RequestFilter,
    pub(in crate::native) reach: Reach,
    /// The agent's key, for relays that require authentication (NIP-42).
    pub(in crate::native) keys: Keys,
    /// How old a request may be.
    pub(in crate::native) max_age: Duration,
}

/// Receives the events from external relays.
trait RequestTaker: Send + Sync + 'static {
    /// Stores an event from this relay.
    fn take(&self, event: VerifiedEvent, relay: &str) -> impl Future<Output = Result<(), AgentError>> + Send;
}

impl RequestTaker for AgentMailbox {
    async fn take(&self, event: VerifiedEvent, relay: &str) -> Result<(), AgentError> {
        let (id, kind) = (event.id, event.kind);
        let admission = Self::take(self, event, Some(relay.to_owned())).await?;
        tracing::debug!(%relay, %id, %kind, "event from an external relay: {admission}");
        Ok(())
    }
}

impl Listeners {
    /// Subscribes to these relays, with one task for each, until stopped.
    pub(in crate::native) fn start(
        relays: Vec<String>,
        listening: Listening,
        mailbox: &AgentMailbox,
    ) -> Self {
        Self::start_with(relays, listening, mailbox)
    }

    fn start_with(relays: Vec<String>, listening: Listening, taker: &(impl RequestTaker + Clone)) -> Self {
        let (stop, stopped) = watch::channel(false);
        let listening = Arc::new(listening);
        let mut tasks = JoinSet::new();
        for relay in relays {
            let mut stopped = stopped.clone();
            let listener = Listener {
                since: now() - listening.max_age,
                relay,
                listening: Arc::clone(&listening),
                taker: taker.clone(),
                seen: Seen::default(),
            };
            tasks.spawn(async move {
                tokio::select! {
                    () = listener.listen() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
            });
        }
        Self { stop, tasks }
    }

    /// Closes all connections.
    pub(in crate::native) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The connection to one relay.
struct Listener<T> {
    relay: String,
    listening: Arc<Listening>,
    taker: T,
    /// Earlier events were seen, or are too old.
    since: Timestamp,
    seen: Seen,
}

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("an event could not be stored: {0}")]
    RequestTaker(AgentError),
}

impl ListenError {
    fn is_final_refusal(&self) -> bool {
        matches!(self, Self::Relay(error) if error.is_final_refusal())
    }
}

impl<T: RequestTaker> Listener<T> {
    async fn listen(mut self) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let Err(ended) = self.listen_once().await;
            failures = if began.elapsed() >= STABLE_AFTER { 1 } else { failures.saturating_add(1) };
            let pause = if ended.is_final_refusal() { REFUSED_PAUSE } else { pause(failures, random()) };
            tracing::warn!(relay = %self.relay, "the connection to an external relay was lost, reconnecting in {pause:.1?}: {ended}");
            tokio::time::sleep(pause).await;
        }
    }

    /// Subscribes on one connection until it is closed.
    async fn listen_once(&mut self) -> Result<std::convert::Infallible, ListenError> {
        let listening = Arc::clone(&self.listening);
        let mut client = RelayClient::connect(&self.relay, listening.reach, &listening.keys).await?;
        let since = self.since.max(now() - listening.max_age);
        client.subscribe(&listening.filter.filters(since)).await?;
        tracing::info!(relay = %self.relay, "subscribed to an external relay");
        let began = Instant::now();
        loop {
            let (_, event) = client.next_event().await.ok_or(RelayError::Disconnected)??;
            // By this machine's clock, since a customer's clock may be ahead.
            let arrived = now();
            let id = event.id;
            if !self.seen.contains(&id) {
                self.taker.take(event, &self.relay).await.map_err(ListenError::RequestTaker)?;
                self.seen.insert(id);
            }
            // Stored events come first, newest first. If that is interrupted, the rest must be read again.
            if began.elapsed() >= STABLE_AFTER {
                self.since = arrived - OVERLAP;
            }
        }
    }
}

/// The ids of the latest events from a relay, which sends them again after each reconnect.
#[derive(Default)]
struct Seen {
    ids: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seen {
    fn contains(&self, id: &EventId) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: EventId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// The pause after this many failures in a row: 1 s, 2 s, 4 s … up to the longest, shortened at random by up to a
/// half, so that the clients of a relay do not reconnect all at once.
fn pause(failures: u32, random: u32) -> Duration {
    let longest = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(MAX_PAUSE);
    let shortened = longest.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 2.0);
    shortened.max(Duration::from_secs(1))
}

/// A random number.
fn random() -> u32 {
    // A hasher starts with random keys, so no random number generator is needed.
    u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
