//! How many events, tags and kinds are stored.

use openagents_host::Kind;
use openagents_host::sql::{Sql, SqlError, values};

use crate::store::Store;

/// What the store contains. Computed by reading all of it, so not for frequent use.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreStatistics {
    /// The number of events, including expired ones that are not yet removed.
    pub events: u64,
    /// The most frequent kinds, each with its number of events.
    pub kinds: Vec<(Kind, u64)>,
    /// The number of indexed tags.
    pub tags: u64,
    /// The size of the JSON of all events, in bytes.
    pub bytes: u64,
    /// When the oldest event was created, in Unix seconds.
    pub oldest: Option<u64>,
    /// When the newest event was created, in Unix seconds.
    pub newest: Option<u64>,
    /// The number of events that expire.
    pub expiring: u64,
    /// The number of ids and addresses that were deleted by their author and are refused since.
    pub deleted: u64,
    /// The number of authors who have vanished.
    pub vanished: u64,
}

impl<S: Sql> Store<S> {
    /// Computes the statistics, with this many of the most frequent kinds.
    ///
    /// # Errors
    /// When the database fails.
    pub fn statistics(&self, kinds: u32) -> Result<StoreStatistics, SqlError> {
        let number = |statement: &str| -> Result<u64, SqlError> {
            Ok(self.sql.first::<(Option<u64>,)>(statement, &[])?.and_then(|(number,)| number).unwrap_or(0))
        };
        let range: Option<(Option<u64>, Option<u64>)> = self.sql.first(
            "SELECT (SELECT created_at FROM event ORDER BY seq LIMIT 1),
                    (SELECT created_at FROM event ORDER BY seq DESC LIMIT 1)",
            &[],
        )?;
        let (oldest, newest) = range.unwrap_or_default();
        let deleted = number("SELECT count(*) FROM deleted")?;
        Ok(StoreStatistics {
            events: number("SELECT count(*) FROM event")?,
            kinds: self.sql.rows(
                "SELECT kind, count(*) FROM event GROUP BY kind ORDER BY 2 DESC, 1 LIMIT ?",
                values![kinds],
            )?,
            tags: number("SELECT count(*) FROM tag")?,
            bytes: number("SELECT sum(octet_length(json)) FROM event")?,
            oldest,
            newest,
            expiring: number("SELECT count(*) FROM event WHERE expires_at IS NOT NULL")?,
            deleted: deleted.saturating_add(number("SELECT count(*) FROM deleted_address")?),
            vanished: number("SELECT count(*) FROM vanished")?,
        })
    }
}
