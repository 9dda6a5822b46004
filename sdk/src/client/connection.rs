//! The relay connection of a job client: a task of its own, which reconnects.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt, select_biased};
use openagents_host::net::{PublishOutcome, Reach, RelayClient, RelayError};
use openagents_host::nostr::SubscriptionId;
use openagents_host::{EventId, VerifiedEvent};

use super::ClientError;
use super::job_progress::{JobProgress, JobUpdate};
use crate::send::Shareable;
use crate::{clock, log};

/// How long it waits before it connects again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How often a relay may end the subscription of a job for a reason that may pass.
const MAX_CLOSED: u32 = 3;

/// A way to the relay.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait Connector: Shareable {
    /// Connects to it.
    async fn connect(&self) -> Result<RelayClient, RelayError>;
}

/// The way to a relay with an address.
pub(super) struct Dial {
    pub(super) url: String,
    pub(super) reach: Reach,
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Connector for Dial {
    async fn connect(&self) -> Result<RelayClient, RelayError> {
        RelayClient::connect(&self.url, self.reach).await
    }
}

/// What the customer wants of the connection.
pub(super) enum ClientCommand {
    /// To be told how a job goes.
    Follow { progress: Box<JobProgress>, updates: mpsc::Sender<Result<JobUpdate, ClientError>> },
    /// To have an event published, after all that was asked for before it.
    Publish { event: VerifiedEvent, done: oneshot::Sender<Result<(), ClientError>> },
    /// To hear no more of a job.
    Forget(EventId),
}

/// A connection and all that is to be known when it must be made again.
pub(super) struct ClientConnection {
    connector: Arc<dyn Connector>,
    commands: mpsc::UnboundedReceiver<ClientCommand>,
    jobs: BTreeMap<EventId, Followed>,
    publishing: VecDeque<(VerifiedEvent, oneshot::Sender<Result<(), ClientError>>)>,
    /// Subscriptions of no more use.
    obsolete: Vec<SubscriptionId>,
    pause: Duration,
}

struct Followed {
    progress: JobProgress,
    updates: mpsc::Sender<Result<JobUpdate, ClientError>>,
    /// Its id, when the relay of this connection was asked for it.
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
            publishing: VecDeque::new(),
            obsolete: Vec::new(),
            pause: FIRST_PAUSE,
        }
    }

    /// Does what the customer wants, until there is none any more.
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

    /// Returns when the customer is gone; an error when the connection has to be made again.
    async fn serve(&mut self, relay: &mut RelayClient) -> Result<(), RelayError> {
        loop {
            self.catch_up(relay).await?;
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
                    // An overrun loses events; they are stored, and come again on a new connection.
                    Some(Err(error)) => return Err(error),
                    None => return Err(RelayError::Disconnected),
                },
            }
        }
    }

    /// Tells the relay what it was not told yet: whom to listen for, before anything that could be answered.
    async fn catch_up(&mut self, relay: &mut RelayClient) -> Result<(), RelayError> {
        while let Some(subscription) = self.obsolete.pop() {
            relay.unsubscribe(&subscription).await?;
        }
        for job in self.jobs.values_mut().filter(|job| job.subscription.is_none()) {
            job.subscription = Some(relay.subscribe(&[job.progress.filter()]).await?);
        }
        while let Some((event, done)) = self.publishing.front() {
            // Nobody waits for it any more, so nobody wants it.
            if !done.is_canceled() {
                let outcome = match relay.publish(event).await? {
                    PublishOutcome::Accepted => Ok(()),
                    PublishOutcome::Refused(reason) => Err(ClientError::Refused(reason)),
                };
                self.pause = FIRST_PAUSE;
                if let Some((_, done)) = self.publishing.pop_front() {
                    let _ = done.send(outcome);
                }
            } else {
                self.publishing.pop_front();
            }
        }
        Ok(())
    }

    fn accept(&mut self, command: ClientCommand) {
        match command {
            ClientCommand::Follow { progress, updates } => {
                let job = Followed { progress: *progress, updates, subscription: None, closed: 0 };
                self.jobs.insert(job.progress.request(), job);
            }
            ClientCommand::Publish { event, done } => self.publishing.push_back((event, done)),
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

    /// The relay has ended a subscription. If that may pass, the connection is made again, with a pause.
    fn end_subscription(&mut self, subscription: &SubscriptionId, reason: String) -> Result<(), RelayError> {
        let Some((request, job)) = self.job_of(subscription) else { return Ok(()) };
        job.subscription = None;
        job.closed = job.closed.saturating_add(1);
        let may_pass = reason.starts_with("error:") || reason.starts_with("rate-limited:");
        if may_pass && job.closed < MAX_CLOSED {
            return Err(RelayError::Closed { subscription: subscription.clone(), reason });
        }
        job.tell(Err(ClientError::Closed(reason)));
        self.forget(&request);
        Ok(())
    }

    fn job_of(&mut self, subscription: &SubscriptionId) -> Option<(EventId, &mut Followed)> {
        let mut jobs = self.jobs.iter_mut();
        let (request, job) = jobs.find(|(_, job)| job.subscription.as_ref() == Some(subscription))?;
        Some((*request, job))
    }

    /// Connects again, after ever longer pauses; nothing when the customer is gone.
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
                Err(error) => log::warn(format_args!("a job client could not connect again: {error}")),
            }
        }
    }
}

impl Followed {
    /// Tells the customer. One who does not look misses feedback, but neither the result nor the end.
    fn tell(&mut self, update: Result<JobUpdate, ClientError>) {
        let _ = match &update {
            // A new sender has room for one message of its own.
            Ok(JobUpdate::Result(_)) | Err(_) => self.updates.clone().try_send(update),
            Ok(_) => self.updates.try_send(update),
        };
    }
}
