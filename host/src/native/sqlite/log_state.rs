//! The state of the write-ahead log (WAL) as reported by SQLite, and the lengths at which a checkpoint is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rusqlite::Connection;

/// The length of the log, in pages, from which a checkpoint is due. A longer log would save writes of frequently
/// changed pages, but make a larger file and a slower start after a crash.
pub(super) const CHECKPOINT_PAGES: u32 = if cfg!(test) { 2_000 } else { 16_000 };

/// The same while there is little to do: a restarted log overwrites its file, and syncing that takes half the time of
/// syncing a growing file.
pub(super) const CALM_PAGES: u32 = CHECKPOINT_PAGES / 4;

/// The length from which to wait for readers in order to restart the log. By itself, it restarts only when nobody is
/// reading it, which never happens where reads overlap.
pub(super) const RESTART_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// What SQLite has reported about the log.
#[derive(Debug)]
pub(super) struct LogState {
    /// Its length in pages after the last commit that wrote anything.
    pub(super) pages: AtomicU32,
    /// Its length at the last checkpoint since it restarted.
    pub(super) checkpoint: AtomicU32,
    /// Whether anything was committed since the last call of `take_written`.
    pub(super) written: AtomicBool,
    /// Whether checkpoints happen between commits rather than within them.
    pub(super) between_commits: AtomicBool,
}

impl LogState {
    pub(super) const fn new() -> Self {
        Self {
            pages: AtomicU32::new(0),
            checkpoint: AtomicU32::new(0),
            written: AtomicBool::new(false),
            between_commits: AtomicBool::new(false),
        }
    }

    /// The log's length in pages.
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// A commit was written, and the log now has this length.
    pub(super) fn grew(&self, pages: u32) {
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            // The log has restarted.
            self.checkpoint.store(0, Ordering::Relaxed);
        }
        self.written.store(true, Ordering::Relaxed);
    }

    /// The log's length in pages, if a checkpoint is due. The next one is due a good deal later: a checkpoint that
    /// readers prevent from finishing costs as much as any other, and should not be repeated after every commit.
    pub(super) fn take_due(&self, calm: bool) -> Option<u32> {
        let (pages, last) = (self.pages(), self.checkpoint.load(Ordering::Relaxed));
        let next = last.saturating_add(if calm { CALM_PAGES } else { CHECKPOINT_PAGES });
        if pages < if last < RESTART_PAGES { next.min(RESTART_PAGES) } else { next } {
            return None;
        }
        self.checkpoint.store(pages, Ordering::Relaxed);
        Some(pages)
    }
}

/// Watches a connection's log, in place of SQLite's automatic checkpoints.
pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Arc<LogState>> {
    let state = Arc::new(LogState::new());
    let watching = Arc::clone(&state);
    connection.wal_hook(Some(move |log: &mut rusqlite::hooks::Wal, pages| {
        watching.grew(u32::try_from(pages).unwrap_or_default());
        if !watching.between_commits.load(Ordering::Relaxed) && watching.take_due(false).is_some() {
            // If the log cannot be copied now, it will be after a later commit.
            let _ = log.checkpoint();
        }
        Ok(())
    }))?;
    Ok(state)
}
