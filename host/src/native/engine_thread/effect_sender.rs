//! The effect sender: passes an engine's effects to the host, in order, and only after the commit is durable.
//!
//! A commit that arrives here survives the end of the process, but not a power failure. A thread of its own waits for
//! the disk, so that the engine can continue. If the engine has nothing else to do, it waits itself, which saves a
//! single input two thread switches.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::commit_watch::CommitWatch;

/// How many batches may wait behind the one that is being synced to the disk. With none, the engine finishes the next
/// batch and then gathers more inputs for the one after; larger batches write fewer pages.
const MAX_QUEUED_BATCHES: usize = 0;

/// Returns once all earlier commits are on the disk.
pub(super) type WaitForDisk = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Carries out effects.
pub(super) type Apply<T> = Box<dyn FnMut(&mut Vec<T>) + Send>;

/// Passes the effects of commits to the host.
pub(super) struct EffectSender<T> {
    shared: Arc<Shared<T>>,
    queue: SyncSender<EffectBatch<T>>,
    thread: JoinHandle<()>,
    /// Dropped by the thread when it ends.
    ended: oneshot::Receiver<Infallible>,
}

/// No more effects can be sent: the disk failed or the host panicked.
#[derive(Debug)]
pub(super) struct EffectsStopped;

struct Shared<T> {
    /// `None` if commits need no further wait.
    sync: Option<WaitForDisk>,
    apply: Mutex<Apply<T>>,
    commits: CommitWatch,
    /// How many batches are queued or waiting for the disk.
    in_flight: AtomicUsize,
}

struct EffectBatch<T> {
    /// The number of its commit.
    commit: u64,
    effects: Vec<T>,
    /// Whether anything was written.
    written: bool,
}

impl<T: Send + 'static> EffectSender<T> {
    pub(super) fn start(
        name: &str,
        sync: Option<WaitForDisk>,
        commits: CommitWatch,
        apply: Apply<T>,
    ) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { sync, apply: Mutex::new(apply), commits, in_flight: AtomicUsize::new(0) });
        let (queue, batches) = sync_channel(MAX_QUEUED_BATCHES);
        let (alive, ended) = oneshot::channel();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("{name}-disk")).spawn(move || {
                shared.serve(batches);
                drop::<oneshot::Sender<Infallible>>(alive);
            })?
        };
        Ok(Self { shared, queue, thread, ended })
    }

    pub(super) fn commits(&self) -> &CommitWatch {
        &self.shared.commits
    }

    /// Sends the effects of a commit once it is durable. `alone` says that the engine has nothing else to do.
    pub(super) fn send(
        &self,
        commit: u64,
        effects: &mut Vec<T>,
        written: bool,
        alone: bool,
    ) -> Result<(), EffectsStopped> {
        let shared = &self.shared;
        let sync = shared.sync.as_ref().filter(|_| written);
        let behind_nothing = shared.in_flight.load(Ordering::Acquire) == 0;
        if behind_nothing && (alone || sync.is_none()) {
            shared.wait_for_disk(written)?;
            shared.apply(commit, effects);
            return Ok(());
        }
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        self.queue
            .send(EffectBatch { commit, effects: std::mem::take(effects), written })
            .map_err(|_| EffectsStopped)
    }

    /// Completes when effects can no longer be sent.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Sends what is queued, then ends. If the thread panicked, the panic continues in the caller.
    pub(super) fn finish(self) {
        drop(self.queue);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<T> Shared<T> {
    #[expect(clippy::needless_pass_by_value, reason = "nothing can be queued once it has returned")]
    fn serve(&self, batches: Receiver<EffectBatch<T>>) {
        while let Ok(first) = batches.recv() {
            // One sync suffices for everything that was committed before it.
            let mut together: Vec<_> = std::iter::once(first).chain(batches.try_iter()).collect();
            if self.wait_for_disk(together.iter().any(|batch| batch.written)).is_err() {
                return;
            }
            for batch in &mut together {
                self.apply(batch.commit, &mut batch.effects);
                self.in_flight.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn wait_for_disk(&self, written: bool) -> Result<(), EffectsStopped> {
        let Some(sync) = self.sync.as_ref().filter(|_| written) else { return Ok(()) };
        sync().map_err(|error| {
            // What is on the disk is unknown now, even if a later sync succeeds: only a restart can tell.
            tracing::error!(%error, "commits could not be synced to the disk; nothing more is acknowledged");
            EffectsStopped
        })
    }

    fn apply(&self, commit: u64, effects: &mut Vec<T>) {
        (self.apply.lock().unwrap_or_else(PoisonError::into_inner))(effects);
        effects.clear();
        self.commits.advance(commit);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};

    use super::{CommitWatch, EffectSender, WaitForDisk};

    fn sender(sync: Option<WaitForDisk>) -> (EffectSender<u32>, Receiver<u32>) {
        let (sender, effects) = channel();
        let apply = move |batch: &mut Vec<u32>| {
            batch.drain(..).for_each(|effect| sender.send(effect).unwrap());
        };
        (EffectSender::start("test", sync, CommitWatch::default(), Box::new(apply)).unwrap(), effects)
    }

    #[test]
    fn effects_keep_their_order_on_either_thread() {
        let syncs = Arc::new(AtomicU32::new(0));
        let sync: WaitForDisk = {
            let syncs = Arc::clone(&syncs);
            Arc::new(move || {
                syncs.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(200));
                Ok(())
            })
        };
        let (sender, effects) = sender(Some(sync));
        for number in 0..300 {
            sender.send(1, &mut vec![2 * number, 2 * number + 1], number % 3 > 0, number % 7 == 0).unwrap();
        }
        sender.finish();
        assert_eq!(effects.iter().collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
        assert!((1..=200).contains(&syncs.load(Ordering::Relaxed)), "{syncs:?}");
    }

    #[test]
    fn nothing_is_let_out_before_it_is_safe() {
        for alone in [true, false] {
            let (permit, disk) = channel::<()>();
            let disk = Mutex::new(disk);
            let (sender, effects) =
                sender(Some(Arc::new(move || disk.lock().unwrap().recv().map_err(io::Error::other))));
            std::thread::scope(|scope| {
                let sending = scope.spawn(|| sender.send(1, &mut vec![1], true, alone));
                std::thread::sleep(std::time::Duration::from_millis(20));
                assert!(effects.try_recv().is_err());
                permit.send(()).unwrap();
                assert_eq!(effects.recv(), Ok(1));
                sending.join().unwrap().unwrap();
            });
            sender.finish();
        }
    }

    #[tokio::test]
    async fn a_failed_disk_acknowledges_nothing_and_is_the_end() {
        for alone in [true, false] {
            let (mut sender, effects) = sender(Some(Arc::new(|| Err(io::Error::other("the disk is gone")))));
            let sent = sender.send(1, &mut vec![1], true, alone);
            if alone {
                sent.unwrap_err();
            } else {
                sender.ended().await;
                sender.send(1, &mut vec![2], false, false).unwrap_err();
            }
            sender.finish();
            assert_eq!(effects.iter().count(), 0);
        }
    }

    #[test]
    fn what_wrote_nothing_waits_for_nothing() {
        let (sender, effects) = sender(Some(Arc::new(|| Err(io::Error::other("not asked for")))));
        for alone in [true, false] {
            sender.send(1, &mut vec![1], false, alone).unwrap();
            assert_eq!(effects.try_recv(), Ok(1));
        }
        sender.finish();
    }
}
