//! Inserting an event and its tags.

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Timestamp, VerifiedEvent};

use super::erase::EventRow;
use super::insertion::Insertion;
use super::precheck::{DELETION, Precheck, StoredVersion, identifier};
use crate::store::Store;
use crate::store::row_key::RowKey;
use crate::store::statement::{hex_string, json_list};
use openagents_host::nostr::tag::TagKey;

impl<S: Sql> Store<S> {
    /// Stores an event in one transaction. Of a replaceable or addressable event only the latest version is kept; if
    /// two have the same second, the one with the lower id (NIP-01). A deletion request is carried out (NIP-09). A
    /// request to vanish is stored like any other event: use [`vanish`](Self::vanish) for one addressed to this relay.
    ///
    /// Ephemeral events are stored like regular ones, so callers must not pass them.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
    pub fn insert(&self, now: Timestamp, event: &VerifiedEvent) -> Result<Insertion, SqlError> {
        let precheck = self.precheck(now, event)?;
        self.insert_prechecked(event, &precheck)
    }

    /// Stores an event that was [prechecked](Self::precheck).
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
    pub fn insert_prechecked(
        &self,
        event: &VerifiedEvent,
        precheck: &Precheck,
    ) -> Result<Insertion, SqlError> {
        if let Some(refusal) = precheck.refusal() {
            return Ok(refusal);
        }
        let row_key = match precheck.is_row_key_taken {
            true => RowKey::free(&self.sql, event)?,
            false => Some(RowKey::of(event)),
        };
        let Some(row_key) = row_key else { return Ok(Insertion::Crowded) };
        if precheck.replaced.is_none() && event.kind != DELETION {
            self.write(event, row_key, precheck)?;
            return Ok(Insertion::Inserted);
        }
        self.sql.transaction(|| {
            if let Some(StoredVersion { seq, json, .. }) = &precheck.replaced {
                self.erase(&[EventRow { seq: *seq, json: json.clone() }])?;
            }
            self.write(event, row_key, precheck)?;
            if event.kind == DELETION {
                self.delete(event)?;
            }
            Ok(Insertion::Inserted)
        })
    }

    /// Writes an event and its tags. A nested transaction costs more than the two statements, so there is none: if
    /// writing the tags fails, the event is deleted again.
    fn write(&self, event: &VerifiedEvent, row_key: RowKey, precheck: &Precheck) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO event (seq, id, pubkey, created_at, kind, identifier, expires_at, json)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                row_key.seq(),
                &event.id,
                &event.pubkey,
                event.created_at,
                event.kind,
                identifier(event),
                precheck.ends_at,
                &**event.json()
            ],
        )?;
        let keys = TagKey::of(event);
        let keys = json_list(keys.iter().map(|key| hex_string(key.as_bytes())));
        self.write_tags(event, row_key, precheck, &keys).inspect_err(|_| {
            let _ = self.sql.execute("DELETE FROM event WHERE seq = ?", values![row_key.seq()]);
            let _ = self.sql.execute(
                "DELETE FROM tag WHERE seq = ? AND key IN (SELECT unhex(value) FROM json_each(?))",
                values![row_key.seq(), &keys],
            );
        })
    }

    /// Writes the tags of an event. If this fails, some of them may have been written.
    fn write_tags(
        &self,
        event: &VerifiedEvent,
        row_key: RowKey,
        precheck: &Precheck,
        keys: &str,
    ) -> Result<(), SqlError> {
        if keys != "[]" {
            // `FAIL` rather than `ABORT`: to be able to undo the latter, SQLite copies every page before changing it.
            self.sql.execute(
                "INSERT OR FAIL INTO tag (key, seq, kind) SELECT unhex(value), ?, ? FROM json_each(?)",
                values![row_key.seq(), event.kind, keys],
            )?;
        }
        if precheck.is_late || precheck.is_row_key_taken {
            self.index_late(row_key)?;
        }
        Ok(())
    }
}
