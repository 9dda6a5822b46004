//! SQLite's write-ahead log (WAL): when it is synced to the disk, and when it is copied into the database file.
//!
//! With `synchronous=FULL`, a commit returns once SQLite has synced the log to the disk. To work on meanwhile, an
//! engine can [take over this wait](Sqlite::commit_ahead): SQLite then runs with `synchronous=NORMAL`, and a commit is
//! as durable as before once [`WriteAheadLog::sync`] has been called after it and has succeeded:
//!
//! - In both modes a commit only appends frames to the log file. When the log restarts, a new header is synced before
//!   the first frame is written (`walFrames`, `syncHeader`), together with the directory entry of a newly created
//!   file. The only difference is the sync that `FULL` adds after the last frame. `WriteAheadLog::sync` is that sync
//!   of the same file, only later. (`FULL` also pads the last sector on devices where a power failure can damage
//!   neighbouring data; SQLite assumes no such file system here.)
//! - In both modes a checkpoint syncs the log before it copies pages, and syncs the database file before the log may
//!   restart. So frames that are not synced yet are never overwritten while they are the only copy.
//! - SQLite creates the log file when it first reads the database and deletes it only with the last connection. So the
//!   file opened here remains the one that is written as long as this connection lives.
//! - Closing a file drops all of the process's locks on it. SQLite locks the database file and the `-shm` file, but
//!   never the log.
//! - A file descriptor reports every failed write since it was opened, so one is kept open, rather than opened for
//!   each sync.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::port::sql::SqlError;

use super::checkpoint::CheckpointState;
use super::log_state::{CHECKPOINT_PAGES, RESTART_PAGES};
use super::{BUSY_TIMEOUT, Durability, OpenError, Sqlite};

/// How long to wait for readers, per [`CHECKPOINT_PAGES`] of the log. Nothing is written meanwhile.
const RESTART_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a single attempt waits.
const RESTART_ATTEMPT: Duration = Duration::from_millis(50);

/// The file with the commits that are not in the database file yet.
pub(in crate::native) struct WriteAheadLog(File);

