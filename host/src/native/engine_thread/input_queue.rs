//! The input queue of an engine thread: its limits, and which inputs share a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// How many inputs may be queued before senders have to wait.
const MAX_QUEUED_INPUTS: usize = 4_096;

/// How much memory [batches](Inputs::submit_batch) may use before senders have to wait, in KiB. Counts queued inputs
/// and those that the engine is handling.
const MAX_QUEUED_KIB: usize = 64 * 1024;

/// More inputs are added to a commit until it has this many.
const BATCH_SIZE: usize = 512;

/// While a [batch](Inputs::submit_batch) is being prepared, a commit with fewer inputs than this waits for it…
const GATHER_SIZE: usize = 64;

/// … for at most this long.
const GATHER_WINDOW: Duration = Duration::from_millis(2);

/// The engine thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct EngineStopped;

/// Sends inputs to an engine. Clones send to the same one.
pub struct Inputs<I> {
    submissions: mpsc::Sender<Submission<I>>,
    /// One permit per input that may be queued.
    room: Arc<Semaphore>,
    /// One permit per KiB that may be queued or in use by the engine.
    memory: Arc<Semaphore>,
    preparing: Arc<Preparing>,
}

/// Inputs that are submitted together.
pub struct InputBatch<I> {
    first: Option<I>,
    rest: Vec<I>,
    /// Approximately how many bytes of memory they use.
    bytes: usize,
}

impl<I> InputBatch<I> {
    const fn new(first: Option<I>) -> Self {
        Self { first, rest: Vec::new(), bytes: 0 }
    }

    /// Adds an input that uses about this many bytes of memory.
    pub fn push(&mut self, input: I, bytes: usize) {
        match self.first {
            None => self.first = Some(input),
            Some(_) => self.rest.push(input),
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The number of inputs.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rest.len().saturating_add(self.first.is_some() as usize)
    }

    /// Whether there are no inputs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

/// A batch on its way to the engine, with its permits.
struct Submission<I> {
    batch: InputBatch<I>,
    /// Released when the inputs are taken from the queue.
    _room: Option<OwnedSemaphorePermit>,
    /// Released when the inputs have been handled.
    memory: Option<OwnedSemaphorePermit>,
}

/// Counts the batches that are being prepared.
#[derive(Default)]
struct Preparing {
    number: AtomicUsize,
    /// Notified when a batch turned out to be empty.
    prepared_nothing: Notify,
}

impl<I> Inputs<I> {
    /// Queues an input, waiting while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn send(&self, input: I) -> Result<(), EngineStopped> {
        self.reserve(1, 0).await?.submit(InputBatch::new(Some(input)));
        Ok(())
    }

    /// The same for a thread without a runtime: blocks while too many inputs are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn send_blocking(&self, input: I) -> Result<(), EngineStopped> {
        // Few threads do this, with one input each, so the capacity of the channel is a sufficient limit.
        let batch = InputBatch::new(Some(input));
        let submission = Submission { batch, _room: None, memory: None };
        self.submissions.blocking_send(submission).map_err(|_| EngineStopped)
    }

    /// Prepares a batch of inputs, which may take some time, and queues them together. Inputs that others queue
    /// meanwhile wait briefly, so that all share a commit. So commits grow under load, while a single input does not
    /// wait at all.
    ///
    /// Also waits while queued and handled inputs use too much memory. Use this for inputs from the network.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn submit_batch<T>(
        &self,
        prepare: impl FnOnce(&mut InputBatch<I>) -> T,
    ) -> Result<T, EngineStopped> {
        let mut batch = InputBatch::new(None);
        let result = {
            let _preparing = self.preparing.begin();
            prepare(&mut batch)
        };
        if batch.is_empty() {
            self.preparing.prepared_nothing.notify_one();
        } else {
            self.reserve(batch.len(), batch.bytes).await?.submit(batch);
        }
        Ok(result)
    }

    /// Waits until there is room for these inputs. The future does not hold them, because every connection's task has
    /// room for it.
    async fn reserve(&self, inputs: usize, bytes: usize) -> Result<Reservation<'_, I>, EngineStopped> {
        let room = take(&self.room, inputs.min(MAX_QUEUED_INPUTS)).await?;
        // Less than a KiB is limited well enough by the number of inputs.
        let memory = match bytes / 1024 {
            0 => None,
            kib => Some(take(&self.memory, kib.min(MAX_QUEUED_KIB)).await?),
        };
        let place = self.submissions.reserve().await.map_err(|_| EngineStopped)?;
        Ok(Reservation { place, room, memory })
    }
}

