//! Maintenance of a whole SQLite file, which the SQL port does not allow: sizes, integrity check, compaction.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::sqlite::{OpenError, statement_error};
use crate::port::sql::SqlError;

/// An SQLite file opened for maintenance.
#[derive(Debug)]
pub struct Maintenance {
    connection: Connection,
    path: PathBuf,
}

/// The sizes of a database's files and tables, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSizes {
    /// The pages of the database, in its file or in the write-ahead log.
    pub database: u64,
    /// Free space for new rows within them.
    pub free: u64,
    /// The write-ahead log.
    pub log: u64,
    /// The tables and indexes, the largest first.
    pub parts: Vec<PartSize>,
}

/// The size of a table or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSize {
    /// The name of the table or index.
    pub name: String,
    /// The table itself, or the table that the index belongs to.
    pub table: String,
    /// The size of its pages, in bytes.
    pub bytes: u64,
}

impl PartSize {
    /// Whether this is an index.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.name != self.table
    }
}

impl Maintenance {
    /// Opens a file read-only. Another process may be writing to it: each method sees what was committed when it
    /// started.
    ///
    /// # Errors
    /// When the file does not exist or cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a file that is not open anywhere else.
    ///
    /// # Errors
    /// When the file does not exist or cannot be written.
    pub fn open_exclusive(path: &Path) -> Result<Self, OpenError> {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn open(path: &Path, access: OpenFlags) -> Result<Self, OpenError> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags)
            .and_then(|connection| connection.busy_timeout(super::sqlite::BUSY_TIMEOUT).map(|()| connection));
        match opened {
            Ok(connection) => Ok(Self { connection, path: path.to_owned() }),
            Err(error) => Err(OpenError::new(path, error)),
        }
    }

    /// The problems found by SQLite's `integrity_check`, at most `at_most`; empty if the file is sound, that is, if
    /// every page is in order, and every index agrees with its table.
    ///
    /// # Errors
    /// When the file is too damaged to be checked.
    pub fn problems(&self, at_most: u32) -> Result<Vec<String>, SqlError> {
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA integrity_check({at_most})"))
            .map_err(statement_error)?;
        let problems = statement.query_map((), |row| row.get::<_, String>(0)).map_err(statement_error)?;
        let problems: Vec<String> = problems.collect::<Result<_, _>>().map_err(statement_error)?;
        Ok(problems.into_iter().filter(|line| line != "ok").collect())
    }

    /// The sizes of the database's parts. Reads all of its pages.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sizes(&self) -> Result<FileSizes, SqlError> {
        let number = |pragma: &str| {
            let value: Result<i64, _> = self.connection.pragma_query_value(None, pragma, |row| row.get(0));
            value.map(|value| u64::try_from(value).unwrap_or_default()).map_err(statement_error)
        };
        let page = number("page_size")?;
        let mut statement = self
            .connection
            .prepare(
                "SELECT s.name, coalesce(m.tbl_name, s.name), s.pgsize FROM dbstat AS s
                 LEFT JOIN sqlite_schema AS m ON m.name = s.name
                 WHERE s.aggregate = TRUE ORDER BY s.pgsize DESC, s.name",
            )
            .map_err(statement_error)?;
        let parts = statement.query_map((), |row| {
            let bytes: i64 = row.get(2)?;
            Ok(PartSize {
                name: row.get(0)?,
                table: row.get(1)?,
                bytes: u64::try_from(bytes).unwrap_or_default(),
            })
        });
        let parts: Result<Vec<_>, _> = parts.and_then(Iterator::collect);
        Ok(FileSizes {
            database: number("page_count")?.saturating_mul(page),
            free: number("freelist_count")?.saturating_mul(page),
            log: std::fs::metadata(log_of(&self.path)).map_or(0, |log| log.len()),
            parts: parts.map_err(statement_error)?,
        })
    }

    /// Rewrites the database without gaps, and empties the write-ahead log. Needs as much free disk space as the
    /// database uses. If the process dies, the file is unchanged.
    ///
    /// # Errors
    /// When the disk is full, or the file is open elsewhere.
    pub fn compact(&self) -> Result<(), SqlError> {
        self.empty_log()?;
        self.connection.execute_batch("VACUUM").map_err(statement_error)?;
        self.empty_log()
    }

    /// Moves the content of the write-ahead log into the file.
    fn empty_log(&self) -> Result<(), SqlError> {
        let is_busy: Result<bool, _> =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
        match is_busy.map_err(statement_error)? {
            true => Err(SqlError::Statement("another process has the database open".to_owned())),
            false => Ok(()),
        }
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::Maintenance;
    use crate::native::{Durability, Sqlite};
    use crate::port::sql::{Sql, values};

    fn filled(folder: &tempfile::TempDir) -> (std::path::PathBuf, Sqlite) {
        let path = folder.path().join("test.sqlite");
        let sqlite = Sqlite::open(&path, Durability::Process).unwrap();
        sqlite.batch("CREATE TABLE t (i INTEGER, s TEXT) STRICT; CREATE INDEX by_s ON t (s)").unwrap();
        for i in 0..2_000_i64 {
            sqlite.execute("INSERT INTO t VALUES (?, ?)", values![i, &"x".repeat(200)]).unwrap();
        }
        (path, sqlite)
    }

    #[test]
    fn measures_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _open) = filled(&folder);
        let sizes = Maintenance::open_read_only(&path).unwrap().sizes().unwrap();
        let part = |name: &str| sizes.parts.iter().find(|part| part.name == name).unwrap();
        assert!(part("t").bytes > 400_000 && !part("t").is_index(), "{sizes:?}");
        assert!(part("by_s").bytes > 400_000 && part("by_s").table == "t", "{sizes:?}");
        assert!(sizes.database >= sizes.parts.iter().map(|part| part.bytes).sum() && sizes.log > 0);
    }

    #[test]
    fn gives_back_the_room_of_what_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sqlite) = filled(&folder);
        sqlite.execute("DELETE FROM t WHERE i >= 10", &[]).unwrap();
        drop(sqlite);
        let maintenance = Maintenance::open_exclusive(&path).unwrap();
        let before = maintenance.sizes().unwrap();
        assert!(before.free > 400_000, "{before:?}");
        maintenance.compact().unwrap();
        let after = maintenance.sizes().unwrap();
        assert!(after.free == 0 && after.database < before.database / 5 && after.log == 0, "{after:?}");
        let sqlite = Sqlite::open(&path, Durability::Full).unwrap();
        assert_eq!(sqlite.first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), Some((10,)));
    }

    #[test]
    fn does_not_compact_what_somebody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sqlite) = filled(&folder);
        let read: Result<(), crate::port::sql::SqlError> = sqlite.transaction(|| {
            sqlite.first::<(i64,)>("SELECT count(*) FROM t", &[])?;
            let maintenance = Maintenance::open_exclusive(&path).unwrap();
            maintenance.connection.busy_timeout(std::time::Duration::from_millis(10)).unwrap();
            assert!(maintenance.compact().is_err());
            Ok(())
        });
        read.unwrap();
    }

    #[test]
    fn finds_an_index_that_lacks_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sqlite) = filled(&folder);
        drop(sqlite);
        let maintenance = Maintenance::open_exclusive(&path).unwrap();
        assert_eq!(maintenance.problems(10).unwrap(), Vec::<String>::new());
        drop(maintenance);
        // Adds a row while the index is hidden.
        for step in [
            "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'by_s';
             PRAGMA writable_schema = ON;
             DELETE FROM sqlite_schema WHERE name = 'by_s'",
            "INSERT INTO t VALUES (-1, 'not in the index')",
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept",
        ] {
            Maintenance::open_exclusive(&path).unwrap().connection.execute_batch(step).unwrap();
        }
        let problems = Maintenance::open_read_only(&path).unwrap().problems(10).unwrap();
        assert!(problems.iter().any(|problem| problem.contains("by_s")), "{problems:?}");
    }

    #[test]
    fn makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.sqlite");
        assert!(
            Maintenance::open_read_only(&missing).is_err() && Maintenance::open_exclusive(&missing).is_err()
        );
        assert!(!missing.exists());
    }
}
