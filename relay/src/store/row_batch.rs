//! Reading rows until they reach a number of bytes.

use std::ops::ControlFlow;

use openagents_host::sql::{FromRow, Sql, SqlError, Value};

use super::Store;

/// How long the rows of a batch are together, in bytes, but for the last of them. A Durable Object has 128 MB, and five
/// hundred events can be more.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long a list that is bound as one value may get before it is written, in bytes: a value can have 2 MB.
pub(super) const MAX_LIST_BYTES: usize = 512 * 1024;

/// The first rows of a statement.
pub(super) struct RowBatch<T> {
    pub(super) rows: Vec<T>,
    /// There may be more: it ended because of its length.
    pub(super) is_cut: bool,
}

/// What a row weighs in a batch.
pub(super) trait RowLength {
    /// About how many bytes it has.
    fn length(&self) -> usize;
}

impl<S: Sql> Store<S> {
    /// The rows of a statement until they are long enough together. A statement that has to sort would hold them all
    /// before the first one comes.
    pub(super) fn batch<T: FromRow + RowLength>(
        &self,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<RowBatch<T>, SqlError> {
        let mut batch = RowBatch { rows: Vec::new(), is_cut: false };
        let mut left = MAX_BATCH_BYTES;
        self.sql.query(statement, values, &mut |row| {
            let row = T::from_row(row)?;
            left = left.saturating_sub(row.length());
            batch.rows.push(row);
            batch.is_cut = left == 0;
            Ok(if batch.is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(batch)
    }
}

/// A row key, or an id, and the JSON of the event.
impl<T> RowLength for (T, Option<String>) {
    fn length(&self) -> usize {
        self.1.as_ref().map_or(0, String::len)
    }
}

impl<T> RowLength for (T, String) {
    fn length(&self) -> usize {
        self.1.len()
    }
}

impl<T, U> RowLength for (T, U, Option<String>) {
    fn length(&self) -> usize {
        self.2.as_ref().map_or(0, String::len)
    }
}
