//! The way to an engine, and how what comes shares commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

/// How many parcels may wait before senders are held back.
const QUEUE: usize = 2_048;

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
enum Parcel<I> {
    One(I),
    Several(Vec<I>),
}

impl<I> Inputs<I> {
    /// Hands over an input; waits while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn send(&self, input: I) -> Result<(), Stopped> {
        self.parcels.send(Parcel::One(input)).await.map_err(|_| Stopped)
    }

    /// The same for a thread outside of any runtime: it is blocked while too many are queued.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn send_blocking(&self, input: I) -> Result<(), Stopped> {
        self.parcels.blocking_send(Parcel::One(input)).map_err(|_| Stopped)
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
            self.parcels.send(Parcel::Several(inputs)).await.map_err(|_| Stopped)?;
        }
        Ok(made)
    }
}

impl<I> Clone for Inputs<I> {
    fn clone(&self) -> Self {
        Self { parcels: self.parcels.clone(), making: Arc::clone(&self.making) }
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
    let arriving = Arriving { parcels: receiver, making: Arc::clone(&making) };
    (Inputs { parcels, making }, arriving)
}

/// What comes to the engine.
pub(super) struct Arriving<I> {
    parcels: mpsc::Receiver<Parcel<I>>,
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

impl<I> Parcel<I> {
    fn unpack(self, inputs: &mut Vec<I>) {
        match self {
            Self::One(input) => inputs.push(input),
            Self::Several(several) => inputs.extend(several),
        }
    }
}
