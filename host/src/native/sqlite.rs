//! The SQL port on an SQLite file, with the restrictions of a Durable Object's database.

mod checkpoint;
mod log;
mod log_state;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};

use crate::native::owner_only;
use crate::port::sql::{Columns, MAX_INTEGER, NextRow, Row, Sql, SqlError, Value};

use self::checkpoint::Checkpoint;
use self::log_state::LogState;

/// What a commit survives. In any case, the file is intact after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power failure: the data is on the disk.
    #[default]
    Full,
    /// The end of the process, however sudden. Faster, but a power failure may lose the latest commits.
    Process,
}

/// Why a database file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("cannot open the database {path}: {error}", path = path.display())]
pub struct OpenError {
    /// The database file.
    path: PathBuf,
    /// SQLite's error.
    error: rusqlite::Error,
}

/// The writer's page cache, in KiB. Rows are keyed by hashes, so writes are scattered over the whole file.
const CACHE_KIB: i64 = 16 * 1024;

/// Each reader's page cache, in KiB.
const READER_CACHE_KIB: i64 = 512;

impl OpenError {
    pub(super) fn new(path: &Path, error: rusqlite::Error) -> Self {
        Self { path: path.to_owned(), error }
    }
}

/// The step limit that means no limit.
const UNLIMITED: u32 = u32::MAX;

/// How long a statement waits for a lock held by another process or connection.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open SQLite database. Clones share the connection, which stays on its thread.
#[derive(Clone)]
pub struct Sqlite {
    connection: Rc<Connection>,
    /// Set while this type itself begins or ends a transaction, which nothing else may do.
    own_statement: Arc<AtomicBool>,
    /// The current nesting depth of transactions.
    depth: Rc<AtomicU32>,
    log: Arc<LogState>,
    checkpoint: Rc<Checkpoint>,
    /// How many thousand steps of SQLite's virtual machine are left for reading.
    steps: Arc<AtomicU32>,
    /// How many thousand steps were taken since the database was opened.
    taken: Arc<AtomicU64>,
}

impl Sqlite {
    /// Opens or creates the file, in WAL mode. Only its owner may read it, also if others could before.
    ///
    /// # Errors
    /// When the file cannot be created, read or written, or is not an SQLite database.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        restrict_files(path);
        Connection::open(path)
            .and_then(|connection| Self::configure(connection, durability))
            .map_err(|error| OpenError::new(path, error))
    }

    /// Opens a file read-only, even while another process writes to it.
    ///
    /// # Errors
    /// When the file does not exist, cannot be read, or is not an SQLite database.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags)
            .and_then(|connection| Self::configure(connection, Durability::Process))
            .map_err(|error| OpenError::new(path, error))
    }

    /// A database in memory, for tests.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn in_memory() -> Result<Self, OpenError> {
        Connection::open_in_memory()
            .and_then(|connection| Self::configure(connection, Durability::Process))
            .map_err(|error| OpenError { path: ":memory:".into(), error })
    }

    fn configure(mut connection: Connection, durability: Durability) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if connection.is_readonly("main")? {
            // There may be several readers, and the operating system's cache is shared by all of them.
            connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        } else {
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
        }
        // Without this, SQLite prepares some statements again for each bound value.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(
            None,
            "synchronous",
            match durability {
                Durability::Full => "FULL",
                Durability::Process => "NORMAL",
            },
        )?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.set_prepared_statement_cache_capacity(128);
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000),
            (Limit::SQLITE_LIMIT_LENGTH, 2_000_000),
            (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
            (Limit::SQLITE_LIMIT_COLUMN, 100),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        let log = log_state::watch(&mut connection)?;
        let own_statement = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&own_statement);
        let steps = Arc::new(AtomicU32::new(UNLIMITED));
        let taken = Arc::<AtomicU64>::default();
        let (left, count) = (Arc::clone(&steps), Arc::clone(&taken));
        connection.progress_handler(
            1_000,
            Some(move || {
                count.fetch_add(1, Ordering::Relaxed);
                take_step(&left)
            }),
        )?;
        connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&context.action, &own)))?;
        Ok(Self {
            connection: Rc::new(connection),
            own_statement,
            depth: Rc::default(),
            log,
            checkpoint: Rc::default(),
            steps,
            taken,
        })
    }

    fn transaction_statement(&self, statement: &str) -> Result<(), SqlError> {
        self.own(|connection| connection.prepare_cached(statement)?.execute(())).map(drop)
    }

    /// Runs work that the authorizer allows only to this type.
    fn own<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, SqlError> {
        self.own_statement.store(true, Ordering::Relaxed);
        let done = work(&self.connection);
        self.own_statement.store(false, Ordering::Relaxed);
        done.map_err(statement_error)
    }
}

