//! All events of a store, or those of some filters, as JSON, one on a line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{Event, SqlError, Timestamp};

use crate::filter::Filter;
use crate::store::{Store, expiry};

/// How many events are read at once.
const PAGE: u32 = 1_000;

/// How far an export is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// How many events are stored.
    pub stored: u64,
    /// How many of them were looked at.
    pub looked_at: u64,
    /// How many were written.
    pub written: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// Whether the end was reached.
    pub is_complete: bool,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The events cannot be written.
    #[error("cannot write the events: {0}")]
    Write(#[from] io::Error),
    /// The database cannot be read.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
    /// What is stored is no event: somebody else has written into the relay's database.
    #[error("the relay database holds something that is no event: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Writes the events that match one of the filters, or all if there is none, the oldest first, and as they were when it
/// began, whatever is stored meanwhile by another process. The `limit` of a filter plays no part. Events that are
/// expired at `now` are left out (NIP-40).
///
/// `stop` ends it between two events; `progress` is told now and then.
///
/// # Errors
/// When the output or the database fails.
pub fn export(
    store: &Store<Sqlite>,
    filters: &[Filter],
    now: Timestamp,
    output: &mut dyn Write,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Export),
) -> Result<Export, ExportError> {
    let stored: Option<(u64,)> = store.sql().first("SELECT count(*) FROM event", &[])?;
    let mut export = Export { stored: stored.map_or(0, |(stored,)| stored), ..Export::default() };
    progress(&export);
    let mut after = 0;
    store.sql().transaction(|| -> Result<(), ExportError> {
        while !stop.load(Ordering::Relaxed) {
            let page = store.export(after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, json) in &page {
                export.looked_at = export.looked_at.saturating_add(1);
                if is_wanted(json, filters, now)? {
                    export.write(json, output)?;
                }
            }
            progress(&export);
        }
        Ok(())
    })?;
    output.flush()?;
    export.is_complete = !stop.load(Ordering::Relaxed);
    progress(&export);
    Ok(export)
}

impl Export {
    fn write(&mut self, json: &str, output: &mut dyn Write) -> io::Result<()> {
        output.write_all(json.as_bytes())?;
        output.write_all(b"\n")?;
        self.written = self.written.saturating_add(1);
        let length = u64::try_from(json.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length).saturating_add(1);
        Ok(())
    }
}

fn is_wanted(json: &str, filters: &[Filter], now: Timestamp) -> Result<bool, serde_json::Error> {
    // Most events need not be read.
    let may_expire = json.contains("\"expiration\"");
    if filters.is_empty() && !may_expire {
        return Ok(true);
    }
    let event = Event::from_json(json)?;
    let is_expired = may_expire && expiry(&event).is_some_and(|expiry| expiry <= now);
    Ok(!is_expired && (filters.is_empty() || filters.iter().any(|filter| filter.matches(&event))))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::AtomicBool;

    use openagents_host::Timestamp;
    use openagents_host::native::Sqlite;

    use super::{ExportError, export};
    use crate::filter::Filter;
    use crate::fixtures;
    use crate::store::Store;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn store() -> Store<Sqlite> {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        for (kind, at, tags) in [
            (1, 10, &[&["t", "a"][..]][..]),
            (1, 20, &[&["expiration", "1000"][..]][..]),
            (1, 30, &[&["expiration", "1001"][..]][..]),
            (7, 40, &[][..]),
        ] {
            store.insert(Timestamp::EPOCH, &fixtures::signed(kind, at, tags)).unwrap();
        }
        store
    }

    fn times(filters: &[Filter]) -> Vec<u64> {
        let mut output = Vec::new();
        let stop = AtomicBool::new(false);
        let export = export(&store(), filters, NOW, &mut output, &stop, &mut |_| ()).unwrap();
        let lines = String::from_utf8(output).unwrap();
        assert_eq!(export.written, u64::try_from(lines.lines().count()).unwrap());
        assert_eq!(export.bytes, u64::try_from(lines.len()).unwrap());
        assert!(export.is_complete && export.stored == 4);
        lines.lines().map(|line| openagents_host::Event::from_json(line).unwrap().created_at).collect()
    }

    #[test]
    fn writes_what_is_asked_for_but_nothing_expired() {
        assert_eq!(times(&[]), [10, 30, 40]);
        assert_eq!(times(&[Filter::new().kinds([7])]), [40]);
        assert_eq!(times(&[Filter::new().kinds([7]), Filter::new().tag('t', ["a"]).unwrap()]), [10, 40]);
        assert_eq!(times(&[Filter::new().since(11).until(39)]), [30]);
        assert_eq!(times(&[Filter::new().since(40), Filter::new().until(10)]), [10, 40]);
        assert_eq!(times(&[Filter::new().limit(0)]), [10, 30, 40]);
    }

    #[test]
    fn says_that_the_output_failed() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error =
            export(&store(), &[], NOW, &mut Closed, &AtomicBool::new(false), &mut |_| ()).unwrap_err();
        assert!(matches!(error, ExportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn stops_when_told() {
        let export =
            export(&store(), &[], NOW, &mut Vec::new(), &AtomicBool::new(true), &mut |_| ()).unwrap();
        assert!(!export.is_complete && export.written == 0);
    }
}
