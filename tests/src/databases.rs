//! The SQLite databases in a server's data folder, to be looked at and changed while the server is not running.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// Opens the database that has this table. Its log (`-wal`) stays as it is.
///
/// # Panics
/// When there is none, or a file cannot be read.
pub fn database_with(table: &str, data: &Path) -> Connection {
    let open = |path: &PathBuf| {
        let database = Connection::open(path).expect("a database");
        database
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .expect("a setting of SQLite");
        let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?";
        let found: u32 = database.query_row(tables, [table], |row| row.get(0)).expect("a count");
        (found == 1).then_some(database)
    };
    let files = sqlite_files(data);
    files.iter().find_map(open).unwrap_or_else(|| panic!("no table {table} in {files:?}"))
}

/// The SQLite files below a folder.
fn sqlite_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sqlite_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "sqlite") {
            files.push(path);
        }
    }
    files
}
