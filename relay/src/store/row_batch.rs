//! Reading rows in batches of limited size.

use std::ops::ControlFlow;

use openagents_host::sql::{FromRow, Sql, SqlError, Value};

use super::Store;

/// The size of a batch in bytes; the last row may exceed it. A Durable Object has 128 MB of memory, which five hundred
/// events can exceed.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long a list that is bound as one value may grow before it is written, in bytes. A value can have 2 MB.
pub(super) const MAX_LIST_BYTES: usize = 512 * 1024;

/// The first rows of a statement.
pub(super) struct RowBatch<T> {
    pub(super) rows: Vec<T>,
    /// Whether the size limit ended the batch, so there may be more rows.
    pub(super) is_cut: bool,
}

/// The size of a row in a batch.
pub(super) trait RowLength {
    /// Approximately how many bytes the row has.
    fn length(&self) -> usize;
}

impl<S: Sql> Store<S> {
    /// The rows of a statement, up to the size limit. A statement that has to sort would hold all rows in memory
    /// before the first one is returned.
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

/// A row key or an id, and the JSON of the event.
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
