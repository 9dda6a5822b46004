//! The way to an engine, and how what comes shares commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// How many inputs may wait before senders are held back.
const QUEUE: usize = 4_096;

/// How much memory [made](Inputs::make) inputs may take, in KiB, before senders are held back: those that wait and those
/// that the engine has in hand.
const MEMORY: usize = 64 * 1024;

/// While a batch has fewer inputs than this, more are taken into it.
const BATCH: usize = 512;

/// While inputs are being [made](Inputs::make), a commit waits for them until it has this many…
const GATHERED: usize = 64;

/// … but no longer than this.
const PATIENCE: Duration = Duration::from_millis(2);

/// The engine's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct Stopped;

/// The way to an engine. Clones lead to the same one.
pub struct Inputs<I> {
    parcels: mpsc::Sender<Parcel<I>>,
    /// A permit for each input that may still come.
    room: Arc<Semaphore>,
    /// A permit for each KiB that may still come.
    memory: Arc<Semaphore>,
    making: Arc<Making>,
}

/// Inputs that are sent together.
pub struct Made<I> {
    inputs: Vec<I>,
    bytes: usize,
}

impl<I> Made<I> {
    /// Adds an input that takes about so many bytes of memory.
    pub fn push(&mut self, input: I, bytes: usize) {
        self.inputs.push(input);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// How many inputs there are.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.inputs.len()
    }
}

/// Who is making inputs.
#[derive(Default)]
struct Making {
    number: AtomicUsize,
    /// Told when one has made none.
    none_made: Notify,
}

/// What is sent at once.
struct Parcel<I> {
    inputs: Several<I>,
    /// Given back when the inputs are taken out of the queue.
    _room: Option<OwnedSemaphorePermit>,
    /// Given back when they have been handled.
    memory: Option<OwnedSemaphorePermit>,
}

enum Several<I> {
    One(I),
    Many(Vec<I>),
}

impl<I> Inputs<I> {
    /// Hands over an input; waits while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn send(&self, input: I) -> Result<(), Stopped> {
        self.queue(1, 0, Several::One(input)).await
    }

    /// The same for a thread outside of any runtime: it is blocked while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn send_blocking(&self, input: I) -> Result<(), Stopped> {
        // Few threads do this, each with one input: the places for parcels are enough of a bound.
        let parcel = Parcel { inputs: Several::One(input), _room: None, memory: None };
        self.parcels.blocking_send(parcel).map_err(|_| Stopped)
    }

    /// Makes inputs, and hands them over together. This is for what takes some time: others that are handed over
    /// meanwhile wait a little, so that all share a commit. That is how commits grow when there is much to do,
    /// while an input that comes alone waits for nothing.
    ///
    /// What comes from outside is made: it waits as well while what has come takes too much memory.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn make<T>(&self, make: impl FnOnce(&mut Made<I>) -> T) -> Result<T, Stopped> {
        let mut made = Made { inputs: Vec::new(), bytes: 0 };
        let result = {
            let _making = self.making.begin();
            make(&mut made)
        };
        if made.inputs.is_empty() {
            self.making.none_made.notify_one();
        } else {
            self.queue(made.number(), made.bytes, Several::Many(made.inputs)).await?;
        }
        Ok(result)
    }

    async fn queue(&self, number: usize, bytes: usize, inputs: Several<I>) -> Result<(), Stopped> {
        let room = take(&self.room, number.min(QUEUE)).await?;
        // What is less than a KiB is bounded well enough by the number.
        let memory = match bytes / 1024 {
            0 => None,
            kib => Some(take(&self.memory, kib.min(MEMORY)).await?),
        };
        self.parcels.send(Parcel { inputs, _room: Some(room), memory }).await.map_err(|_| Stopped)
    }
}

/// Takes permits of which there are as many in all: more than fits comes when there is nothing else.
async fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, Stopped> {
    let permits = u32::try_from(permits).unwrap_or(1);
    Arc::clone(semaphore).acquire_many_owned(permits).await.map_err(|_| Stopped)
}

impl<I> Clone for Inputs<I> {
    fn clone(&self) -> Self {
        Self {
            parcels: self.parcels.clone(),
            room: Arc::clone(&self.room),
            memory: Arc::clone(&self.memory),
            making: Arc::clone(&self.making),
        }
    }
}

impl Making {
    fn begin(&self) -> impl Drop + '_ {
        struct Begun<'a>(&'a Making);
        impl Drop for Begun<'_> {
            fn drop(&mut self) {
                self.0.number.fetch_sub(1, Ordering::AcqRel);
            }
        }
        self.number.fetch_add(1, Ordering::AcqRel);
        Begun(self)
    }
}

pub(super) fn channel<I>() -> (Inputs<I>, Arriving<I>) {
    let (parcels, receiver) = mpsc::channel(QUEUE);
    let making = Arc::<Making>::default();
    let room = Arc::new(Semaphore::new(QUEUE));
    let memory = Arc::new(Semaphore::new(MEMORY));
    let inputs = Inputs { parcels, room, memory, making };
    let arriving = Arriving {
        parcels: receiver,
        room: Arc::clone(&inputs.room),
        memory: Arc::clone(&inputs.memory),
        in_hand: Vec::new(),
        making: Arc::clone(&inputs.making),
    };
    (inputs, arriving)
}

