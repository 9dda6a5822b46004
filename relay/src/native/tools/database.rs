//! Opening a relay's database without serving it.

use std::path::{Path, PathBuf};

use openagents_host::native::{Durability, OpenError, Sqlite};
use openagents_host::sql::{SchemaError, Sql, SqlError};

use crate::store::Store;

/// Why a file cannot be used as a relay's database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// There is no such file.
    #[error("there is no relay database at {}", path.display())]
    Missing {
        /// The path of the database.
        path: PathBuf,
    },
    /// It is an SQLite database, but does not have a relay's tables.
    #[error("{} is not the database of a relay", path.display())]
    NotARelay {
        /// The path of the database.
        path: PathBuf,
    },
    /// It was written by an earlier release, and it was opened read-only, so it cannot be migrated.
    #[error("the relay database {} was written by an earlier release; starting the agent brings it up to date", path.display())]
    Older {
        /// The path of the database.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The tables cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Reading or writing failed after it was opened.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
}

/// Opens the database for reading, even while a relay is serving it. Each statement sees what was committed when it
/// started.
///
/// # Errors
/// When the file is missing or unreadable, is something else, or has the tables of another release.
pub fn open_to_read(path: &Path) -> Result<Store<Sqlite>, DatabaseError> {
    must_exist(path)?;
    let sql = Sqlite::open_read_only(path)?;
    if !has_relay(&sql)? {
        return Err(DatabaseError::NotARelay { path: path.to_owned() });
    }
    Store::open(sql).map_err(|error| match error {
        SchemaError::Step { .. } => DatabaseError::Older { path: path.to_owned() },
        error => error.into(),
    })
}

/// Opens or creates the database for writing. It must not be open anywhere else.
///
/// # Errors
/// When the file cannot be created or written, is something else, or has the tables of another release.
pub fn open_to_write(path: &Path, durability: Durability) -> Result<Store<Sqlite>, DatabaseError> {
    let sql = Sqlite::open(path, durability)?;
    let is_empty = sql.first::<(u64,)>("SELECT 1 FROM sqlite_schema LIMIT 1", &[])?.is_none();
    if !is_empty && !has_relay(&sql)? {
        return Err(DatabaseError::NotARelay { path: path.to_owned() });
    }
    Ok(Store::open(sql)?)
}

pub(super) fn must_exist(path: &Path) -> Result<(), DatabaseError> {
    match path.is_file() {
        true => Ok(()),
        false => Err(DatabaseError::Missing { path: path.to_owned() }),
    }
}

/// Whether the database has a relay's tables.
fn has_relay(sql: &Sqlite) -> Result<bool, SqlError> {
    let versions = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'";
    if sql.first::<(u64,)>(versions, &[])?.is_none() {
        return Ok(false);
    }
    Ok(sql.first::<(u64,)>("SELECT version FROM schema_version WHERE component = 'relay'", &[])?.is_some())
}

#[cfg(test)]
mod tests {
    use openagents_host::native::{Durability, Sqlite};
    use openagents_host::sql::Sql;

    use super::{DatabaseError, open_to_read, open_to_write};

    #[test]
    fn reads_only_what_is_a_relay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        assert!(matches!(open_to_read(&path), Err(DatabaseError::Missing { .. })));
        assert!(!path.exists());

        let other = folder.path().join("other.sqlite");
        Sqlite::open(&other, Durability::Process)
            .unwrap()
            .batch("CREATE TABLE t (i INTEGER) STRICT")
            .unwrap();
        assert!(matches!(open_to_read(&other), Err(DatabaseError::NotARelay { .. })));
        assert!(matches!(open_to_write(&other, Durability::Process), Err(DatabaseError::NotARelay { .. })));

        let text = folder.path().join("text.sqlite");
        std::fs::write(&text, "no database at all ".repeat(100)).unwrap();
        assert!(open_to_read(&text).unwrap_err().to_string().contains("not a database"));

        let open = open_to_write(&path, Durability::Process).unwrap();
        assert!(open_to_read(&path).is_ok());
        drop(open);
        assert!(open_to_read(&path).is_ok() && open_to_write(&path, Durability::Process).is_ok());
    }

    #[test]
    fn tells_releases_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        let store = open_to_write(&path, Durability::Process).unwrap();
        let newer = "UPDATE schema_version SET version = 99; UPDATE schema_release SET release = '9.8.7'";
        store.sql().batch(newer).unwrap();
        for error in
            [open_to_read(&path).unwrap_err(), open_to_write(&path, Durability::Process).unwrap_err()]
        {
            assert!(error.to_string().contains("run OpenAgents 9.8.7 or later"), "{error}");
        }
        // Without migration steps, so its fingerprint is that of an empty list.
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let older = format!("UPDATE schema_version SET version = 0, fingerprint = x'{nothing}'");
        store.sql().batch(&older).unwrap();
        assert!(matches!(open_to_read(&path), Err(DatabaseError::Older { .. })));
        for made_otherwise in [
            "UPDATE schema_version SET version = 1",
            "DROP TABLE schema_version;
             CREATE TABLE schema_version (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO schema_version VALUES ('relay', 2), ('search', 1)",
        ] {
            store.sql().batch(made_otherwise).unwrap();
            for opened in [open_to_read(&path), open_to_write(&path, Durability::Process)] {
                let told = opened.unwrap_err().to_string();
                assert!(told.contains("the relay data has other tables") && told.contains("relay export"), "{told}");
            }
        }
    }
}
