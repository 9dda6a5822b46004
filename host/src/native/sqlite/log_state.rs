//! What SQLite reports about its write-ahead log (WAL), and from which length on there is a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rusqlite::Connection;

/// The length of the log, in pages, from which on it is moved into the database. A longer log would write pages that
/// change often less, but be a larger file and make the start after a crash slower.
pub(super) const CHECKPOINT_PAGES: u32 = if cfg!(test) { 2_000 } else { 16_000 };

/// The same while there is little to do: a restarted log overwrites its file, and syncing that takes half the time of
/// syncing a growing file.
pub(super) const CALM_PAGES: u32 = CHECKPOINT_PAGES / 4;

/// The length from which on readers are waited for, so that the log restarts. It does so by itself only when nobody is
/// reading from it, a moment that never comes where reads overlap.
pub(super) const RESTART_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// What SQLite has reported about the log.
#[derive(Debug)]
pub(super) struct LogState {
    /// Its length in pages after the last commit that wrote anything.
    pub(super) pages: AtomicU32,
    /// Its length at the last checkpoint since it restarted.
    pub(super) checkpoint: AtomicU32,
    /// Whether a commit has written since that was last asked.
    pub(super) written: AtomicBool,
    /// Whether checkpoints are made between commits instead of in them.
    pub(super) apart: AtomicBool,
}

impl LogState {
    pub(super) const fn new() -> Self {
        Self {
            pages: AtomicU32::new(0),
            checkpoint: AtomicU32::new(0),
            written: AtomicBool::new(false),
            apart: AtomicBool::new(false),
        }
    }

    /// The log's length.
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// A commit was written, after which the log has this length.
    pub(super) fn grew(&self, pages: u32) {
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            // It has restarted.
            self.checkpoint.store(0, Ordering::Relaxed);
        }
        self.written.store(true, Ordering::Relaxed);
    }

    /// The log's length, if there is to be a checkpoint now. The next is a good deal later: one that readers keep from
    /// finishing costs as much as any other, and is not to be made with every commit.
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

/// Watches a connection's log, instead of SQLite's automatic checkpoints.
pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Arc<LogState>> {
    let state = Arc::new(LogState::new());
    let watching = Arc::clone(&state);
    connection.wal_hook(Some(move |log: &mut rusqlite::hooks::Wal, pages| {
        watching.grew(u32::try_from(pages).unwrap_or_default());
        if !watching.apart.load(Ordering::Relaxed) && watching.take_due(false).is_some() {
            // A log that cannot be moved now is moved after a later commit.
            let _ = log.checkpoint();
        }
        Ok(())
    }))?;
    Ok(state)
}