impl WriteAheadLog {
    /// Syncs all earlier commits to the disk.
    pub(in crate::native) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Sqlite {
    /// From now on, a commit survives only the end of the process until the returned log has been synced, and
    /// checkpoints happen only in [`checkpoint_if_due`](Self::checkpoint_if_due). `None` if commits were not more
    /// durable than that before.
    pub(in crate::native) fn commit_ahead(&self) -> io::Result<Option<WriteAheadLog>> {
        self.log.between_commits.store(true, Ordering::Relaxed);
        let (Some(path), true) = (self.connection.path().filter(|path| !path.is_empty()), self.syncs()?)
        else {
            return Ok(None);
        };
        // SQLite creates the file at the first read.
        self.connection
            .query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))
            .map_err(io::Error::other)?;
        let file = File::options().read(true).write(true).open(PathBuf::from(format!("{path}-wal")))?;
        self.own(|connection| connection.pragma_update(None, "synchronous", "NORMAL"))
            .map_err(io::Error::other)?;
        Ok(Some(WriteAheadLog(file)))
    }

    /// Whether commits wait for the disk.
    fn syncs(&self) -> io::Result<bool> {
        const FULL: i64 = 2;
        let level: i64 = self
            .own(|connection| connection.pragma_query_value(None, "synchronous", |row| row.get(0)))
            .map_err(io::Error::other)?;
        Ok(level >= FULL)
    }

    /// Whether anything was written since the last call.
    pub(in crate::native) fn take_written(&self) -> bool {
        self.log.written.swap(false, Ordering::Relaxed)
    }

    /// Starts a checkpoint if the log is long, and restarts the log if it is very long. Must be called after each
    /// commit; nearly all of the work is done on another thread. While there is little to do (`calm`), it happens
    /// earlier.
    pub(in crate::native) fn checkpoint_if_due(&self, calm: bool) {
        match self.checkpoint.state() {
            CheckpointState::Running if self.log.pages() < RESTART_PAGES => return,
            CheckpointState::Running | CheckpointState::Finished => {
                self.checkpoint.wait();
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
                return;
            }
            CheckpointState::Idle => {}
        }
        let Some(pages) = self.log.take_due(calm) else { return };
        if pages < RESTART_PAGES {
            let path = self.connection.path().filter(|path| !path.is_empty());
            if !path.is_some_and(|path| self.checkpoint.begin(path, Arc::clone(&self.log))) {
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            }
            return;
        }
        let timeout = RESTART_TIMEOUT.saturating_mul(pages / CHECKPOINT_PAGES).min(BUSY_TIMEOUT);
        match self.restart_log(timeout) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(pages, "the write-ahead log grows because of a long-running reader");
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be copied into the database");
            }
        }
    }

    /// Copies the whole log and restarts it; returns whether its readers have finished in time.
    ///
    /// A reader that starts after everything was copied does not need the log, so this waits only for current readers.
    /// (`RESTART` would leave the restart to the next commit, which a reader can prevent.) But SQLite waits for the
    /// log position at which it found a reader, even if other readers have taken that position since, which do not
    /// matter. So it is made to look repeatedly.
    fn restart_log(&self, timeout: Duration) -> Result<bool, SqlError> {
        let (began, waits) = (Instant::now(), |time| self.own(|connection| connection.busy_timeout(time)));
        waits(RESTART_ATTEMPT)?;
        let mut is_done = self.try_checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        while is_done == Ok(false) && began.elapsed() < timeout {
            is_done = self.try_checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        waits(BUSY_TIMEOUT)?;
        is_done
    }

    /// Copies the whole log into the database, so that the file is complete by itself. SQLite does this when the last
    /// connection is closed, unless that one is read-only. If others are still reading, it may not succeed.
    pub(in crate::native) fn empty_log(&self) {
        self.checkpoint.wait();
        if !self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!("the write-ahead log is still being read");
        }
    }

    /// Copies what remains in a database's log into its file after everybody has closed it: if the last one was a
    /// read-only connection, it has left the log.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn empty_abandoned_log(path: &Path, durability: Durability) -> Result<(), OpenError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            Self::open(path, durability)?.empty_log();
        }
        Ok(())
    }

    /// Runs a checkpoint; returns whether it was completed.
    fn checkpoint(&self, statement: &str) -> bool {
        self.try_checkpoint(statement).unwrap_or_else(|error| {
            // The commits are just as safe in the log. The next attempt follows a later commit or the next start.
            tracing::warn!(%error, "the write-ahead log could not be copied into the database");
            false
        })
    }

    fn try_checkpoint(&self, statement: &str) -> Result<bool, SqlError> {
        self.own(|connection| connection.query_row(statement, (), |row| row.get::<_, i64>(0)))
            .map(|busy| busy == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::native::sqlite::log_state::{CALM_PAGES, CHECKPOINT_PAGES, LogState, RESTART_PAGES};
    use crate::native::{Durability, Sqlite};
    use crate::port::sql::{Sql, values};

    fn open(folder: &Path, durability: Durability) -> Sqlite {
        let sqlite = Sqlite::open(&folder.join("test.sqlite"), durability).unwrap();
        sqlite.batch("CREATE TABLE IF NOT EXISTS t (i INTEGER, text TEXT) STRICT").unwrap();
        sqlite
    }

    #[test]
    fn takes_over_the_wait_for_the_disk_where_there_was_one() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = open(folder.path(), Durability::Full);
        assert!(sqlite.syncs().unwrap());
        let log = sqlite.commit_ahead().unwrap().unwrap();
        assert!(!sqlite.syncs().unwrap());
        sqlite.execute("INSERT INTO t VALUES (1, '')", &[]).unwrap();
        log.sync().unwrap();
        let length = log.0.metadata().unwrap().len();
        assert!(length > 4_096, "it is the file that SQLite writes: {length}");

        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path(), Durability::Process).commit_ahead().unwrap().is_none());
        assert!(Sqlite::in_memory().unwrap().commit_ahead().unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn finds_the_log_of_a_database_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), Durability::Full));
        let link = folder.path().join("link.sqlite");
        std::os::unix::fs::symlink(folder.path().join("test.sqlite"), &link).unwrap();
        let sqlite = Sqlite::open(&link, Durability::Full).unwrap();
        let log = sqlite.commit_ahead().unwrap().unwrap();
        sqlite.execute("INSERT INTO t VALUES (1, '')", &[]).unwrap();
        assert!(log.0.metadata().unwrap().len() > 4_096);
    }

    #[test]
    fn knows_whether_a_commit_wrote_anything() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = open(folder.path(), Durability::Full);
        assert!(sqlite.take_written());
        sqlite.transaction(|| sqlite.first::<(i64,)>("SELECT i FROM t", &[])).unwrap();
        assert!(!sqlite.take_written());
        sqlite.transaction(|| sqlite.execute("DELETE FROM t", &[])).unwrap();
        sqlite.transaction(|| sqlite.execute("INSERT INTO t VALUES (1, '')", &[])).unwrap();
        assert!(sqlite.take_written());
        sqlite.batch("CREATE TABLE u (i INTEGER) STRICT").unwrap();
        assert!(sqlite.take_written(), "also what is no row");
    }

    #[test]
    fn leaves_a_whole_file_behind_also_when_it_is_still_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = open(folder.path(), Durability::Full);
        let path = folder.path().join("test.sqlite");
        let reader = Sqlite::open_read_only(&path).unwrap();
        sqlite.execute("INSERT INTO t VALUES (7, '')", &[]).unwrap();
        assert_eq!(reader.first::<(i64,)>("SELECT i FROM t", &[]).unwrap(), Some((7,)));
        sqlite.empty_log();
        drop(sqlite);
        let copy = folder.path().join("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        let copy = Sqlite::open(&copy, Durability::Full).unwrap();
        assert_eq!(copy.first::<(i64,)>("SELECT i FROM t", &[]).unwrap(), Some((7,)));
    }

    #[test]
    fn the_log_does_not_grow_for_ever() {
        for between_commits in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let sqlite = open(folder.path(), Durability::Process);
            if between_commits {
                sqlite.commit_ahead().unwrap();
            }
            let text = "x".repeat(1_900_000);
            let (mut longest, mut restarted) = (0, false);
            // Three times as many pages as between two checkpoints, or more if those take long.
            for number in 0..500_i64 {
                sqlite.execute("INSERT INTO t VALUES (?, ?)", values![number, &*text]).unwrap();
                sqlite.checkpoint_if_due(false);
                restarted |= sqlite.log.pages() < longest;
                longest = longest.max(sqlite.log.pages());
                if restarted && number > 20 {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            assert!(restarted && longest < RESTART_PAGES + CHECKPOINT_PAGES, "{longest}");
            sqlite.empty_log();
            let log = std::fs::metadata(folder.path().join("test.sqlite-wal")).unwrap().len();
            assert_eq!(log, 0);
            assert_eq!(
                sqlite.first::<(bool,)>("SELECT max(i) + 1 = count(*) FROM t", &[]).unwrap(),
                Some((true,))
            );
        }
    }

    /// Reads on two connections alternately, so that at any time one of them is reading.
    fn read_without_a_gap(path: &Path, ended: &std::sync::atomic::AtomicBool) {
        let mut readers = [0, 1].map(|_| rusqlite::Connection::open(path).unwrap());
        let begin = "BEGIN; SELECT count(*) FROM t";
        readers[0].execute_batch(begin).unwrap();
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            readers[1].execute_batch(begin).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
            readers[0].execute_batch("COMMIT").unwrap();
            readers.swap(0, 1);
        }
    }

    #[test]
    fn the_log_does_not_grow_for_ever_where_somebody_always_reads() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = open(folder.path(), Durability::Process);
        sqlite.commit_ahead().unwrap();
        let path = folder.path().join("test.sqlite");
        let ended = std::sync::atomic::AtomicBool::new(false);
        let (text, mut longest) = ("x".repeat(1_900_000), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| read_without_a_gap(&path, &ended));
            // Nine times as many pages as between two checkpoints.
            for number in 0..40_i64 {
                sqlite.execute("INSERT INTO t VALUES (?, ?)", values![number, &*text]).unwrap();
                let length = std::fs::metadata(folder.path().join("test.sqlite-wal")).unwrap().len();
                longest = longest.max(length);
                sqlite.checkpoint_if_due(false);
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(longest < 4_120 * u64::from(RESTART_PAGES + 2 * CHECKPOINT_PAGES), "{longest}");
        assert!(sqlite.log.pages.load(std::sync::atomic::Ordering::Relaxed) < RESTART_PAGES, "it restarted");
    }

    #[test]
    fn a_checkpoint_that_was_kept_from_finishing_is_not_repeated_at_once() {
        let log = LogState::new();
        log.grew(CHECKPOINT_PAGES - 1);
        assert_eq!(log.take_due(false), None);
        log.grew(CHECKPOINT_PAGES);
        assert_eq!(log.take_due(false), Some(CHECKPOINT_PAGES));
        log.grew(2 * CHECKPOINT_PAGES - 1);
        assert_eq!(log.take_due(false), None);
        log.grew(2 * CHECKPOINT_PAGES);
        assert!(log.take_due(false).is_some());
        log.grew(10);
        log.grew(CHECKPOINT_PAGES);
        assert!(log.take_due(false).is_some(), "a log that was restarted");
    }

    #[test]
    fn a_checkpoint_comes_earlier_while_there_is_little_to_do() {
        let log = LogState::new();
        log.grew(CALM_PAGES);
        assert_eq!(log.take_due(false), None);
        assert_eq!(log.take_due(true), Some(CALM_PAGES));
        assert_eq!(log.take_due(true), None);
    }

    #[test]
    fn empties_the_log_that_readers_kept_from_being_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let sqlite = open(folder.path(), Durability::Full);
        let reader = Sqlite::open_read_only(&path).unwrap();
        sqlite.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        let read = reader.transaction(|| {
            assert_eq!(reader.first::<(i64,)>("SELECT i FROM t", &[])?, None);
            sqlite.execute("INSERT INTO t VALUES (7, '')", &[])?;
            sqlite.empty_log();
            Ok::<_, crate::port::sql::SqlError>(())
        });
        read.unwrap();
        drop(sqlite);
        drop(reader);
        let log = folder.path().join("test.sqlite-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        Sqlite::empty_abandoned_log(&path, Durability::Full).unwrap();
        assert!(std::fs::metadata(&log).map_or(0, |log| log.len()) == 0);
    }
}
