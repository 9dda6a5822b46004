//! Checkpoints of the write-ahead log (WAL) on a thread of their own, while the engine goes on.
//!
//! A checkpoint copies thousands of pages and waits for the disk twice: tens of milliseconds, in which an engine could do
//! nothing else. So a thread with its own connection makes it. What the engine commits meanwhile is copied in another
//! round, which has less to do, and the few pages that are left then are copied by the engine between two commits, after
//! which the next commit restarts the log.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::log_state::LogState;

/// How many pages are left for the engine to copy at most.
const FEW_PAGES: u32 = 1_000;

/// How many rounds there are at most. The engine does not write faster than this copies.
const MAX_ROUNDS: u32 = 6;

/// The checkpoint that is running beside an engine, if there is one.
#[derive(Debug, Default)]
pub(super) struct Checkpoint(RefCell<Option<JoinHandle<()>>>);

/// The state of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// None is running.
    Not,
    /// One is running.
    On,
    /// One has ended since this was asked last, and left some pages.
    Ended,
}

impl Checkpoint {
    /// Starts one, and returns whether that was possible.
    pub(super) fn begin(&self, path: &str, log: Arc<LogState>) -> bool {
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            if let Err(error) = rounds(Path::new(&path), &log) {
                // Commits are as safe in the log; it is tried again after a later one, or at the next start.
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            }
        });
        match thread {
            Ok(thread) => self.0.replace(Some(thread)).is_none(),
            Err(_) => false,
        }
    }

    pub(super) fn going(&self) -> Going {
        let mut thread = self.0.borrow_mut();
        match thread.take_if(|thread| thread.is_finished()) {
            Some(_) => Going::Ended,
            None if thread.is_some() => Going::On,
            None => Going::Not,
        }
    }

    /// Waits for the end of the one that is running.
    pub(super) fn wait(&self) {
        if let Some(thread) = self.0.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // Nothing writes to the files of a database that was closed.
        self.wait();
    }
}

/// Copies what is in the log, then what was committed meanwhile, until little is left or a reader still needs the log.
fn rounds(path: &Path, log: &LogState) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut moved_before = 0;
    for _ in 0..MAX_ROUNDS {
        let moved: u32 = connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2))
            .map(|moved| u32::try_from(moved).unwrap_or_default())?;
        if moved <= moved_before || log.pages().saturating_sub(moved) <= FEW_PAGES {
            break;
        }
        moved_before = moved;
    }
    Ok(())
}
