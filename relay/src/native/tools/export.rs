//! Export of stored events as JSON lines.

mod target;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{Event, SqlError, Timestamp};

pub use self::target::{NotResumable, Target};

use crate::store::{Store, expiry};
use openagents_host::nostr::filter::Filter;

/// How many events are read at once.
const EVENTS_PER_PAGE: u32 = 1_000;

/// The progress of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// How many events the interrupted run had written, if this run resumes it.
    pub resumed_after: Option<u64>,
    /// Why this run started over although an interrupted one had left a partial file.
    pub not_resumed_because: Option<NotResumable>,
    /// How many events are stored.
    pub stored: u64,
    /// How many of them were examined, including those of the interrupted run.
    pub looked_at: u64,
    /// How many events were written, including those of the interrupted run.
    pub written: u64,
    /// How many bytes were written, including those of the interrupted run.
    pub bytes: u64,
    /// Whether the export is complete.
    pub is_complete: bool,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The events cannot be written.
    #[error("cannot write the events: {0}")]
    Write(#[from] io::Error),
    /// The database cannot be read.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
    /// A row does not contain an event: something else has written into the relay's database.
    #[error("the relay database contains something that is not an event: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Writes the events that match any of the filters, or all events if there are none, the oldest first. The export is a
/// snapshot of the time when it started, even if another process writes meanwhile. The filters' `limit` is ignored.
/// Events that have expired at `now` (NIP-40) are left out.
///
/// An interrupted export to a file is resumed within a day, with the filters that it started with. Then events before
/// the interruption are from the first run's snapshot, and those after it from this one's.
///
/// Setting `stop` ends it between two events. `progress` is called at the beginning and regularly after that.
///
/// # Errors
/// When the output or the database fails.
pub fn export(
    store: &Store<Sqlite>,
    filters: &[Filter],
    now: Timestamp,
    target: &mut Target<'_>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Export),
) -> Result<Export, ExportError> {
    let stored: Option<(u64,)> = store.sql().first("SELECT count(*) FROM event", &[])?;
    let mut export = Export { stored: stored.map_or(0, |(stored,)| stored), ..Export::default() };
    let (filters, mut after) = target.begin(store, filters, now, &mut export)?;
    progress(&export);
    let done = store.sql().transaction(|| -> Result<bool, ExportError> {
        loop {
            let page = store.export(after, EVENTS_PER_PAGE)?;
            if page.is_empty() {
                return Ok(true);
            }
            for (row_key, json) in &page {
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                if is_wanted(json, &filters, now)? {
                    target.write(json)?;
                    export.count(json);
                }
                export.looked_at = export.looked_at.saturating_add(1);
                after = *row_key;
                target.update_note(store, after, &export)?;
            }
            progress(&export);
        }
    });
    export.is_complete = match done {
        Ok(is_complete) => is_complete,
        Err(error) => {
            // The next run resumes from here, or from the previous note if this one cannot be written.
            let _ = target.interrupt(store, after, &export);
            return Err(error);
        }
    };
    match export.is_complete {
        true => target.complete()?,
        false => target.interrupt(store, after, &export)?,
    }
    progress(&export);
    Ok(export)
}

impl Export {
    fn count(&mut self, json: &str) {
        self.written = self.written.saturating_add(1);
        let length = u64::try_from(json.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length).saturating_add(1);
    }
}

fn is_wanted(json: &str, filters: &[Filter], now: Timestamp) -> Result<bool, serde_json::Error> {
    // Most events need not be parsed.
    let may_expire = json.contains("\"expiration\"");
    if filters.is_empty() && !may_expire {
        return Ok(true);
    }
    let event = Event::from_json(json)?;
    let is_expired = may_expire && expiry(&event).is_some_and(|expiry| expiry <= now);
    Ok(!is_expired && (filters.is_empty() || filters.iter().any(|filter| filter.matches(&event))))
}
