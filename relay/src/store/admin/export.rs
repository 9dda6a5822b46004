//! All events, page by page.

use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::sql::{Sql, SqlError, values};

use crate::store::Store;
use crate::store::read::select::NOT_VANISHING;

impl<S: Sql> Store<S> {
    /// The stored events after a row key, the oldest first, each with its row key. The next page begins after the last
    /// one; the first page is the one after 0.
    ///
    /// An event that arrives between two pages is in a later page if it is newer than the last event read.
    ///
    /// # Errors
    /// When the database fails.
    pub fn export(&self, after: u64, at_most: u32) -> Result<Vec<(u64, Arc<str>)>, SqlError> {
        let statement = format!(
            "SELECT e.seq, e.json FROM event AS e WHERE e.seq > ? {NOT_VANISHING} ORDER BY e.seq LIMIT ?"
        );
        let mut page = Vec::new();
        self.sql.query(&statement, values![after, at_most], &mut |row| {
            page.push((row.column(0)?, row.column::<&str>(1)?.into()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }
}
