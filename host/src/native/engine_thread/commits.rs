//! How far an engine's commits are, for those who read its database beside it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The commits of an engine, for readers beside it: what they have read may be more than what is safe and told of.
/// Clones are of the same engine.
#[derive(Clone, Default)]
pub struct Commits(Arc<State>);

#[derive(Default)]
struct State {
    /// The number of the last commit that can be seen in the database, or is just being made.
    begun: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The number of the last commit that is safe and whose effects were applied.
    told: u64,
    /// What waits for which number; the numbers never fall.
    queue: VecDeque<(u64, Box<dyn FnOnce() + Send>)>,
}

impl Commits {
    /// Does this once all that a read which has just ended can have seen is as safe as the engine's commits are, and its
    /// effects were applied: at once, or on the engine's threads, which it must not hold up. If the engine ends
    /// before, it is dropped.
    pub fn once_told(&self, work: impl FnOnce() + Send + 'static) {
        let mut waiting = self.waiting();
        let seen = self.0.begun.load(Ordering::SeqCst);
        if seen > waiting.told {
            waiting.queue.push_back((seen, Box::new(work)));
        } else {
            drop(waiting);
            work();
        }
    }

    /// A commit is about to be made. It has this number.
    pub(super) fn begin(&self) -> u64 {
        self.0.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }

    /// A commit is safe, and its effects were applied.
    pub(super) fn tell(&self, number: u64) {
        let mut waiting = self.waiting();
        waiting.told = waiting.told.max(number);
        let due = waiting.queue.partition_point(|(seen, _)| *seen <= number);
        let due: Vec<_> = waiting.queue.drain(..due).collect();
        drop(waiting);
        due.into_iter().for_each(|(_, work)| work());
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits").field("begun", &self.0.begun).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::Commits;

    #[test]
    fn work_waits_for_the_commits_that_were_begun_before_it_and_for_no_later_one() {
        let commits = Commits::default();
        let (sender, done) = mpsc::channel();
        let work = |name: &'static str| {
            let sender = sender.clone();
            move || sender.send(name).unwrap()
        };
        commits.once_told(work("before any"));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["before any"]);
        let first = commits.begin();
        commits.once_told(work("first"));
        let second = commits.begin();
        commits.once_told(work("second"));
        assert_eq!(done.try_iter().count(), 0);
        commits.tell(first);
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["first"]);
        commits.tell(second);
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["second"]);
        commits.once_told(work("after all"));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["after all"]);
    }
}
