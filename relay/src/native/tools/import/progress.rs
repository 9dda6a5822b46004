//! The progress note of a file import, kept in the database that is imported into.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use openagents_host::native::Sqlite;
use openagents_host::sql::{self, SchemaError, Sql, SqlError, values};

use super::Import;

/// * `tail` are the bytes of the file before the position where the import resumes. They differ if the file was
///   replaced or rewritten.
const PROGRESS_TABLE: &str = "
CREATE TABLE import_progress (
    file TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    tail BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// How far a file has been imported.
pub(super) struct ImportProgress {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    tail: Vec<u8>,
}

/// Creates the table. It is not one of the relay's own tables, which are the same on every host.
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

    /// Whether the note matches the current content of this file.
    pub(super) fn matches(&self, file: &mut File) -> io::Result<bool> {
        let length = u64::try_from(self.tail.len()).unwrap_or(u64::MAX);
        let Some(start) = self.bytes.checked_sub(length) else { return Ok(false) };
        // A line that was incomplete when it was read may have grown since.
        if file.metadata()?.len() < self.bytes || !self.tail.ends_with(b"\n") {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(start))?;
        let mut found = vec![0; self.tail.len()];
        file.read_exact(&mut found)?;
        Ok(found == self.tail)
    }
}