impl Sql for Sqlite {
    const CAN_LIMIT: bool = true;

    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<(), SqlError> {
        let mut statement = self.connection.prepare_cached(statement).map_err(statement_error)?;
        for (index, value) in (1_usize..).zip(values) {
            if let Value::Integer(integer) = value
                && !(-MAX_INTEGER..=MAX_INTEGER).contains(integer)
            {
                return Err(SqlError::IntegerRange(*integer));
            }
            statement.raw_bind_parameter(index, Bound(*value)).map_err(statement_error)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(statement_error)? {
            if each(&Row::new(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn batch(&self, statements: &str) -> Result<(), SqlError> {
        self.connection.execute_batch(statements).map_err(statement_error)
    }

    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let (begin, commit) = match self.depth.load(Ordering::Relaxed) {
            // A read-only connection sees a snapshot from here on, and waits for nobody.
            0 if self.connection.is_readonly("main").unwrap_or(false) => ("BEGIN", "COMMIT"),
            0 => ("BEGIN IMMEDIATE", "COMMIT"),
            _ => ("SAVEPOINT inner_transaction", "RELEASE inner_transaction"),
        };
        self.transaction_statement(begin)?;
        let open = OpenTransaction::of(self);
        let value = body()?;
        self.transaction_statement(commit)?;
        open.committed();
        Ok(value)
    }

    fn limited<T, E: From<SqlError>>(
        &self,
        thousand_steps: u32,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.steps.store(thousand_steps, Ordering::Relaxed);
        let _limited = Limited(&self.steps);
        body()
    }

    /// Computed from SQLite's steps, by the thousand: statements that take fewer count as nothing.
    fn metered<T>(&self, body: impl FnOnce() -> T) -> (T, u64) {
        let before = self.taken.load(Ordering::Relaxed);
        let value = body();
        let kilosteps = self.taken.load(Ordering::Relaxed).saturating_sub(before);
        (value, kilosteps.saturating_mul(ROWS_PER_KILOSTEP))
    }

    fn is_limited(&self) -> bool {
        self.steps.load(Ordering::Relaxed) != UNLIMITED
    }
}

/// Makes a database and the files beside it readable to their owner only. A missing database is created empty for this:
/// SQLite would let everybody read it. Files that SQLite creates beside it get the same rights as the database.
fn restrict_files(path: &Path) {
    // If it cannot be created, SQLite says why.
    let _ = owner_only::open_file(OpenOptions::new().create_new(true).write(true), path);
    // The other files are beside the target of a symbolic link.
    let Ok(path) = path.canonicalize() else { return };
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        owner_only::restrict(Path::new(&file));
    }
}

/// How many rows are read in a thousand steps of SQLite's virtual machine: each takes about thirty.
const ROWS_PER_KILOSTEP: u64 = 32;

/// Counts a thousand steps; returns whether the limit is reached.
fn take_step(left: &AtomicU32) -> bool {
    match left.load(Ordering::Relaxed) {
        UNLIMITED => false,
        0 => true,
        steps => {
            left.store(steps.saturating_sub(1), Ordering::Relaxed);
            false
        }
    }
}

/// Removes a step limit when dropped, even after a panic.
struct Limited<'a>(&'a AtomicU32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }
}

/// Rolls back its transaction when dropped unless it was committed, even after a panic.
struct OpenTransaction<'a> {
    sqlite: &'a Sqlite,
    committed: bool,
}

