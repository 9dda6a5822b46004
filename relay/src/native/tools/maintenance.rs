//! Integrity check and compaction of a relay's database.

use std::path::Path;

use openagents_host::SqlError;
use openagents_host::native::{Durability, Maintenance};
use openagents_host::sql::Sql;

use super::database::{DatabaseError, must_exist, open_to_read, open_to_write};
use crate::store::{Inconsistency, IntegrityProgress};

/// How many problems of the file are reported.
const MAX_FILE_PROBLEMS: u32 = 100;

/// The check ends after this many problems.
const MAX_PROBLEMS: usize = 200;

/// How many events are checked at once.
const EVENTS_PER_PAGE: u32 = 1_000;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many events are stored.
    pub events: u64,
    /// The problems, as described by SQLite or the relay; empty if the database is sound.
    pub problems: Vec<String>,
}

impl Health {
    /// Whether no problems were found.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks a relay's database: the pages of the file, and that the indexes agree with the events. Changes nothing. A
/// relay may be serving the database meanwhile: the check sees what was committed when it started.
///
/// # Errors
/// When the file is missing, is something else, or was written by another release. A damaged file is reported as a
/// problem, not as an error.
pub fn check(path: &Path) -> Result<Health, DatabaseError> {
    must_exist(path)?;
    let mut health = Health::default();
    if let Err(error) = Maintenance::open_read_only(path)?
        .problems(MAX_FILE_PROBLEMS)
        .map(|found| health.problems.extend(found))
    {
        health.problems.push(error.to_string());
        return Ok(health);
    }
    let store = open_to_read(path)?;
    let mut progress = IntegrityProgress::default();
    // One transaction, so that concurrent writes do not look like inconsistencies.
    let checked = store.sql().transaction(|| -> Result<(), SqlError> {
        while !progress.is_done() && health.problems.len() < MAX_PROBLEMS {
            let found = store.check(&mut progress, EVENTS_PER_PAGE)?;
            health.problems.extend(found.iter().map(describe));
        }
        Ok(())
    });
    health.problems.extend(checked.err().map(|error| error.to_string()));
    health.events = progress.events();
    Ok(health)
}

fn describe(inconsistency: &Inconsistency) -> String {
    match inconsistency {
        Inconsistency::Unreadable(row_key) => format!("row {row_key} does not contain an event"),
        Inconsistency::Columns(row_key) => {
            format!("the columns of row {row_key} do not match its event")
        }
        Inconsistency::Index { index, row_key } => {
            format!("the index {index} does not lead to the event in row {row_key}")
        }
        Inconsistency::IndexLength { index, expected, found } => {
            format!("the index {index} has {found} entries for {expected} events")
        }
        Inconsistency::TagMissing(row_key) => format!("a tag of the event in row {row_key} is not indexed"),
        Inconsistency::TagsTooMany(count) => format!("{count} tags belong to no event"),
        Inconsistency::Forbidden(row_key) => {
            format!("the event in row {row_key} was deleted, or its author has vanished")
        }
        Inconsistency::Versions(row_key) => {
            format!("there are several versions of the event in row {row_key}")
        }
    }
}

/// The size of a database with its write-ahead log before and after compaction, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The size before, in bytes.
    pub before: u64,
    /// The size after, in bytes.
    pub after: u64,
}

/// Rewrites a relay's database without the gaps that deleted events leave. Needs as much free disk space as the
/// database uses. If the process dies, the database is unchanged. It must not be open anywhere else.
///
/// # Errors
/// When the file is missing or something else, the disk is full, or the database is open elsewhere.
pub fn compact(path: &Path) -> Result<Compaction, DatabaseError> {
    must_exist(path)?;
    // Checks that this is a relay's database, and migrates it.
    drop(open_to_write(path, Durability::Full)?);
    rewrite(path)
}

/// The same for the database of an agent, whose tables are not those of a relay.
///
/// # Errors
/// When the file is missing, the disk is full, or the database is open elsewhere.
pub fn rewrite(path: &Path) -> Result<Compaction, DatabaseError> {
    let maintenance = Maintenance::open_exclusive(path)?;
    let size = || -> Result<u64, SqlError> {
        let sizes = maintenance.sizes()?;
        Ok(sizes.database.saturating_add(sizes.log))
    };
    let before = size()?;
    maintenance.compact()?;
    Ok(Compaction { before, after: size()? })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use openagents_host::Timestamp;
    use openagents_host::native::Durability;
    use openagents_host::sql::Sql;

    use super::{check, compact};
    use crate::fixtures;
    use crate::native::tools::database::open_to_write;

    fn filled(path: &std::path::Path) {
        let store = open_to_write(path, Durability::Process).unwrap();
        for at in 0..500 {
            let content = "x".repeat(1_000);
            store
                .insert(
                    Timestamp::EPOCH,
                    &fixtures::signed_by(&fixtures::keys(0), 1, at, &[&["t", "a"]], &content),
                )
                .unwrap();
        }
    }

    #[test]
    fn finds_nothing_wrong_with_what_the_store_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        assert!(check(&path).is_err());
        filled(&path);
        let health = check(&path).unwrap();
        assert!(health.is_sound() && health.events == 500, "{health:?}");
    }

    #[test]
    fn finds_a_page_that_was_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        filled(&path);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(40 * 4_096)).unwrap();
        file.write_all(&[0x5a; 4_096]).unwrap();
        drop(file);
        assert!(!check(&path).unwrap().is_sound());
    }

    #[test]
    fn finds_what_sqlite_cannot_know_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        filled(&path);
        let store = open_to_write(&path, Durability::Process).unwrap();
        for (damage, expected) in [
            (
                "DELETE FROM tag WHERE seq = (SELECT seq FROM event WHERE created_at = 7)",
                "a tag of the event",
            ),
            ("UPDATE event SET kind = 2 WHERE created_at = 8", "the columns of row"),
            ("UPDATE event SET json = 'x' WHERE created_at = 9", "does not contain an event"),
        ] {
            store.sql().batch(damage).unwrap();
            let health = check(&path).unwrap();
            assert!(health.problems.iter().any(|problem| problem.contains(expected)), "{health:?}");
        }
    }

    #[test]
    fn makes_the_database_smaller_and_keeps_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        filled(&path);
        let store = open_to_write(&path, Durability::Process).unwrap();
        store.sql().batch("DELETE FROM tag WHERE seq IN (SELECT seq FROM event WHERE created_at >= 50); DELETE FROM event WHERE created_at >= 50").unwrap();
        drop(store);
        let compaction = compact(&path).unwrap();
        assert!(compaction.after < compaction.before / 4, "{compaction:?}");
        let health = check(&path).unwrap();
        assert!(health.is_sound() && health.events == 50, "{health:?}");
    }
}
