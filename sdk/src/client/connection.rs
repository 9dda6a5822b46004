//! The relay connection of a job client: a task that reconnects.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt, select_biased};
use openagents_host::net::{PublishOutcome, Reach, RelayClient, RelayError};
use openagents_host::nostr::SubscriptionId;
use openagents_host::nostr::reason::{Prefix, Reason};
use openagents_host::{EventId, Keys, Timestamp, VerifiedEvent};

use super::ClientError;
use super::job_progress::{JobProgress, JobUpdate};
use crate::send::Shareable;
use crate::{clock, log};

/// The pause before reconnecting: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How often a relay may close the subscription of a job for a reason that may pass.
const MAX_CLOSED: u32 = 3;

/// How often an event is published again that the relay refuses for now, after pauses of 1, 2, 4 and 8 s: in less time
/// than [`PUBLISH_TIMEOUT`](super::PUBLISH_TIMEOUT).
const MAX_REPEATS: u32 = 4;

/// Connects to a relay; used for every reconnect.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait Connector: Shareable {
    /// Opens a connection.
    async fn connect(&self) -> Result<RelayClient, RelayError>;

    /// The time, for what the client signs.
    fn now(&self) -> Timestamp {
        clock::now()
    }
}

/// Connects to a relay by its address.
pub(super) struct Dial {
    pub(super) url: String,
    pub(super) reach: Reach,
    pub(super) keys: Keys,
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Connector for Dial {
    async fn connect(&self) -> Result<RelayClient, RelayError> {
        RelayClient::connect(&self.url, self.reach, &self.keys).await
    }
}

/// A command from the client to the connection's task.
pub(super) enum ClientCommand {
    /// Follow a job and send its updates.
    Follow { progress: Box<JobProgress>, updates: mpsc::Sender<Result<JobUpdate, ClientError>> },
    /// Publish an event, after all earlier commands.
    Publish { event: VerifiedEvent, done: oneshot::Sender<Result<(), ClientError>> },
    /// Stop following a job.
    Forget(EventId),
}

/// The state of the connection, including what is needed to restore it after a reconnect.
pub(super) struct ClientConnection {
    connector: Arc<dyn Connector>,
    commands: mpsc::UnboundedReceiver<ClientCommand>,
    jobs: BTreeMap<EventId, Followed>,
    publishing: Vec<Publishing>,
    /// Subscriptions to close.
    obsolete: Vec<SubscriptionId>,
    pause: Duration,
}

/// An event that the relay has not accepted yet.
struct Publishing {
    event: VerifiedEvent,
    done: oneshot::Sender<Result<(), ClientError>>,
    /// How often the relay has refused it for now.
    refusals: u32,
    /// When it is published next.
    due: Timestamp,
}

struct Followed {
    progress: JobProgress,
    updates: mpsc::Sender<Result<JobUpdate, ClientError>>,
    /// The subscription on the current connection, if there is one.
    subscription: Option<SubscriptionId>,
    closed: u32,
}

impl ClientConnection {
    pub(super) fn new(
        connector: Arc<dyn Connector>,
        commands: mpsc::UnboundedReceiver<ClientCommand>,
    ) -> Self {
        Self {
            connector,
            commands,
            jobs: BTreeMap::new(),
            publishing: Vec::new(),
            obsolete: Vec::new(),
            pause: FIRST_PAUSE,
        }
    }

    /// Runs until the last client and handle are dropped, reconnecting whenever the connection breaks.
    pub(super) async fn keep(mut self, mut relay: RelayClient) {
        loop {
            match self.serve(&mut relay).await {
                Ok(()) => return relay.close().await,
                Err(error) => log::warn(format_args!("the connection of a job client was lost: {error}")),
            }
            self.obsolete.clear();
            self.jobs.values_mut().for_each(|job| job.subscription = None);
            match self.connect_again().await {
                Some(again) => relay = again,
                None => return,
            }
        }
    }

    /// Serves one connection. Returns `Ok` when the last client is dropped, and an error when it must reconnect.
    async fn serve(&mut self, relay: &mut RelayClient) -> Result<(), RelayError> {
        loop {
            self.catch_up(relay).await?;
            let mut pause = pin!(until(self.publishing.iter().map(|one| one.due).min()).fuse());
            select_biased! {
                command = self.commands.next() => match command {
                    Some(command) => self.accept(command),
                    None => return Ok(()),
                },
                arrival = relay.next_event().fuse() => match arrival {
                    Some(Ok((subscription, event))) => self.hear(&subscription, &event),
                    Some(Err(RelayError::Closed { subscription, reason })) => {
                        self.end_subscription(&subscription, reason)?;
                    }
                    // An overflow loses events, but they are stored, and read again after a reconnect.
                    Some(Err(error)) => return Err(error),
                    None => return Err(RelayError::Disconnected),
                },
                () = pause => {}
            }
        }
    }

