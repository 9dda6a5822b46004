//! Commit watch: which commits are durable and have had their effects applied, for threads that read the same
//! database.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The commits of an engine, for threads that read its database and can see commits that are not durable yet. Clones
/// watch the same engine.
#[derive(Clone, Default)]
pub struct CommitWatch(Arc<State>);

#[derive(Default)]
struct State {
    /// The number of the last commit that is visible in the database, or in progress.
    begun: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The number of the last commit that is durable and whose effects were applied.
    finished: u64,
    /// Work, with the commit number that it waits for, in ascending order.
    queue: VecDeque<(u64, Box<dyn FnOnce() + Send>)>,
}

impl CommitWatch {
    /// Runs `work` as soon as all commits that a read which has just ended may have seen are durable and their effects
    /// were applied: immediately, or on one of the engine's threads, which it must not block. If the engine ends
    /// first, `work` is dropped.
    pub fn after(&self, work: impl FnOnce() + Send + 'static) {
        let mut waiting = self.waiting();
        let seen = self.0.begun.load(Ordering::SeqCst);
        if seen > waiting.finished {
            waiting.queue.push_back((seen, Box::new(work)));
        } else {
            drop(waiting);
            work();
        }
    }

    /// Starts a commit and returns its number.
    pub(super) fn begin(&self) -> u64 {
        self.0.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    /// Records that a commit is durable and its effects were applied.
    pub(super) fn advance(&self, number: u64) {
        let mut waiting = self.waiting();
        waiting.finished = waiting.finished.max(number);
        let due = waiting.queue.partition_point(|(seen, _)| *seen <= number);
        let due: Vec<_> = waiting.queue.drain(..due).collect();
        drop(waiting);
        due.into_iter().for_each(|(_, work)| work());
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CommitWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitWatch").field("begun", &self.0.begun).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::CommitWatch;

    #[test]
    fn work_waits_for_the_commits_that_were_begun_before_it_and_for_no_later_one() {
        let commits = CommitWatch::default();
        let (sender, done) = mpsc::channel();
        let work = |name: &'static str| {
            let sender = sender.clone();
            move || sender.send(name).unwrap()
        };
        commits.after(work("before any"));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["before any"]);
        let first = commits.begin();
        commits.after(work("first"));
        let second = commits.begin();
        commits.after(work("second"));
        assert_eq!(done.try_iter().count(), 0);
        commits.advance(first);
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["first"]);
        commits.advance(second);
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["second"]);
        commits.after(work("after all"));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["after all"]);
    }
}
