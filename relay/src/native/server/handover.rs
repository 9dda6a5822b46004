//! Handover of events to the agent.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::VerifiedEvent;
use openagents_host::native::Inputs;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::Input;

/// How many events may wait for delivery. Further ones are retried later: they are in the database.
const MAX_QUEUED: usize = 4_096;

/// How many deliveries may run at the same time.
const MAX_CONCURRENT: usize = 256;

/// Why an event could not be delivered. It will be retried.
pub type DeliveryError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the events that the relay hands over.
#[async_trait]
pub trait HandoverSink: Send + Sync + 'static {
    /// Takes an event. It must be stored durably before this returns `Ok`, because then the relay forgets the
    /// handover. The same event may be delivered more than once.
    async fn deliver(&self, event: VerifiedEvent) -> Result<(), DeliveryError>;
}

/// For a relay that hands over nothing.
#[async_trait]
impl HandoverSink for () {
    async fn deliver(&self, _: VerifiedEvent) -> Result<(), DeliveryError> {
        Ok(())
    }
}

pub(super) fn queue() -> (mpsc::Sender<VerifiedEvent>, mpsc::Receiver<VerifiedEvent>) {
    mpsc::channel(MAX_QUEUED)
}

/// Delivers events until the relay ends.
pub(super) async fn deliver(
    mut waiting: mpsc::Receiver<VerifiedEvent>,
    handover: Arc<dyn HandoverSink>,
    inputs: Inputs<Input>,
) {
    let mut running = JoinSet::new();
    while let Some(event) = waiting.recv().await {
        while running.try_join_next().is_some() {}
        if running.len() >= MAX_CONCURRENT {
            let _ = running.join_next().await;
        }
        let (handover, inputs) = (Arc::clone(&handover), inputs.clone());
        running.spawn(async move {
            let id = event.id;
            match handover.deliver(event).await {
                // If the relay has stopped, the event is delivered again after the next start.
                Ok(()) => drop(inputs.send(Input::Delivered(id)).await),
                Err(error) => {
                    tracing::warn!(%id, %error, "an event could not be delivered and will be retried");
                }
            }
        });
    }
}
