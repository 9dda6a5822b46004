//! Checkpoints of the write-ahead log (WAL) on a thread of their own, while the engine goes on.
//!
//! A checkpoint copies thousands of pages and syncs twice, which takes tens of milliseconds. So it runs on a thread
//! with its own connection, while the engine continues. Pages that are committed meanwhile are copied in further,
//! shorter rounds. The engine copies the few that remain between two commits, and the next commit restarts the log.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::log_state::LogState;

/// How many pages may remain for the engine to copy.
const MAX_REMAINING_PAGES: u32 = 1_000;

/// The maximum number of rounds. The engine does not write faster than this copies.
const MAX_ROUNDS: u32 = 6;

/// The checkpoint running next to an engine, if there is one.
#[derive(Debug, Default)]
pub(super) struct Checkpoint(RefCell<Option<JoinHandle<()>>>);

/// The state of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckpointState {
    /// No checkpoint is running.
    Idle,
    /// A checkpoint is running.
    Running,
    /// A checkpoint has ended since the last call, and left some pages.
    Finished,
}

impl Checkpoint {
    /// Starts a checkpoint; returns whether that was possible.
    pub(super) fn begin(&self, path: &str, log: Arc<LogState>) -> bool {
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            if let Err(error) = rounds(Path::new(&path), &log) {
                // The commits are just as safe in the log. The next attempt follows a later commit or the next start.
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            }
        });
        match thread {
            Ok(thread) => self.0.replace(Some(thread)).is_none(),
            Err(_) => false,
        }
    }

    pub(super) fn state(&self) -> CheckpointState {
        let mut thread = self.0.borrow_mut();
        match thread.take_if(|thread| thread.is_finished()) {
            Some(_) => CheckpointState::Finished,
            None if thread.is_some() => CheckpointState::Running,
            None => CheckpointState::Idle,
        }
    }

    /// Waits for the running checkpoint.
    pub(super) fn wait(&self) {
        if let Some(thread) = self.0.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // After the database is closed, nothing may write to its files.
        self.wait();
    }
}

/// Copies the log, then what was committed meanwhile, until little is left or a reader prevents progress.
fn rounds(path: &Path, log: &LogState) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut moved_before = 0;
    for _ in 0..MAX_ROUNDS {
        let moved: u32 = connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2))
            .map(|moved| u32::try_from(moved).unwrap_or_default())?;
        if moved <= moved_before || log.pages().saturating_sub(moved) <= MAX_REMAINING_PAGES {
            break;
        }
        moved_before = moved;
    }
    Ok(())
}