/// What comes to the engine.
pub(super) struct Arriving<I> {
    parcels: mpsc::Receiver<Parcel<I>>,
    room: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// The memory of what was taken and has not been handled.
    in_hand: Vec<OwnedSemaphorePermit>,
    making: Arc<Making>,
}

impl<I> Arriving<I> {
    /// Waits for inputs and takes some; whether there will be more.
    pub(super) async fn came(&mut self, inputs: &mut Vec<I>) -> bool {
        match self.parcels.recv().await {
            Some(parcel) => parcel.unpack(inputs, &mut self.in_hand),
            None => return false,
        }
        true
    }

    /// Lets nothing more come than what is queued.
    pub(super) fn close(&mut self) {
        self.room.close();
        self.memory.close();
        self.parcels.close();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// What was taken has been handled and dropped.
    pub(super) fn handled(&mut self) {
        self.in_hand.clear();
    }

    /// Adds to a batch what has come, and what is being made and comes soon.
    pub(super) async fn gather(&mut self, inputs: &mut Vec<I>) {
        self.take_what_came(inputs);
        if !self.may_come_soon(inputs) {
            return;
        }
        let soon = async {
            while self.may_come_soon(inputs) {
                tokio::select! {
                    biased;
                    parcel = self.parcels.recv() => match parcel {
                        Some(parcel) => parcel.unpack(inputs, &mut self.in_hand),
                        None => return,
                    },
                    () = self.making.none_made.notified() => {}
                }
                self.take_what_came(inputs);
            }
        };
        // What has not come by then has its place in the next batch.
        let _ = tokio::time::timeout(PATIENCE, soon).await;
    }

    fn take_what_came(&mut self, inputs: &mut Vec<I>) {
        while inputs.len() < BATCH
            && let Ok(parcel) = self.parcels.try_recv()
        {
            parcel.unpack(inputs, &mut self.in_hand);
        }
    }

    fn may_come_soon(&self, inputs: &[I]) -> bool {
        inputs.len() < GATHERED && self.making.number.load(Ordering::Acquire) > 0
    }
}

impl<I> Drop for Arriving<I> {
    fn drop(&mut self) {
        // Whoever waits for room waits for nothing.
        self.room.close();
        self.memory.close();
    }
}

impl<I> Parcel<I> {
    fn unpack(self, inputs: &mut Vec<I>, in_hand: &mut Vec<OwnedSemaphorePermit>) {
        in_hand.extend(self.memory);
        match self.inputs {
            Several::One(input) => inputs.push(input),
            Several::Many(several) => inputs.extend(several),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MEMORY, Made, QUEUE, channel};

    #[tokio::test]
    async fn holds_senders_back_by_the_number_of_inputs() {
        const TOGETHER: usize = 16;
        let (inputs, mut arriving) = channel::<u8>();
        let send = || inputs.make(|made| (0..TOGETHER).for_each(|_| made.push(0, 63)));
        for _ in 0..QUEUE / TOGETHER {
            send().await.unwrap();
        }
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, send()).await.is_err());
        assert!(tokio::time::timeout(soon, inputs.send(1)).await.is_err());
        let mut came = Vec::new();
        assert!(arriving.came(&mut came).await);
        assert_eq!(came.len(), TOGETHER);
        tokio::time::timeout(soon, send()).await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let inputs = inputs.clone();
            async move { inputs.send(1).await }
        });
        tokio::task::yield_now().await;
        drop(arriving);
        assert!(waiting.await.unwrap().is_err(), "an engine that ends lets go of whoever waits");
    }

    #[tokio::test]
    async fn holds_senders_back_by_the_memory_of_inputs_until_they_are_handled() {
        let soon = Duration::from_millis(20);
        let (inputs, mut arriving) = channel::<u8>();
        let send = |kib: usize| {
            tokio::time::timeout(soon, inputs.make(move |made: &mut Made<u8>| made.push(0, kib * 1024)))
        };
        for _ in 0..4 {
            send(MEMORY / 4).await.unwrap().unwrap();
        }
        assert!(send(1).await.is_err());
        send(0).await.unwrap().unwrap();
        inputs.send(0).await.unwrap();
        let mut came = Vec::new();
        assert!(arriving.came(&mut came).await);
        assert!(send(1).await.is_err(), "it is in hand");
        arriving.handled();
        send(MEMORY / 4).await.unwrap().unwrap();
        assert!(send(1).await.is_err());
        arriving.gather(&mut came).await;
        assert_eq!(came.len(), 7);
        arriving.handled();
        // More than fits at all.
        send(3 * MEMORY).await.unwrap().unwrap();
        assert!(send(1).await.is_err());
        let waiting = tokio::spawn({
            let inputs = inputs.clone();
            async move { inputs.make(|made| made.push(0, 1024)).await }
        });
        tokio::task::yield_now().await;
        arriving.close();
        assert!(waiting.await.unwrap().is_err(), "an engine that stops lets go of whoever waits");
    }
}
