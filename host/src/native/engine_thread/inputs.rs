//! The way to an engine, and how what comes shares commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// How many inputs may wait before senders are held back.
const QUEUE: usize = 4_096;

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
    making: Arc<Making>,
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
        self.queue(1, Several::One(input)).await
    }

    /// The same for a thread outside of any runtime: it is blocked while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn send_blocking(&self, input: I) -> Result<(), Stopped> {
        // Few threads do this, each with one input: the places for parcels are enough of a bound.
        let parcel = Parcel { inputs: Several::One(input), _room: None };
        self.parcels.blocking_send(parcel).map_err(|_| Stopped)
    }

    /// Makes inputs, and hands them over together. This is for what takes some time: others that are handed over
    /// meanwhile wait a little, so that all share a commit. That is how commits grow when there is much to do,
    /// while an input that comes alone waits for nothing.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn make<T>(&self, make: impl FnOnce(&mut Vec<I>) -> T) -> Result<T, Stopped> {
        let mut inputs = Vec::new();
        let made = {
            let _making = self.making.begin();
            make(&mut inputs)
        };
        if inputs.is_empty() {
            self.making.none_made.notify_one();
        } else {
            self.queue(inputs.len(), Several::Many(inputs)).await?;
        }
        Ok(made)
    }

    async fn queue(&self, number: usize, inputs: Several<I>) -> Result<(), Stopped> {
        // More than fits at all comes when there is nothing else.
        let places = u32::try_from(number.min(QUEUE)).unwrap_or(1);
        let room = Arc::clone(&self.room).acquire_many_owned(places).await.map_err(|_| Stopped)?;
        self.parcels.send(Parcel { inputs, _room: Some(room) }).await.map_err(|_| Stopped)
    }
}

impl<I> Clone for Inputs<I> {
    fn clone(&self) -> Self {
        Self { parcels: self.parcels.clone(), room: Arc::clone(&self.room), making: Arc::clone(&self.making) }
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
    let arriving = Arriving { parcels: receiver, room: Arc::clone(&room), making: Arc::clone(&making) };
    (Inputs { parcels, room, making }, arriving)
}

/// What comes to the engine.
pub(super) struct Arriving<I> {
    parcels: mpsc::Receiver<Parcel<I>>,
    room: Arc<Semaphore>,
    making: Arc<Making>,
}

impl<I> Arriving<I> {
    /// Waits for inputs and takes some; whether there will be more.
    pub(super) async fn came(&mut self, inputs: &mut Vec<I>) -> bool {
        match self.parcels.recv().await {
            Some(parcel) => parcel.unpack(inputs),
            None => return false,
        }
        true
    }

    /// Lets nothing more come than what is queued.
    pub(super) fn close(&mut self) {
        self.room.close();
        self.parcels.close();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
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
                        Some(parcel) => parcel.unpack(inputs),
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
            parcel.unpack(inputs);
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
    }
}

impl<I> Parcel<I> {
    fn unpack(self, inputs: &mut Vec<I>) {
        match self.inputs {
            Several::One(input) => inputs.push(input),
            Several::Many(several) => inputs.extend(several),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{QUEUE, channel};

    #[tokio::test]
    async fn holds_senders_back_by_the_number_of_inputs() {
        const TOGETHER: usize = 16;
        let (inputs, mut arriving) = channel::<u8>();
        let send = || inputs.make(|made| made.extend([0; TOGETHER]));
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
}
