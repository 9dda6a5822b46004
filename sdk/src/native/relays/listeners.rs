//! Subscriptions to the external relays that an agent serves, one connection each.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use openagents_host::native::now;
use openagents_host::net::{Reach, RelayClient, RelayError};
use openagents_host::{EventId, Timestamp, VerifiedEvent};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::native::mailbox::{AgentError, AgentMailbox};
use crate::relays::RequestFilter;

/// How far a new connection looks back behind the last event: events carry the time of their customer's clock, and relays
/// pass them on late.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// After how long a connection was a good one, so that the next try follows soon.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How many events of a relay are known as seen.
const MAX_SEEN: usize = 4_096;

/// The connections of an agent to the external relays that it serves.
pub(in crate::native) struct Listeners {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What all connections have in common.
pub(in crate::native) struct Listening {
    pub(in crate::native) filter: RequestFilter,
    pub(in crate::native) reach: Reach,
    /// How old a request may be.
    pub(in crate::native) max_age: Duration,
}

/// Where a relay's events go.
trait RequestTaker: Send + Sync + 'static {
    /// Puts an event from this relay on record; says whether that went well.
    fn take(&self, event: VerifiedEvent, relay: &str) -> impl Future<Output = Result<(), AgentError>> + Send;
}

impl RequestTaker for AgentMailbox {
    async fn take(&self, event: VerifiedEvent, relay: &str) -> Result<(), AgentError> {
        let (id, kind) = (event.id, event.kind);
        let admission = Self::take(self, event, Some(relay.to_owned())).await?;
        tracing::debug!(%relay, %id, %kind, ?admission, "came from an outside relay");
        Ok(())
    }
}

impl Listeners {
    /// Listens to these relays, each by a task of its own, until stopped.
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

    /// Takes nothing more.
    pub(in crate::native) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One relay that is listened to.
struct Listener<T> {
    relay: String,
    listening: Arc<Listening>,
    taker: T,
    /// What was made before was seen, or is too old.
    since: Timestamp,
    seen: Seen,
}

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error("an event could not be put on record: {0}")]
    RequestTaker(AgentError),
}

impl<T: RequestTaker> Listener<T> {
    async fn listen(mut self) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let Err(ended) = self.listen_once().await;
            failures = if began.elapsed() >= STABLE_AFTER { 1 } else { failures.saturating_add(1) };
            let pause = pause(failures, random());
            tracing::warn!(relay = %self.relay, "not listening to an outside relay, trying again in {pause:.1?}: {ended}");
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens until the connection ends.
    async fn listen_once(&mut self) -> Result<std::convert::Infallible, ListenError> {
        let mut client = RelayClient::connect(&self.relay, self.listening.reach).await?;
        let since = self.since.max(now() - self.listening.max_age);
        client.subscribe(&self.listening.filter.filters(since)).await?;
        tracing::info!(relay = %self.relay, "listening to an outside relay");
        let began = Instant::now();
        loop {
            let (_, event) = client.next_event().await.ok_or(RelayError::Disconnected)??;
            // By this machine's clock: that of a customer may be ahead.
            let arrived = now();
            let id = event.id;
            if !self.seen.contains(&id) {
                self.taker.take(event, &self.relay).await.map_err(ListenError::RequestTaker)?;
                self.seen.insert(id);
            }
            // At first comes what is stored, the newest first: if that is cut off, the rest is asked for again.
            if began.elapsed() >= STABLE_AFTER {
                self.since = arrived - OVERLAP;
            }
        }
    }
}

/// The last events that came from a relay, which it sends again after each new connection.
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

/// The pause after so many failures in a row: 1 s, 2 s, 4 s … up to the longest, shortened by up to a half, so that the
/// clients of a relay that was gone do not come back all at once.
fn pause(failures: u32, random: u32) -> Duration {
    let longest = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(MAX_PAUSE);
    let shortened = longest.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 2.0);
    shortened.max(Duration::from_secs(1))
}

/// A number that nobody chose.
fn random() -> u32 {
    // A hasher begins with random keys; it needs no generator of its own.
    u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