impl<'a> OpenTransaction<'a> {
    fn of(sqlite: &'a Sqlite) -> Self {
        sqlite.depth.fetch_add(1, Ordering::Relaxed);
        Self { sqlite, committed: false }
    }

    fn committed(mut self) {
        self.committed = true;
    }
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        let outer = self.sqlite.depth.fetch_sub(1, Ordering::Relaxed) == 1;
        if !self.committed {
            // SQLite may have rolled back already (for example when the disk is full).
            let _ = if outer {
                self.sqlite.transaction_statement("ROLLBACK")
            } else {
                self.sqlite
                    .transaction_statement("ROLLBACK TO inner_transaction")
                    .and_then(|()| self.sqlite.transaction_statement("RELEASE inner_transaction"))
            };
        }
    }
}

/// Refuses everything that a Durable Object's SQL refuses.
fn authorize(action: &AuthAction<'_>, own_statement: &AtomicBool) -> Authorization {
    const PRAGMAS: [&str; 9] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_info",
        "index_list",
        "foreign_keys",
        "data_version",
        "optimize",
        "case_sensitive_like",
    ];
    let allowed = match action {
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            own_statement.load(Ordering::Relaxed)
        }
        AuthAction::Pragma { pragma_name, .. } => {
            PRAGMAS.contains(pragma_name) || own_statement.load(Ordering::Relaxed)
        }
        AuthAction::Function { function_name } => *function_name != "sqlite_version",
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => false,
        _ => true,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// Binds a value as a Durable Object does, with numbers as reals.
struct Bound<'a>(Value<'a>);