/// Room for a batch in the queue.
struct Reservation<'a, I> {
    place: mpsc::Permit<'a, Submission<I>>,
    room: OwnedSemaphorePermit,
    memory: Option<OwnedSemaphorePermit>,
}

impl<I> Reservation<'_, I> {
    fn submit(self, batch: InputBatch<I>) {
        self.place.send(Submission { batch, _room: Some(self.room), memory: self.memory });
    }
}

/// Acquires permits. A batch that needs more than exist waits until all are free.
async fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, EngineStopped> {
    let permits = u32::try_from(permits).unwrap_or(1);
    Arc::clone(semaphore).acquire_many_owned(permits).await.map_err(|_| EngineStopped)
}

impl<I> Clone for Inputs<I> {
    fn clone(&self) -> Self {
        Self {
            submissions: self.submissions.clone(),
            room: Arc::clone(&self.room),
            memory: Arc::clone(&self.memory),
            preparing: Arc::clone(&self.preparing),
        }
    }
}

impl Preparing {
    fn begin(&self) -> impl Drop + '_ {
        struct Begun<'a>(&'a Preparing);
        impl Drop for Begun<'_> {
            fn drop(&mut self) {
                self.0.number.fetch_sub(1, Ordering::AcqRel);
            }
        }
        self.number.fetch_add(1, Ordering::AcqRel);
        Begun(self)
    }
}

pub(super) fn channel<I>() -> (Inputs<I>, InputQueue<I>) {
    let (submissions, receiver) = mpsc::channel(MAX_QUEUED_INPUTS);
    let preparing = Arc::<Preparing>::default();
    let room = Arc::new(Semaphore::new(MAX_QUEUED_INPUTS));
    let memory = Arc::new(Semaphore::new(MAX_QUEUED_KIB));
    let inputs = Inputs { submissions, room, memory, preparing };
    let queue = InputQueue {
        submissions: receiver,
        room: Arc::clone(&inputs.room),
        memory: Arc::clone(&inputs.memory),
        in_hand: Vec::new(),
        preparing: Arc::clone(&inputs.preparing),
    };
    (inputs, queue)
}

/// The receiving end of the queue.
pub(super) struct InputQueue<I> {
    submissions: mpsc::Receiver<Submission<I>>,
    room: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// The memory permits of inputs that were taken and are being handled.
    in_hand: Vec<OwnedSemaphorePermit>,
    preparing: Arc<Preparing>,
}

impl<I> InputQueue<I> {
    /// Waits for a batch and takes it; `false` if there will be no more.
    pub(super) async fn recv(&mut self, inputs: &mut Vec<I>) -> bool {
        match self.submissions.recv().await {
            Some(submission) => submission.unpack(inputs, &mut self.in_hand),
            None => return false,
        }
        true
    }

    /// Accepts no more inputs; queued ones can still be taken.
    pub(super) fn close(&mut self) {
        self.room.close();
        self.memory.close();
        self.submissions.close();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.submissions.is_empty()
    }

    /// Releases the memory permits of inputs that have been handled and dropped.
    pub(super) fn release_memory(&mut self) {
        self.in_hand.clear();
    }

