//! Requests to vanish (NIP-62).

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{EventId, PublicKey, Timestamp, VerifiedEvent};

use crate::store::row_key::RowKey;
use crate::store::viewer::addressee_key;
use crate::store::{Insertion, Store};

impl<S: Sql> Store<S> {
    /// Stores a request to vanish that is addressed to this relay, and carries it out in one transaction: all events
    /// of the author up to its second are hidden, including deletion requests, and so are gift wraps addressed to the
    /// author. None of them can be published again, and earlier deletions stay in force. Newer events are accepted.
    ///
    /// Job results and feedback (NIP-90) for the author are removed too: a result repeats its request, which is an event
    /// of the author.
    ///
    /// The hidden events, which can be many, are removed later by [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
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

    /// Whether events of authors who have vanished are still to be removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_to_sweep(&self) -> Result<bool, SqlError> {
        Ok(self.sql.first::<(u64,)>("SELECT 1 FROM vanishing LIMIT 1", &[])?.is_some())
    }

    /// Removes events of authors who have vanished, at most `at_most`; returns how many.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
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
                    // Kind 1059: gift wraps. Kinds 6000 to 7000: job results and feedback.
                    erased = self.erase_some(
                        "SELECT e.seq, e.json FROM tag AS t CROSS JOIN event AS e ON e.seq = t.seq
                         WHERE t.key = ? AND t.seq <= ? AND (t.kind = 1059 OR t.kind BETWEEN 6000 AND 7000)
                             AND e.created_at <= ? LIMIT ?",
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
