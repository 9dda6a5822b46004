//! How many events, tags and kinds are stored.

use openagents_host::Kind;
use openagents_host::sql::{Sql, SqlError, values};

use crate::store::Store;

/// What the store holds, counted by going through it: for operators, not for every minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreStatistics {
    /// How many events, those that are expired and not yet removed among them.
    pub events: u64,
    /// The most frequent kinds, with the number of their events.
    pub kinds: Vec<(Kind, u64)>,
    /// How many indexed tags.
    pub tags: u64,
    /// How long the JSON of all events is.
    pub bytes: u64,
    /// The second of the oldest event.
    pub oldest: Option<u64>,
    /// The second of the newest event.
    pub newest: Option<u64>,
    /// How many events have an end.
    pub expiring: u64,
    /// How many ids and addresses may not come back because their author had them deleted.
    pub deleted: u64,
    /// How many authors have vanished.
    pub vanished: u64,
}

impl<S: Sql> Store<S> {
    /// What is stored, with this many of the most frequent kinds.
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
