//! `BlobFolder`: the index and the files of a data folder.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use openagents_host::PublicKey;
use openagents_host::native::{Durability, OpenError, Sqlite, now};
use openagents_host::sql::{SchemaError, SqlError};

use super::inventory::{self, OwnedBlob};
use crate::index::{IndexEngine, IndexRead, IndexReply, IndexStatistics, read};
use crate::native::files::BlobFiles;

/// The blobs of a deployment in its data folder.
pub struct BlobFolder {
    pub(super) sql: Sqlite,
    pub(super) files: BlobFiles,
}

/// Why the blobs of a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobFolderError {
    /// There is no index.
    #[error("there is no index of blobs at {}", path.display())]
    Missing {
        /// The path of the index.
        path: PathBuf,
    },
    /// The index was written by an earlier release, and it was opened read-only, so it cannot be migrated.
    #[error("the index of blobs {} was written by an earlier release; starting the agent brings it up to date", path.display())]
    Older {
        /// The path of the index.
        path: PathBuf,
    },
    /// The index cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The index is of another release.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Reading or writing the index failed.
    #[error("the index of blobs failed: {0}")]
    Index(#[from] SqlError),
    /// A file or folder cannot be read or written.
    #[error("cannot use {}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A line of an exported index is not the JSON of a blob.
    #[error("{}:{line}: {error}", path.display())]
    Line {
        /// The exported index.
        path: PathBuf,
        /// The number of the line, starting at 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The bytes of a file do not have the hash that it is named after.
    #[error("the bytes of {} have another SHA-256 than its name says", path.display())]
    WrongHash {
        /// The file.
        path: PathBuf,
    },
}

impl BlobFolderError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

impl BlobFolder {
    /// Opens the blobs for reading, even while a server is using them.
    ///
    /// # Errors
    /// When there is no index, or it cannot be read, or is of another release.
    pub fn open_to_read(database: &Path, folder: &Path) -> Result<Self, BlobFolderError> {
        if !database.is_file() {
            return Err(BlobFolderError::Missing { path: database.to_owned() });
        }
        let sql = Sqlite::open_read_only(database)?;
        IndexEngine::open(sql.clone(), None).map_err(|error| match error {
            SchemaError::Step { .. } => BlobFolderError::Older { path: database.to_owned() },
            error => error.into(),
        })?;
        Ok(Self { sql, files: BlobFiles::shared(folder.to_owned()) })
    }

    /// Opens or creates the blobs for writing. No server may be using them.
    ///
    /// # Errors
    /// When index or folder cannot be created or written, or the index is of another release.
    pub fn open_to_write(database: &Path, folder: &Path) -> Result<Self, BlobFolderError> {
        let durability = Durability::Full;
        let files = BlobFiles::open(folder.to_owned(), durability);
        let files = files.map_err(BlobFolderError::file(folder))?;
        let sql = Sqlite::open(database, durability)?;
        IndexEngine::open(sql.clone(), None)?;
        Ok(Self { sql, files })
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn statistics(&self) -> Result<IndexStatistics, BlobFolderError> {
        match read(&self.sql, &IndexRead::Statistics, now())? {
            IndexReply::Statistics(statistics) => Ok(statistics),
            _ => Ok(IndexStatistics::default()),
        }
    }

    /// Calls `each` with every blob, or with those of one owner, in the order of their hashes.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(
        &self,
        owner: Option<&PublicKey>,
        each: &mut dyn FnMut(&OwnedBlob) -> ControlFlow<()>,
    ) -> Result<(), BlobFolderError> {
        let mut last = None;
        loop {
            let page = inventory::page(&self.sql, last.as_ref(), None, owner)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.hash);
            for blob in &page {
                if each(blob).is_break() {
                    return Ok(());
                }
            }
        }
    }
}
