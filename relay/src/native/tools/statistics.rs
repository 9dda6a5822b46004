//! The contents of a relay's database, and the space they take.

use std::path::Path;

use openagents_host::native::Maintenance;
use openagents_host::sql::{Sql, SqlError};
use serde::Serialize;

use super::database::{DatabaseError, open_to_read};
use crate::store::StoreStatistics;

/// More than there are kinds.
const MAX_KINDS: u32 = 1 << 16;

/// The contents of a relay's database. Serialized as the output of `relay stats --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseStatistics {
    /// The events in the store.
    #[serde(flatten)]
    pub stored: StoreStatistics,
    /// How many authors they have.
    pub authors: u64,
    /// How many events are waiting to be handed over to the agent.
    pub handovers: u64,
    /// How much disk space they take.
    pub size: DatabaseSize,
}

/// How much disk space a database takes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseSize {
    /// The database file, without the write-ahead log.
    pub database: u64,
    /// Free space in it for new events, which `relay compact` returns to the file system.
    pub free: u64,
    /// The write-ahead log.
    pub log: u64,
    /// The tables, the largest first.
    pub tables: Vec<TableSize>,
}

/// The size of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// The name of the table.
    pub name: String,
    /// The number of rows.
    pub rows: u64,
    /// The size of the table without its indexes, in bytes.
    pub bytes: u64,
    /// Its indexes, the largest first.
    pub indexes: Vec<IndexSize>,
}

/// The size of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexSize {
    /// The name of the index.
    pub name: String,
    /// The size in bytes.
    pub bytes: u64,
}

impl DatabaseStatistics {
    /// Reads the whole database once, even while a relay is serving it. In that case, the numbers of events and the
    /// sizes may be from slightly different times.
    ///
    /// # Errors
    /// When the file is missing or unreadable, is something else, or was written by another release.
    pub fn read(path: &Path) -> Result<Self, DatabaseError> {
        let store = open_to_read(path)?;
        let sql = store.sql();
        let number = |statement: &str| -> Result<u64, SqlError> {
            Ok(sql.first::<(u64,)>(statement, &[])?.map_or(0, |(number,)| number))
        };
        Ok(Self {
            stored: store.statistics(MAX_KINDS)?,
            authors: number("SELECT count(*) FROM (SELECT DISTINCT pubkey FROM event)")?,
            handovers: number("SELECT count(*) FROM handover")?,
            size: DatabaseSize::measure(path, &number)?,
        })
    }
}

impl DatabaseSize {
    fn measure(path: &Path, number: &dyn Fn(&str) -> Result<u64, SqlError>) -> Result<Self, DatabaseError> {
        let sizes = Maintenance::open_read_only(path)?.sizes()?;
        let mut tables = Vec::new();
        for table in sizes.parts.iter().filter(|part| !part.is_index() && !is_of_sqlite(&part.name)) {
            let indexes = sizes.parts.iter().filter(|part| part.is_index() && part.table == table.name);
            tables.push(TableSize {
                // Names cannot be bound as values; these are from the schema.
                rows: number(&format!("SELECT count(*) FROM \"{}\"", table.name.replace('"', "\"\"")))?,
                name: table.name.clone(),
                bytes: table.bytes,
                indexes: indexes
                    .map(|index| IndexSize { name: index.name.clone(), bytes: index.bytes })
                    .collect(),
            });
        }
        Ok(Self { database: sizes.database, free: sizes.free, log: sizes.log, tables })
    }
}

/// Whether this is an internal table of SQLite.
fn is_of_sqlite(name: &str) -> bool {
    name.starts_with("sqlite_")
}

#[cfg(test)]
mod tests {
    use openagents_host::native::Durability;
    use openagents_host::{Kind, Timestamp};

    use super::DatabaseStatistics;
    use crate::fixtures;
    use crate::native::tools::database::open_to_write;

    #[test]
    fn counts_what_is_stored_while_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        let store = open_to_write(&path, Durability::Process).unwrap();
        let empty = DatabaseStatistics::read(&path).unwrap();
        assert_eq!((empty.stored.events, empty.stored.oldest, empty.stored.kinds), (0, None, vec![]));
        store.insert(Timestamp::EPOCH, &fixtures::signed(1, 10, &[&["t", "a"], &["e", "b"]])).unwrap();
        store.insert(Timestamp::EPOCH, &fixtures::signed(1, 20, &[&["expiration", "30"]])).unwrap();
        store.insert(Timestamp::EPOCH, &fixtures::signed_by(&fixtures::keys(1), 7, 15, &[], "")).unwrap();
        let read = DatabaseStatistics::read(&path).unwrap();
        let stored = &read.stored;
        assert_eq!((stored.events, read.authors, stored.expiring), (3, 2, 1));
        assert_eq!((stored.oldest, stored.newest), (Some(10), Some(20)));
        assert_eq!(stored.kinds, [(Kind(1), 2), (Kind(7), 1)]);
        let table = |name: &str| read.size.tables.iter().find(|table| table.name == name).unwrap();
        assert_eq!((table("event").rows, table("tag").rows), (3, 2));
        assert!(table("event").indexes.iter().any(|index| index.name == "event_by_id" && index.bytes > 0));
        assert!(read.size.database > 0 && read.size.log > 0);
    }
}
