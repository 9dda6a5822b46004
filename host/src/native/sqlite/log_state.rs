//! What SQLite reports about its write-ahead log (WAL), and from which length on there is a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rusqlite::Connection;

/// From this many pages on the log is moved into the database. More would spare writing pages that change often, at the
/// price of a larger file and a longer start after a crash.
pub(super) const CHECKPOINT_PAGES: u32 = if cfg!(test) { 2_000 } else { 16_000 };

/// The same while there is little to do: a log that is begun anew overwrites its file, which is brought to the disk in half
/// the time that a longer file is.
pub(super) const CALM_PAGES: u32 = CHECKPOINT_PAGES / 4;

/// From this many pages on readers are waited for, so that the log begins anew. It does so by itself only when a moment
/// comes in which nobody reads from it, which never comes where questions overlap.
pub(super) const RESTART_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// What SQLite has told about the log.
#[derive(Debug)]
pub(super) struct LogState {
    /// Its length after the last commit that wrote anything.
    pub(super) pages: AtomicU32,
    /// How long it was at the last checkpoint since it was begun.
    pub(super) checkpoint: AtomicU32,
    /// Whether a commit has written since that was asked last.
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
            // It was begun anew.
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

/// Watches a connection's log, in the place of SQLite's automatic checkpoints.
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