    /// Sends the pending commands to the relay: subscriptions before events, so that no answer is missed.
    async fn catch_up(&mut self, relay: &mut RelayClient) -> Result<(), RelayError> {
        while let Some(subscription) = self.obsolete.pop() {
            relay.unsubscribe(&subscription).await?;
        }
        for job in self.jobs.values_mut().filter(|job| job.subscription.is_none()) {
            job.subscription = Some(relay.subscribe(&[job.progress.filter()]).await?);
        }
        // If the caller no longer waits for an event, do not publish it.
        self.publishing.retain(|one| !one.done.is_canceled());
        while let Some(at) = self.publishing.iter().position(Publishing::is_due) {
            let Some(one) = self.publishing.get_mut(at) else { break };
            let outcome = match relay.publish(&one.event).await? {
                PublishOutcome::Accepted => Ok(()),
                PublishOutcome::Refused(reason) => {
                    if one.is_postponed(&reason) {
                        continue;
                    }
                    Err(ClientError::Refused(reason.to_string()))
                }
            };
            self.pause = FIRST_PAUSE;
            let _ = self.publishing.remove(at).done.send(outcome);
        }
        Ok(())
    }

    fn accept(&mut self, command: ClientCommand) {
        match command {
            ClientCommand::Follow { progress, updates } => {
                let job = Followed { progress: *progress, updates, subscription: None, closed: 0 };
                self.jobs.insert(job.progress.request(), job);
            }
            ClientCommand::Publish { event, done } => {
                self.publishing.push(Publishing { event, done, refusals: 0, due: Timestamp::EPOCH });
            }
            ClientCommand::Forget(request) => self.forget(&request),
        }
    }

    fn forget(&mut self, request: &EventId) {
        self.obsolete.extend(self.jobs.remove(request).and_then(|job| job.subscription));
    }

    fn hear(&mut self, subscription: &SubscriptionId, event: &VerifiedEvent) {
        self.pause = FIRST_PAUSE;
        let Some((request, job)) = self.job_of(subscription) else { return };
        if let Some(update) = job.progress.take(event) {
            job.tell(Ok(update));
        }
        if job.progress.is_over() {
            self.forget(&request);
        }
    }

    /// Handles a `CLOSED`. If the reason may pass, reconnects after a pause.
    fn end_subscription(&mut self, subscription: &SubscriptionId, reason: Reason) -> Result<(), RelayError> {
        let Some((request, job)) = self.job_of(subscription) else { return Ok(()) };
        job.subscription = None;
        job.closed = job.closed.saturating_add(1);
        if reason.prefix.is_temporary() && job.closed < MAX_CLOSED {
            return Err(RelayError::Closed { subscription: subscription.clone(), reason });
        }
        job.tell(Err(ClientError::Closed(reason.to_string())));
        self.forget(&request);
        Ok(())
    }

    fn job_of(&mut self, subscription: &SubscriptionId) -> Option<(EventId, &mut Followed)> {
        let mut jobs = self.jobs.iter_mut();
        let (request, job) = jobs.find(|(_, job)| job.subscription.as_ref() == Some(subscription))?;
        Some((*request, job))
    }

    /// Reconnects, with growing pauses; `None` when the last client is dropped.
    async fn connect_again(&mut self) -> Option<RelayClient> {
        loop {
            let pause = self.pause;
            self.pause = pause.saturating_mul(2).min(MAX_PAUSE);
            let connector = Arc::clone(&self.connector);
            let attempt = async {
                clock::sleep(pause).await;
                connector.connect().await
            };
            let mut attempt = pin!(attempt.fuse());
            let attempted = loop {
                select_biased! {
                    command = self.commands.next() => self.accept(command?),
                    attempted = attempt => break attempted,
                }
            };
            match attempted {
                Ok(relay) => return Some(relay),
                Err(error) => log::warn(format_args!("a job client could not reconnect: {error}")),
            }
        }
    }
}

impl Publishing {
    /// Whether it is published now. After the clock was put back, it is not waited for longer than usual.
    fn is_due(&self) -> bool {
        let pause = clock::now().until(self.due);
        pause.is_zero() || pause > MAX_PAUSE
    }

    /// Postpones it if the relay refuses it for now, and has not done so too often.
    fn is_postponed(&mut self, reason: &Reason) -> bool {
        let is_temporary = matches!(reason.prefix, Prefix::RateLimited | Prefix::Error);
        let pause = Duration::from_secs(1_u64.wrapping_shl(self.refusals));
        self.refusals = self.refusals.saturating_add(1);
        self.due = clock::now() + pause;
        is_temporary && self.refusals <= MAX_REPEATS
    }
}

/// Waits until this time; for ever without one.
async fn until(due: Option<Timestamp>) {
    match due {
        Some(due) => clock::sleep(clock::now().until(due)).await,
        None => pending().await,
    }
}

impl Followed {
    /// Sends an update to the customer. A customer who is slow to read misses feedback, but neither the result nor
    /// the final error.
    fn tell(&mut self, update: Result<JobUpdate, ClientError>) {
        let _ = match &update {
            // A cloned sender has room for one more message.
            Ok(JobUpdate::Result(_)) | Err(_) => self.updates.clone().try_send(update),
            Ok(_) => self.updates.try_send(update),
        };
    }
}
