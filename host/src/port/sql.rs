//! The SQL port: the dialect of a Durable Object's database on both hosts.
//!
//! It is synchronous on both hosts, so an engine calls it directly, and a transaction is a closure. The native
//! implementation also refuses what a Durable Object refuses (more than 100 values in a statement, rows beyond 2 MB,
//! `PRAGMA user_version`, `BEGIN`, …), so what works natively works when deployed. In a Durable Object, integers are
//! passed as JavaScript numbers: they are bound as reals on both hosts, are stored exactly in `INTEGER` columns of
//! `STRICT` tables, and are refused beyond ±2^53.

use std::ops::ControlFlow;

mod row;
mod schema;
mod written_table;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use row::{Column, Columns, FromRow, Row, Value};
pub use schema::{SchemaError, migrate};
pub use written_table::written_table;

/// The largest absolute value of an integer: JavaScript's largest safe one.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// SQLite's message: a constraint, a syntax error, a limit, a full disk.
    #[error("{0}")]
    Statement(String),
    /// An integer that could not be stored exactly.
    #[error("the integer {0} is beyond ±2^53 and would be rounded")]
    IntegerRange(i64),
    /// A column has a different type than expected.
    #[error("column {index} holds {found} where {expected} was expected")]
    Column {
        /// The index of the column, starting at 0.
        index: usize,
        /// The expected type.
        expected: &'static str,
        /// The actual type.
        found: &'static str,
    },
    /// Reading took more steps than [allowed](Sql::limited).
    #[error("reading takes too long")]
    Interrupted,
}

/// The return value of a row callback: continue, or stop reading.
pub type NextRow = Result<ControlFlow<()>, SqlError>;

/// A database. Clones share one connection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database",
    note = "the SQL port is implemented by `openagents_host::native::Sqlite` and `openagents_host::worker::DurableSql`"
)]
pub trait Sql: Clone + 'static {
    /// Whether reading can be [limited](Self::limited).
    const CAN_LIMIT: bool = false;

    /// Runs one statement with `values` for its `?`s, and calls `each` with its rows, one after the other.
    ///
    /// # Errors
    /// The error of the database or of `each`. Without a surrounding transaction, the statement's own writes may
    /// remain.
    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<(), SqlError>;

    /// Runs several statements without values and without result rows.
    ///
    /// # Errors
    /// At the first statement that fails; the effects of the earlier ones remain.
    fn batch(&self, statements: &str) -> Result<(), SqlError>;

    /// Runs `body` in a transaction: all of its writes are kept if it returns `Ok`, none if it returns `Err`.
    /// Transactions nest.
    ///
    /// # Errors
    /// The error of `body`, or that the transaction could not be started or committed.
    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E>;

    /// Runs `body` with a limit on reading. When its statements have taken about this many thousand steps of SQLite's
    /// virtual machine (ten or twenty per row that is read), the current one fails with [`SqlError::Interrupted`]. A
    /// Durable Object's database does not count steps, so nothing is interrupted there.
    ///
    /// # Errors
    /// The error of `body`.
    fn limited<T, E: From<SqlError>>(
        &self,
        thousand_steps: u32,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let _ = thousand_steps;
        body()
    }

    /// Runs `body` and also returns about how many rows its statements have read.
    fn metered<T>(&self, body: impl FnOnce() -> T) -> (T, u64);

    /// Whether reading is currently [limited](Self::limited), so that no other limit is needed.
    fn is_limited(&self) -> bool {
        false
    }

    /// Runs one statement and ignores its rows. To find out whether it changed anything, use `RETURNING`.
    ///
    /// # Errors
    /// The error of the database.
    fn execute(&self, statement: &str, values: &[Value<'_>]) -> Result<(), SqlError> {
        self.query(statement, values, &mut |_| Ok(ControlFlow::Continue(())))
    }

    /// All rows of a statement.
    ///
    /// # Errors
    /// The error of the database, or that a column has another type.
    fn rows<T: FromRow>(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<T>, SqlError> {
        let mut rows = Vec::new();
        self.query(statement, values, &mut |row| {
            rows.push(T::from_row(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The first row of a statement, if there is one.
    ///
    /// # Errors
    /// The error of the database, or that a column has another type.
    fn first<T: FromRow>(&self, statement: &str, values: &[Value<'_>]) -> Result<Option<T>, SqlError> {
        let mut first = None;
        self.query(statement, values, &mut |row| {
            first = Some(T::from_row(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }
}

/// The values of a statement, in the order of its `?`s.
///
/// ```
/// use openagents_host::sql::{Value, values};
///
/// assert_eq!(values![1_i64, "a", None::<&str>], &[Value::Integer(1), Value::Text("a"), Value::Null]);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __values {
    ($($value:expr),* $(,)?) => { &[$($crate::port::sql::Value::from($value)),*] };
}
#[doc(inline)]
pub use crate::__values as values;
