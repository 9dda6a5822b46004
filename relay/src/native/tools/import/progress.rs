//! How far the import of a file has come, kept in the database that it writes to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use openagents_host::native::Sqlite;
use openagents_host::sql::{self, SchemaError, Sql, SqlError, values};

use super::Import;

/// * `tail` is what stands in the file before the place where the import goes on: another file of the same name, or the
///   same one written anew, has something else there.
const PROGRESS_TABLE: &str = "
CREATE TABLE import_progress (
    file TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    tail BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// How far the import of a file is.
pub(super) struct ImportProgress {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    tail: Vec<u8>,
}

/// Makes room for notes. It is not part of the relay's own tables, which are the same on every host.
pub(super) fn prepare(sql: &Sqlite) -> Result<(), SchemaError> {
    sql::migrate(sql, "import", &[PROGRESS_TABLE])
}

impl ImportProgress {
    pub(super) fn new(import: &Import, tail: Vec<u8>) -> Self {
        Self { bytes: import.bytes, lines: import.lines, tail }
    }

    pub(super) fn read(sql: &Sqlite, file: &str) -> Result<Option<Self>, SqlError> {
        let found = sql.first::<(u64, u64, Vec<u8>)>(
            "SELECT bytes, lines, tail FROM import_progress WHERE file = ?",
            values![file],
        )?;
        Ok(found.map(|(bytes, lines, tail)| Self { bytes, lines, tail }))
    }

    pub(super) fn write(&self, sql: &Sqlite, file: &str) -> Result<(), SqlError> {
        sql.execute(
            "INSERT INTO import_progress (file, bytes, lines, tail) VALUES (?, ?, ?, ?)
             ON CONFLICT (file) DO UPDATE SET bytes = excluded.bytes, lines = excluded.lines, tail = excluded.tail",
            values![file, self.bytes, self.lines, self.tail.as_slice()],
        )
    }

    pub(super) fn forget(sql: &Sqlite, file: &str) -> Result<(), SqlError> {
        sql.execute("DELETE FROM import_progress WHERE file = ?", values![file])
    }

    /// Whether it is about what this file holds now.
    pub(super) fn is_of(&self, file: &mut File) -> io::Result<bool> {
        let length = u64::try_from(self.tail.len()).unwrap_or(u64::MAX);
        let Some(start) = self.bytes.checked_sub(length) else { return Ok(false) };
        // A line that was cut off when it was read may have grown since.
        if file.metadata()?.len() < self.bytes || !self.tail.ends_with(b"\n") {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(start))?;
        let mut found = vec![0; self.tail.len()];
        file.read_exact(&mut found)?;
        Ok(found == self.tail)
    }
}
