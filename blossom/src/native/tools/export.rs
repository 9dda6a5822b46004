//! Copies blobs to a folder: a file for each, and an index of them as JSON lines.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use openagents_host::PublicKey;
use sha2::{Digest as _, Sha256};

use super::folder::{BlobFolder, BlobFolderError};
use super::inventory::OwnedBlob;
use crate::native::files::read_chunk;

/// The name of the index in an exported folder: one JSON object a line, with the blob's owners.
pub const EXPORTED_INDEX: &str = "blobs.jsonl";

/// How many bytes are copied at once.
const COPIED_AT_ONCE: usize = 256 * 1024;

/// What an export has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportedBlobs {
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many of them an earlier export to the same folder had copied.
    pub already_there: u64,
    /// How many could not be copied, because their bytes are missing or damaged.
    pub lost: u64,
}

impl BlobFolder {
    /// Copies all blobs, or those of one owner, to `<sha256>.<extension>` in `target`, and then writes
    /// [`EXPORTED_INDEX`]. Files that are there already are not copied again, so an export that was interrupted goes on.
    ///
    /// # Errors
    /// When the index cannot be read, or `target` cannot be written.
    pub fn export(
        &self,
        target: &Path,
        owner: Option<&PublicKey>,
        progress: &mut dyn FnMut(&ExportedBlobs),
    ) -> Result<ExportedBlobs, BlobFolderError> {
        fs::create_dir_all(target).map_err(BlobFolderError::file(target))?;
        let path = target.join(EXPORTED_INDEX);
        let partial = with_suffix(&path);
        let failed = || BlobFolderError::file(&partial);
        let mut index = BufWriter::new(File::create(&partial).map_err(failed())?);
        let mut exported = ExportedBlobs::default();
        let mut failure = None;
        self.list(owner, &mut |blob| {
            let copied = self.copy(blob, target).and_then(|copied| {
                if copied != Copied::Lost {
                    let line = serde_json::to_string(blob).map_err(io::Error::other);
                    line.and_then(|line| writeln!(index, "{line}")).map_err(failed())?;
                }
                Ok(copied)
            });
            match copied {
                Ok(copied) => count(&mut exported, blob, copied),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
            progress(&exported);
            ControlFlow::Continue(())
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let index = index.into_inner().map_err(io::IntoInnerError::into_error);
        index.and_then(|file| file.sync_all()).map_err(failed())?;
        fs::rename(&partial, &path).map_err(failed())?;
        Ok(exported)
    }

    fn copy(&self, blob: &OwnedBlob, target: &Path) -> Result<Copied, BlobFolderError> {
        let path = target.join(exported_name(blob));
        if path.metadata().is_ok_and(|metadata| metadata.len() == blob.size) {
            return Ok(Copied::Before);
        }
        let Ok(mut from) = self.files.open_blob(&blob.hash, 0) else { return Ok(Copied::Lost) };
        let partial = with_suffix(&path);
        let failed = || BlobFolderError::file(&partial);
        let mut to = File::create(&partial).map_err(failed())?;
        let mut hash = Sha256::new();
        loop {
            let chunk = read_chunk(&mut from, COPIED_AT_ONCE)
                .map_err(BlobFolderError::file(&self.files.path(&blob.hash)))?;
            if chunk.is_empty() {
                break;
            }
            hash.update(&chunk);
            to.write_all(&chunk).map_err(failed())?;
        }
        if hash.finalize().as_slice() != blob.hash.as_bytes() {
            fs::remove_file(&partial).map_err(failed())?;
            return Ok(Copied::Lost);
        }
        fs::rename(&partial, &path).map_err(failed())?;
        Ok(Copied::Now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    Now,
    Before,
    Lost,
}

fn count(exported: &mut ExportedBlobs, blob: &OwnedBlob, copied: Copied) {
    let one = |when: bool| u64::from(when);
    exported.lost = exported.lost.saturating_add(one(copied == Copied::Lost));
    exported.already_there = exported.already_there.saturating_add(one(copied == Copied::Before));
    if copied != Copied::Lost {
        exported.blobs = exported.blobs.saturating_add(1);
        exported.bytes = exported.bytes.saturating_add(blob.size);
    }
}

/// The name of a blob's file in an exported folder.
pub(super) fn exported_name(blob: &OwnedBlob) -> String {
    format!("{}.{}", blob.hash, blob.media_type.extension())
}

/// The name of a file until it is complete.
fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}
