//! Stores files as blobs, and reads back what an export has written.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use openagents_host::native::now;
use openagents_host::{BlobHash, PublicKey};

use super::export::{EXPORTED_INDEX, exported_name};
use super::folder::{BlobFolder, BlobFolderError};
use super::inventory::{self, BlobOwner, OwnedBlob};
use crate::media_type::MediaType;
use crate::native::files::read_chunk;

/// How many bytes are copied at once.
const COPIED_AT_ONCE: usize = 256 * 1024;

/// A blob that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedBlob {
    /// The SHA-256 of its bytes.
    pub hash: BlobHash,
    /// Its size in bytes.
    pub size: u64,
}

impl BlobFolder {
    /// Stores a file as a blob of `owner`. Its type follows from the name's extension. The blob is durable when this
    /// returns.
    ///
    /// # Errors
    /// When the file cannot be read, or the blob cannot be stored.
    pub fn import_file(&self, path: &Path, owner: PublicKey) -> Result<ImportedBlob, BlobFolderError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let media_type = MediaType::of_extension(extension).unwrap_or_else(MediaType::unknown);
        let uploaded = now().as_seconds();
        let blob = self.store(path, |_| true)?;
        let owners = vec![BlobOwner { pubkey: owner, uploaded, expires: None }];
        let ImportedBlob { hash, size } = blob;
        inventory::adopt(&self.sql, &OwnedBlob { hash, size, media_type, uploaded, owners })?;
        Ok(blob)
    }

    /// Stores the blobs of a folder that [`export`](Self::export) has written, with the owners that they had.
    ///
    /// # Errors
    /// When a line of the exported index is no blob, a file cannot be read or has other bytes, or a blob cannot be stored.
    /// Those before it are kept.
    pub fn import_exported(
        &self,
        folder: &Path,
        progress: &mut dyn FnMut(&ImportedBlob),
    ) -> Result<(), BlobFolderError> {
        let path = folder.join(EXPORTED_INDEX);
        let index = File::open(&path).map_err(BlobFolderError::file(&path))?;
        for (number, line) in (1_usize..).zip(BufReader::new(index).lines()) {
            let line = line.map_err(BlobFolderError::file(&path))?;
            let blob: OwnedBlob = serde_json::from_str(&line).map_err(|error| BlobFolderError::Line {
                path: path.clone(),
                line: number,
                error,
            })?;
            let file = folder.join(exported_name(&blob));
            let stored = self.store(&file, |hash| *hash == blob.hash)?;
            inventory::adopt(&self.sql, &OwnedBlob { size: stored.size, ..blob })?;
            progress(&stored);
        }
        Ok(())
    }

    /// Whether a folder has the index that an export has written.
    #[must_use]
    pub fn is_exported(folder: &Path) -> bool {
        fs::metadata(folder.join(EXPORTED_INDEX)).is_ok_and(|metadata| metadata.is_file())
    }

    fn store(
        &self,
        path: &Path,
        is_expected: impl FnOnce(&BlobHash) -> bool,
    ) -> Result<ImportedBlob, BlobFolderError> {
        let mut from = File::open(path).map_err(BlobFolderError::file(path))?;
        let failed = || BlobFolderError::file(self.files.folder());
        let mut incoming = self.files.create().map_err(failed())?;
        loop {
            let chunk = read_chunk(&mut from, COPIED_AT_ONCE).map_err(BlobFolderError::file(path))?;
            if chunk.is_empty() {
                break;
            }
            incoming.write(&chunk).map_err(failed())?;
        }
        let complete = incoming.complete(self.files.durability(), is_expected).map_err(failed())?;
        let complete = complete.map_err(|_| BlobFolderError::WrongHash { path: path.to_owned() })?;
        let stored = ImportedBlob { hash: complete.hash, size: complete.size };
        self.files.keep(complete).map_err(failed())?;
        Ok(stored)
    }
}
