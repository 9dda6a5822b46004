//! Requests to vanish (NIP-62).

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{EventId, PublicKey, Timestamp, VerifiedEvent};

use crate::store::row_key::RowKey;
use crate::store::viewer::addressee_key;
use crate::store::{Insertion, Store};

impl<S: Sql> Store<S> {
    /// Stores a request to vanish that is meant for this relay, and does what it asks for, in one transaction: all
    /// events of its author up to its second are gone, deletion requests among them, and so are gift wraps for the
    /// author. None of them can come back; what was deleted before stays deleted. Newer events are welcome.
    ///
    /// Nobody sees them any more. To remove them, which can be many, is left to [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn vanish(&self, now: Timestamp, request: &VerifiedEvent) -> Result<Insertion, SqlError> {
        self.sql.transaction(|| {
            let insertion = self.insert(now, request)?;
            if insertion != Insertion::Inserted {
                return Ok(insertion);
            }
            let (author, until) = (&request.pubkey, request.created_at);
            self.sql.execute(
                "INSERT INTO vanished (pubkey, until, request) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET until = excluded.until, request = excluded.request",
                values![author, until, &request.id],
            )?;
            let key = addressee_key(author);
            let key = key.as_ref().map(|key| key.as_bytes()).unwrap_or_default();
            self.sql.execute(
                "INSERT INTO vanishing (pubkey, until, request, key) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET until = excluded.until, request = excluded.request",
                values![author, until, &request.id, key],
            )?;
            Ok(Insertion::Inserted)
        })
    }

    /// Whether events of somebody who has vanished are still to be removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_to_sweep(&self) -> Result<bool, SqlError> {
        Ok(self.sql.first::<(u64,)>("SELECT 1 FROM vanishing LIMIT 1", &[])?.is_some())
    }

    /// Removes events of those who have vanished, at most so many, and says how many.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn sweep(&self, at_most: u32) -> Result<u32, SqlError> {
        self.sql.transaction(|| {
            let mut left = at_most;
            while left > 0 {
                let next: Option<(PublicKey, u64, EventId, Vec<u8>)> =
                    self.sql.first("SELECT pubkey, until, request, key FROM vanishing LIMIT 1", &[])?;
                let Some((author, until, request, key)) = next else { break };
                let mut erased = self.erase_some(
                    "SELECT seq, json FROM event INDEXED BY event_by_author
                     WHERE pubkey = ? AND seq <= ? AND created_at <= ? AND id <> ? LIMIT ?",
                    values![&author, RowKey::last(until).seq(), until, &request, left],
                )?;
                if erased.events == 0 {
                    // Kind 1059: gift wraps.
                    erased = self.erase_some(
                        "SELECT e.seq, e.json FROM tag AS t CROSS JOIN event AS e ON e.seq = t.seq
                         WHERE t.key = ? AND t.seq <= ? AND t.kind = 1059 AND e.created_at <= ? LIMIT ?",
                        values![key.as_slice(), RowKey::last(until).seq(), until, left],
                    )?;
                }
                if erased.events == 0 {
                    self.sql.execute("DELETE FROM vanishing WHERE pubkey = ?", values![&author])?;
                }
                left = left.saturating_sub(erased.events);
            }
            Ok(at_most.saturating_sub(left))
        })
    }
}