impl ToSql for Bound<'_> {
    #[expect(clippy::cast_precision_loss, reason = "checked to be within ±2^53")]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(rusqlite::types::Value::Null),
            Value::Integer(integer) => ToSqlOutput::Owned(rusqlite::types::Value::Real(integer as f64)),
            Value::Real(real) => ToSqlOutput::Owned(rusqlite::types::Value::Real(real)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl Columns for rusqlite::Row<'_> {
    fn count(&self) -> usize {
        self.as_ref().column_count()
    }

    fn value(&self, index: usize) -> Result<Value<'_>, SqlError> {
        Ok(match self.get_ref(index) {
            Err(rusqlite::Error::InvalidColumnIndex(_)) | Ok(ValueRef::Null) => Value::Null,
            Err(error) => return Err(statement_error(error)),
            Ok(ValueRef::Integer(integer)) => Value::Integer(integer),
            Ok(ValueRef::Real(real)) => Value::Real(real),
            Ok(ValueRef::Text(text)) => Value::Text(
                std::str::from_utf8(text).map_err(|error| SqlError::Statement(error.to_string()))?,
            ),
            Ok(ValueRef::Blob(bytes)) => Value::Blob(bytes),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub(super) fn statement_error(error: rusqlite::Error) -> SqlError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => SqlError::Interrupted,
        _ => SqlError::Statement(error.to_string()),
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.connection.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Durability, Sqlite};
    use crate::port::sql::{Sql, SqlError, conformance, values};

    conformance::stamp!({
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("test.sqlite"), Durability::Full).unwrap();
        (folder, sqlite)
    });

    #[test]
    fn undoes_a_transaction_whose_body_panics() {
        let sqlite = Sqlite::in_memory().unwrap();
        sqlite.batch("CREATE TABLE t (i INTEGER) STRICT").unwrap();
        let shared = std::panic::AssertUnwindSafe(&sqlite);
        std::panic::catch_unwind(|| {
            let _: Result<(), SqlError> = shared.transaction(|| {
                shared.execute("INSERT INTO t VALUES (1)", &[])?;
                panic!("in the middle");
            });
        })
        .unwrap_err();
        assert_eq!(sqlite.first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), Some((0,)));
        sqlite.transaction(|| sqlite.execute("INSERT INTO t VALUES (?)", values![2_i64])).unwrap();
    }

    #[test]
    fn reads_beside_a_writer_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        assert!(Sqlite::open_read_only(&path).is_err() && !path.exists());
        let writer = Sqlite::open(&path, Durability::Full).unwrap();
        writer.batch("CREATE TABLE t (i INTEGER) STRICT; INSERT INTO t VALUES (1)").unwrap();
        let reader = Sqlite::open_read_only(&path).unwrap();
        assert_eq!(reader.first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), Some((1,)));
        writer.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
        assert_eq!(reader.first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), Some((2,)));
        reader.batch("CREATE TABLE IF NOT EXISTS t (i INTEGER) STRICT").unwrap();
        assert!(reader.execute("INSERT INTO t VALUES (3)", &[]).is_err());
        // A transaction sees a snapshot.
        let seen: Result<_, SqlError> = reader.transaction(|| {
            let before = reader.first::<(i64,)>("SELECT count(*) FROM t", &[])?;
            writer.execute("INSERT INTO t VALUES (4)", &[])?;
            Ok((before, reader.first::<(i64,)>("SELECT count(*) FROM t", &[])?))
        });
        assert_eq!(seen.unwrap(), (Some((2,)), Some((2,))));

        // A database that was never in WAL mode can be read as well.
        let other = folder.path().join("other.sqlite");
        super::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (i INTEGER)").unwrap();
        assert!(Sqlite::open_read_only(&other).is_ok());
    }

    #[test]
    fn ends_a_read_that_takes_too_many_steps_and_nothing_else() {
        let sqlite = Sqlite::in_memory().unwrap();
        sqlite.batch("CREATE TABLE t (i INTEGER) STRICT").unwrap();
        let count = |to: i64| {
            sqlite.first::<(i64,)>(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n",
                values![to],
            )
        };
        let read: Result<(), SqlError> = sqlite.transaction(|| {
            sqlite.execute("INSERT INTO t VALUES (1)", &[])?;
            assert_eq!(sqlite.limited(5, || count(10)), Ok(Some((10,))));
            assert!(!sqlite.is_limited() && sqlite.limited(5, || Ok::<_, SqlError>(sqlite.is_limited()))?);
            assert_eq!(sqlite.limited(5, || count(100_000)), Err(SqlError::Interrupted));
            let (interrupted, rows) = sqlite.metered(|| sqlite.limited(5, || count(100_000)));
            assert_eq!((interrupted, rows), (Err(SqlError::Interrupted), 6 * super::ROWS_PER_KILOSTEP));
            assert!(sqlite.metered(|| count(100_000)).1 > 100);
            assert_eq!(count(100_000), Ok(Some((100_000,))));
            Ok(())
        });
        read.unwrap();
        assert_eq!(sqlite.first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), Some((1,)));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_its_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let files = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let modes = || files().map(|file| file.metadata().unwrap().permissions().mode() & 0o777);
        let open = || {
            let sqlite = Sqlite::open(&path, Durability::Full).unwrap();
            sqlite
                .batch("CREATE TABLE IF NOT EXISTS t (i INTEGER) STRICT; INSERT INTO t VALUES (1)")
                .unwrap();
            assert_eq!(modes().collect::<Vec<_>>(), [0o600; 3], "the database, its log and the log's index");
            sqlite
        };
        let sqlite = open();
        // As earlier releases left them, and while the log is in use, so that it stays.
        files().for_each(|file| std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap());
        drop((open(), sqlite));
    }

    #[test]
    fn names_the_file_it_cannot_open() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("test.sqlite");
        let error = Sqlite::open(&missing, Durability::Full).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("unable to open"), "{error}");

        let text = folder.path().join("text.sqlite");
        std::fs::write(&text, "this is no database, whatever its name says".repeat(20)).unwrap();
        let error = Sqlite::open(&text, Durability::Full).unwrap_err().to_string();
        assert!(error.contains("not a database"), "{error}");
    }
}