    /// Adds other queued inputs to the batch, and those of batches that will soon be prepared.
    pub(super) async fn gather(&mut self, inputs: &mut Vec<I>) {
        self.take_queued(inputs);
        if !self.expects_more(inputs) {
            return;
        }
        let soon = async {
            while self.expects_more(inputs) {
                tokio::select! {
                    biased;
                    submission = self.submissions.recv() => match submission {
                        Some(submission) => submission.unpack(inputs, &mut self.in_hand),
                        None => return,
                    },
                    () = self.preparing.prepared_nothing.notified() => {}
                }
                self.take_queued(inputs);
            }
        };
        // Anything later becomes part of the next batch.
        let _ = tokio::time::timeout(GATHER_WINDOW, soon).await;
    }

    fn take_queued(&mut self, inputs: &mut Vec<I>) {
        while inputs.len() < BATCH_SIZE
            && let Ok(submission) = self.submissions.try_recv()
        {
            submission.unpack(inputs, &mut self.in_hand);
        }
    }

    fn expects_more(&self, inputs: &[I]) -> bool {
        inputs.len() < GATHER_SIZE && self.preparing.number.load(Ordering::Acquire) > 0
    }
}

impl<I> Drop for InputQueue<I> {
    fn drop(&mut self) {
        // Senders that wait for permits must not wait for ever.
        self.room.close();
        self.memory.close();
    }
}

impl<I> Submission<I> {
    fn unpack(self, inputs: &mut Vec<I>, in_hand: &mut Vec<OwnedSemaphorePermit>) {
        in_hand.extend(self.memory);
        inputs.extend(self.batch.first);
        inputs.extend(self.batch.rest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InputBatch, MAX_QUEUED_INPUTS, MAX_QUEUED_KIB, channel};

    #[tokio::test]
    async fn holds_senders_back_by_the_number_of_inputs() {
        const TOGETHER: usize = 16;
        let (inputs, mut queue) = channel::<u8>();
        let send = || inputs.submit_batch(|made| (0..TOGETHER).for_each(|_| made.push(0, 63)));
        for _ in 0..MAX_QUEUED_INPUTS / TOGETHER {
            send().await.unwrap();
        }
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, send()).await.is_err());
        assert!(tokio::time::timeout(soon, inputs.send(1)).await.is_err());
        let mut came = Vec::new();
        assert!(queue.recv(&mut came).await);
        assert_eq!(came.len(), TOGETHER);
        tokio::time::timeout(soon, send()).await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let inputs = inputs.clone();
            async move { inputs.send(1).await }
        });
        tokio::task::yield_now().await;
        drop(queue);
        assert!(waiting.await.unwrap().is_err(), "an engine that ends lets go of whoever waits");
    }

    #[tokio::test]
    async fn holds_senders_back_by_the_memory_of_inputs_until_they_are_handled() {
        let soon = Duration::from_millis(20);
        let (inputs, mut queue) = channel::<u8>();
        let send = |kib: usize| {
            tokio::time::timeout(
                soon,
                inputs.submit_batch(move |made: &mut InputBatch<u8>| made.push(0, kib * 1024)),
            )
        };
        for _ in 0..4 {
            send(MAX_QUEUED_KIB / 4).await.unwrap().unwrap();
        }
        assert!(send(1).await.is_err());
        send(0).await.unwrap().unwrap();
        inputs.send(0).await.unwrap();
        let mut came = Vec::new();
        assert!(queue.recv(&mut came).await);
        assert!(send(1).await.is_err(), "it is in hand");
        queue.release_memory();
        send(MAX_QUEUED_KIB / 4).await.unwrap().unwrap();
        assert!(send(1).await.is_err());
        queue.gather(&mut came).await;
        assert_eq!(came.len(), 7);
        queue.release_memory();
        // More than the limit in a single batch.
        send(3 * MAX_QUEUED_KIB).await.unwrap().unwrap();
        assert!(send(1).await.is_err());
        let waiting = tokio::spawn({
            let inputs = inputs.clone();
            async move { inputs.submit_batch(|made| made.push(0, 1024)).await }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert!(waiting.await.unwrap().is_err(), "an engine that stops lets go of whoever waits");
    }
}
