//! The way of effects out of an engine's thread: in their order, and never before what they tell of is safe.
//!
//! A commit here has only survived the end of the process; waiting for the disk is a thread of its own, so that the
//! engine works on while earlier commits are brought there. An engine that has nothing else to do waits itself,
//! which saves a single input the way to the other thread and back.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Commits;

/// How many batches may wait behind the one that is being brought to the disk. None: the engine, with the next batch
/// done, gathers more inputs for the one after that, and larger batches write fewer pages.
const WAITING: usize = 0;

/// Makes safe whatever was committed before it is called.
pub(super) type WaitForDisk = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Carries out effects.
pub(super) type Apply<T> = Box<dyn FnMut(&mut Vec<T>) + Send>;

/// Where effects leave.
pub(super) struct Outlet<T> {
    shared: Arc<Shared<T>>,
    queue: SyncSender<Batch<T>>,
    thread: JoinHandle<()>,
    /// Dropped by the thread when it ends.
    ended: oneshot::Receiver<Infallible>,
}

/// Effects could not be let out: the disk failed, or whoever carries effects out has panicked.
#[derive(Debug)]
pub(super) struct Blocked;

struct Shared<T> {
    /// `None` when a commit needs nothing more.
    sync: Option<WaitForDisk>,
    apply: Mutex<Apply<T>>,
    commits: Commits,
    /// The batches that are queued or being made safe.
    under_way: AtomicUsize,
}

struct Batch<T> {
    /// The number of its commit.
    commit: u64,
    effects: Vec<T>,
    /// Whether something was written.
    written: bool,
}

impl<T: Send + 'static> Outlet<T> {
    pub(super) fn start(
        name: &str,
        sync: Option<WaitForDisk>,
        commits: Commits,
        apply: Apply<T>,
    ) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { sync, apply: Mutex::new(apply), commits, under_way: AtomicUsize::new(0) });
        let (queue, batches) = sync_channel(WAITING);
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

    pub(super) fn commits(&self) -> &Commits {
        &self.shared.commits
    }

    /// Lets out the effects of what was committed, once it is safe. `alone` says that the engine has nothing else to do.
    pub(super) fn release(
        &self,
        commit: u64,
        effects: &mut Vec<T>,
        written: bool,
        alone: bool,
    ) -> Result<(), Blocked> {
        let shared = &self.shared;
        let sync = shared.sync.as_ref().filter(|_| written);
        let behind_nothing = shared.under_way.load(Ordering::Acquire) == 0;
        if behind_nothing && (alone || sync.is_none()) {
            shared.make_safe(written)?;
            shared.apply(commit, effects);
            return Ok(());
        }
        shared.under_way.fetch_add(1, Ordering::AcqRel);
        self.queue.send(Batch { commit, effects: std::mem::take(effects), written }).map_err(|_| Blocked)
    }

    /// Completes when effects can no longer be let out.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Lets out what is under way. A panic of the thread goes on in the caller's.
    pub(super) fn finish(self) {
        drop(self.queue);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<T> Shared<T> {
    #[expect(clippy::needless_pass_by_value, reason = "nothing can be queued once it has returned")]
    fn serve(&self, batches: Receiver<Batch<T>>) {
        while let Ok(first) = batches.recv() {
            // One wait is enough for all that was committed before it.
            let mut together: Vec<_> = std::iter::once(first).chain(batches.try_iter()).collect();
            if self.make_safe(together.iter().any(|batch| batch.written)).is_err() {
                return;
            }
            for batch in &mut together {
                self.apply(batch.commit, &mut batch.effects);
                self.under_way.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    fn make_safe(&self, written: bool) -> Result<(), Blocked> {
        let Some(sync) = self.sync.as_ref().filter(|_| written) else { return Ok(()) };
        sync().map_err(|error| {
            // What the disk holds is unknown now, also after a later success: only a new start finds out.
            tracing::error!(%error, "commits could not be brought to the disk; nothing more is acknowledged");
            Blocked
        })
    }

    fn apply(&self, commit: u64, effects: &mut Vec<T>) {
        (self.apply.lock().unwrap_or_else(PoisonError::into_inner))(effects);
        effects.clear();
        self.commits.tell(commit);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};

    use super::{Commits, Outlet, WaitForDisk};

    fn outlet(sync: Option<WaitForDisk>) -> (Outlet<u32>, Receiver<u32>) {
        let (sender, effects) = channel();
        let apply = move |batch: &mut Vec<u32>| {
            batch.drain(..).for_each(|effect| sender.send(effect).unwrap());
        };
        (Outlet::start("test", sync, Commits::default(), Box::new(apply)).unwrap(), effects)
    }

    #[test]
    fn effects_keep_their_order_whoever_waits_for_the_disk() {
        let syncs = Arc::new(AtomicU32::new(0));
        let sync: WaitForDisk = {
            let syncs = Arc::clone(&syncs);
            Arc::new(move || {
                syncs.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(200));
                Ok(())
            })
        };
        let (outlet, effects) = outlet(Some(sync));
        for number in 0..300 {
            outlet
                .release(1, &mut vec![2 * number, 2 * number + 1], number % 3 > 0, number % 7 == 0)
                .unwrap();
        }
        outlet.finish();
        assert_eq!(effects.iter().collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
        assert!((1..=200).contains(&syncs.load(Ordering::Relaxed)), "{syncs:?}");
    }

    #[test]
    fn nothing_is_let_out_before_it_is_safe() {
        for alone in [true, false] {
            let (permit, disk) = channel::<()>();
            let disk = Mutex::new(disk);
            let (outlet, effects) =
                outlet(Some(Arc::new(move || disk.lock().unwrap().recv().map_err(io::Error::other))));
            std::thread::scope(|scope| {
                let releasing = scope.spawn(|| outlet.release(1, &mut vec![1], true, alone));
                std::thread::sleep(std::time::Duration::from_millis(20));
                assert!(effects.try_recv().is_err());
                permit.send(()).unwrap();
                assert_eq!(effects.recv(), Ok(1));
                releasing.join().unwrap().unwrap();
            });
            outlet.finish();
        }
    }

    #[tokio::test]
    async fn a_failed_disk_acknowledges_nothing_and_is_the_end() {
        for alone in [true, false] {
            let (mut outlet, effects) = outlet(Some(Arc::new(|| Err(io::Error::other("the disk is gone")))));
            let released = outlet.release(1, &mut vec![1], true, alone);
            if alone {
                released.unwrap_err();
            } else {
                outlet.ended().await;
                outlet.release(1, &mut vec![2], false, false).unwrap_err();
            }
            outlet.finish();
            assert_eq!(effects.iter().count(), 0);
        }
    }

    #[test]
    fn what_wrote_nothing_waits_for_nothing() {
        let (outlet, effects) = outlet(Some(Arc::new(|| Err(io::Error::other("not asked for")))));
        for alone in [true, false] {
            outlet.release(1, &mut vec![1], false, alone).unwrap();
            assert_eq!(effects.try_recv(), Ok(1));
        }
        outlet.finish();
    }
}
