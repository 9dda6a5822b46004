//! Deliveries to external relays: a queue and a connection for each relay, so that its events stay in order and a
//! slow relay delays no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::VerifiedEvent;
use openagents_host::native::Inputs;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::engine::{Delivery, Destination, Input};
use crate::host_port::HandlerHost;
use crate::relays::{self, RelayConnection};

/// The most external relays connected at the same time: as many as the engine has events in flight, so that none waits
/// for a connection.
const MAX_CONNECTIONS: usize = 64;

/// How long an idle connection is kept open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most events waiting for one relay. The engine hands out fewer.
const QUEUE_LENGTH: usize = 64;

/// An event to be delivered to an external relay.
pub(in crate::native) struct ExternalDelivery {
    pub(in crate::native) entry: u64,
    pub(in crate::native) event: VerifiedEvent,
    pub(in crate::native) to: Destination,
}

/// The queues for external relays. Each ends after it has been idle for a while.
pub(in crate::native) struct PerRelayQueues {
    shared: Arc<QueuesShared>,
    queues: HashMap<Destination, mpsc::Sender<ExternalDelivery>>,
    tasks: JoinSet<()>,
}

struct QueuesShared {
    host: Arc<dyn HandlerHost>,
    deliveries: mpsc::UnboundedSender<Input>,
    /// One permit for each connection.
    room: Semaphore,
    /// The number of queues that wait for a permit. While there are any, idle queues end.
    waiting: watch::Sender<usize>,
    idle: Duration,
}

impl PerRelayQueues {
    /// `host` reads customers' relay lists from the agent's own relay; `inputs` gets the result of each delivery.
    pub(in crate::native) fn new(host: Arc<dyn HandlerHost>, inputs: Inputs<Input>) -> Self {
        let (deliveries, mut delivered) = mpsc::unbounded_channel();
        let mut queues = Self::over(host, deliveries, MAX_CONNECTIONS, IDLE_TIMEOUT);
        // An engine that has stopped delivers them again after its next start.
        queues.tasks.spawn(async move {
            while let Some(delivery) = delivered.recv().await {
                let _ = inputs.send(delivery).await;
            }
        });
        queues
    }

    fn over(
        host: Arc<dyn HandlerHost>,
        deliveries: mpsc::UnboundedSender<Input>,
        open: usize,
        idle: Duration,
    ) -> Self {
        let waiting = watch::Sender::new(0);
        let shared = QueuesShared { host, deliveries, room: Semaphore::new(open), waiting, idle };
        Self { shared: Arc::new(shared), queues: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Queues an event. Never waits.
    pub(in crate::native) fn send(&mut self, answer: ExternalDelivery) {
        // Remove the queues that have ended.
        while self.tasks.try_join_next().is_some() {}
        self.queues.retain(|_, queue| !queue.is_closed());
        let refused = match self.queues.get(&answer.to) {
            Some(queue) => queue.try_send(answer).err(),
            None => Some(mpsc::error::TrySendError::Closed(answer)),
        };
        match refused {
            None => {}
            Some(mpsc::error::TrySendError::Full(answer)) => {
                self.shared.report(
                    answer.entry,
                    Delivery::Unreachable("too many events are waiting for this relay".to_owned()),
                );
            }
            Some(mpsc::error::TrySendError::Closed(answer)) => {
                let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
                let to = answer.to.clone();
                let _ = sender.try_send(answer);
                self.tasks.spawn(queue_task(to.clone(), queue, Arc::clone(&self.shared)));
                self.queues.insert(to, sender);
            }
        }
    }

    /// Delivers what is queued, and closes the connections.
    pub(in crate::native) async fn finish(self) {
        let Self { shared, queues, mut tasks } = self;
        drop((queues, shared));
        while tasks.join_next().await.is_some() {}
    }
}

impl QueuesShared {
    fn report(&self, entry: u64, delivery: Delivery) {
        let _ = self.deliveries.send(Input::Delivered { entry, delivery });
    }
}

async fn queue_task(to: Destination, queue: mpsc::Receiver<ExternalDelivery>, shared: Arc<QueuesShared>) {
    match to {
        Destination::Relay(url) => publish(url, queue, &shared).await,
        Destination::ReadBy { customer, source } => {
            let host = &*shared.host;
            let own = |filters| async { host.events(filters).await.unwrap_or_default() };
            let relays = relays::customer_relays(customer, &source, host.reach(), host.keys(), own).await;
            direct(queue, &relays, &shared).await;
        }
        Destination::Inbox { receiver } => {
            let host = &*shared.host;
            let own = |filters| async { host.events(filters).await.unwrap_or_default() };
            direct(queue, &relays::inbox_relays(receiver, own).await, &shared).await;
        }
        // Events for the agent's own relay do not come here.
        Destination::Own => {}
    }
}

/// Publishes the events of a queue one after another, over one connection as long as it lasts.
async fn publish(url: String, mut queue: mpsc::Receiver<ExternalDelivery>, shared: &QueuesShared) {
    let room = match shared.room.try_acquire() {
        Ok(room) => Ok(room),
        Err(_) => {
            shared.waiting.send_modify(|waiting| *waiting = waiting.saturating_add(1));
            let room = shared.room.acquire().await;
            shared.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
            room
        }
    };
    let Ok(_room) = room else { return };
    let mut connection = RelayConnection::to(url, shared.host.reach(), shared.host.keys().clone());
    while let Some(ExternalDelivery { entry, event, .. }) = next(&mut queue, shared).await {
        let delivery = connection.publish(&event).await;
        let unreachable = match &delivery {
            Delivery::Unreachable(reason) => Some(reason.clone()),
            Delivery::Accepted | Delivery::Refused(_) | Delivery::Postponed(_) | Delivery::ReadFrom(_) => {
                None
            }
        };
        shared.report(entry, delivery);
        // Events queued meanwhile would fail in the same way.
        if let Some(reason) = unreachable {
            while let Ok(ExternalDelivery { entry, .. }) = queue.try_recv() {
                shared.report(entry, Delivery::Unreachable(reason.clone()));
            }
        }
    }
    connection.close().await;
}

/// Forwards the events of a queue to the customer's relays.
async fn direct(mut queue: mpsc::Receiver<ExternalDelivery>, relays: &[String], shared: &QueuesShared) {
    while let Ok(Some(ExternalDelivery { entry, .. })) = tokio::time::timeout(shared.idle, queue.recv()).await
    {
        shared.report(entry, Delivery::ReadFrom(relays.to_vec()));
    }
    queue.close();
    while let Some(ExternalDelivery { entry, .. }) = queue.recv().await {
        shared.report(entry, Delivery::ReadFrom(relays.to_vec()));
    }
}

/// The next event of a queue; `None` when it has been idle for a while or another queue needs its permit.
async fn next(
    queue: &mut mpsc::Receiver<ExternalDelivery>,
    shared: &QueuesShared,
) -> Option<ExternalDelivery> {
    let mut waiting = shared.waiting.subscribe();
    tokio::select! {
        biased;
        next = queue.recv() => return next,
        _ = waiting.wait_for(|waiting| *waiting > 0) => {}
        () = tokio::time::sleep(shared.idle) => {}
    }
    // Close the queue first, then deliver what has just arrived.
    queue.close();
    queue.recv().await
}

#[cfg(test)]
mod tests;
