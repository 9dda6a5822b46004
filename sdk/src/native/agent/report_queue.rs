//! Reports and outcomes of running handlers on their way to the engine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use openagents_host::native::Inputs;
use tokio::sync::mpsc;

use crate::engine::Input;

/// Passes reports and outcomes of runs to the engine, those of a run in their order. Clones share one queue.
#[derive(Clone)]
pub(super) struct ReportQueue {
    queue: mpsc::UnboundedSender<Input>,
    /// How many are in the queue.
    queued: Arc<AtomicUsize>,
    /// Set after the engine has started.
    inputs: Arc<OnceLock<Inputs<Input>>>,
}

impl ReportQueue {
    pub(super) fn channel() -> (Self, mpsc::UnboundedReceiver<Input>) {
        let (queue, queued) = mpsc::unbounded_channel();
        (Self { queue, queued: Arc::default(), inputs: Arc::default() }, queued)
    }

    /// Queues a report, for a handler that does not wait.
    pub(super) fn put(&self, input: Input) {
        self.queued.fetch_add(1, Ordering::SeqCst);
        let _ = self.queue.send(input);
    }

    /// Passes an outcome to the engine: behind the reports in the queue, or directly if there are none, which saves the
    /// time to wake another thread.
    pub(super) async fn send(&self, input: Input) {
        match self.inputs.get() {
            Some(inputs) if self.queued.load(Ordering::SeqCst) == 0 => drop(inputs.send(input).await),
            _ => self.put(input),
        }
    }

    /// Empties the queue for as long as the process lives.
    pub(super) fn pass_on(
        &self,
        mut queue: mpsc::UnboundedReceiver<Input>,
        inputs: Inputs<Input>,
    ) -> impl Future<Output = ()> + use<> {
        let _ = self.inputs.set(inputs.clone());
        let queued = Arc::clone(&self.queued);
        async move {
            while let Some(input) = queue.recv().await {
                let _ = inputs.send(input).await;
                queued.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}
