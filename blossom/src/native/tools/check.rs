//! Checks every blob's bytes against its hash, and the index against the files; repairs what can be repaired.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use openagents_host::sql::{Sql as _, values};
use openagents_host::{BlobHash, PublicKey};
use sha2::{Digest as _, Sha256};

use super::folder::{BlobFolder, BlobFolderError};
use super::inventory::{self, BlobOwner, OwnedBlob};
use crate::media_type::MediaType;
use crate::native::files::read_chunk;

/// How many bytes are hashed at once.
const HASHED_AT_ONCE: usize = 256 * 1024;

/// How long a running server may take between a file and its entry in the index, before a difference is a defect.
const SETTLING_TIME: Duration = Duration::from_millis(500);

/// Something that is wrong with stored blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobDefect {
    /// The index has a blob whose file is missing. Repairing deletes the entry.
    Missing(BlobHash),
    /// The bytes of a file do not have this hash. Repairing moves the file to the folder `damaged` and deletes the entry.
    Damaged(BlobHash),
    /// The index has another size than the file. Repairing corrects it.
    Size {
        /// The blob.
        hash: BlobHash,
        /// The size in the index, in bytes.
        indexed: u64,
        /// The size of the file, in bytes.
        stored: u64,
    },
    /// A blob is not in the index, so nobody can read it. Repairing enters it.
    Unindexed(BlobHash),
    /// This is not the file of a blob. It is left alone.
    Unknown(PathBuf),
    /// The index counts something else for this owner than the sum of its blobs. Repairing counts again.
    Total(PublicKey),
}

/// What a check has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedBlobs {
    /// The number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many defects were found.
    pub defects: u64,
}

impl BlobFolder {
    /// Reads all files. `each` is called with every defect, `progress` after some files.
    ///
    /// # Errors
    /// When the index or a file cannot be read.
    pub fn check(
        &self,
        each: &mut dyn FnMut(&BlobDefect),
        progress: &mut dyn FnMut(&CheckedBlobs),
    ) -> Result<CheckedBlobs, BlobFolderError> {
        self.look(None, each, progress)
    }

    /// As [`check`](Self::check), and repairs: blobs that are not in the index become `owner`'s. No server may be using the
    /// folder, and it must have been opened for writing.
    ///
    /// # Errors
    /// When the index or a file cannot be read or written.
    pub fn repair(
        &self,
        owner: PublicKey,
        each: &mut dyn FnMut(&BlobDefect),
        progress: &mut dyn FnMut(&CheckedBlobs),
    ) -> Result<CheckedBlobs, BlobFolderError> {
        self.look(Some(owner), each, progress)
    }

    fn look(
        &self,
        repair_for: Option<PublicKey>,
        each: &mut dyn FnMut(&BlobDefect),
        progress: &mut dyn FnMut(&CheckedBlobs),
    ) -> Result<CheckedBlobs, BlobFolderError> {
        let mut checked = CheckedBlobs::default();
        let mut report = |defect: &BlobDefect, checked: &mut CheckedBlobs| {
            checked.defects = checked.defects.saturating_add(1);
            each(defect);
        };
        for unknown in self.files.unknown().map_err(BlobFolderError::file(self.files.folder()))? {
            report(&BlobDefect::Unknown(unknown), &mut checked);
        }
        for shelf in 0..=u8::MAX {
            let defects = self.look_at_shelf(shelf, &mut checked, progress)?;
            for defect in self.confirmed(defects, repair_for.is_some())? {
                report(&defect, &mut checked);
                if let Some(owner) = repair_for {
                    self.mend(&defect, owner)?;
                }
            }
        }
        let totals = inventory::disagreeing_owners(&self.sql)?;
        if repair_for.is_some() {
            inventory::recount(&self.sql)?;
        }
        // What a repair has just changed is no defect of the totals.
        if repair_for.is_none() || checked.defects == 0 {
            for owner in totals {
                report(&BlobDefect::Total(owner), &mut checked);
            }
        }
        Ok(checked)
    }

    /// The differences between the index and the files whose hashes begin with this byte.
    fn look_at_shelf(
        &self,
        shelf: u8,
        checked: &mut CheckedBlobs,
        progress: &mut dyn FnMut(&CheckedBlobs),
    ) -> Result<Vec<BlobDefect>, BlobFolderError> {
        let mut defects = Vec::new();
        let listed = self.files.shelf(shelf).map_err(BlobFolderError::file(self.files.folder()))?;
        let mut files: BTreeMap<BlobHash, u64> = listed.into_iter().collect();
        let mut after = shelf.checked_sub(1).map(last_of_shelf);
        let last = last_of_shelf(shelf);
        let mut look_at = |hash: &BlobHash, size: u64, checked: &mut CheckedBlobs| {
            let is_sound = self.has_its_hash(hash)?;
            checked.files = checked.files.saturating_add(1);
            checked.bytes = checked.bytes.saturating_add(size);
            progress(checked);
            Ok::<_, BlobFolderError>(is_sound)
        };
        loop {
            let page = inventory::page(&self.sql, after.as_ref(), Some(&last), None)?;
            let Some(end) = page.last() else { break };
            after = Some(end.hash);
            for blob in page {
                let Some(stored) = files.remove(&blob.hash) else {
                    defects.push(BlobDefect::Missing(blob.hash));
                    continue;
                };
                if !look_at(&blob.hash, stored, checked)? {
                    defects.push(BlobDefect::Damaged(blob.hash));
                } else if stored != blob.size {
                    defects.push(BlobDefect::Size { hash: blob.hash, indexed: blob.size, stored });
                }
            }
        }
        for (hash, size) in files {
            let is_sound = look_at(&hash, size, checked)?;
            defects.push(if is_sound { BlobDefect::Unindexed(hash) } else { BlobDefect::Damaged(hash) });
        }
        Ok(defects)
    }

    /// Those that are still there after a while: a running server stores and removes blobs meanwhile.
    fn confirmed(
        &self,
        defects: Vec<BlobDefect>,
        is_alone: bool,
    ) -> Result<Vec<BlobDefect>, BlobFolderError> {
        if !defects.is_empty() && !is_alone {
            std::thread::sleep(SETTLING_TIME);
        }
        let mut confirmed = Vec::new();
        for defect in defects {
            let is_there = match &defect {
                BlobDefect::Missing(hash) => self.is_indexed(hash)? && !self.files.has(hash),
                BlobDefect::Unindexed(hash) => {
                    self.files.has(hash)
                        && !self.is_indexed(hash)?
                        && !inventory::is_expected(&self.sql, hash)?
                }
                BlobDefect::Damaged(hash) => self.files.has(hash) && !self.has_its_hash(hash)?,
                BlobDefect::Size { .. } | BlobDefect::Unknown(_) | BlobDefect::Total(_) => true,
            };
            if is_there {
                confirmed.push(defect);
            }
        }
        Ok(confirmed)
    }

    fn is_indexed(&self, hash: &BlobHash) -> Result<bool, BlobFolderError> {
        let found: Option<(i64,)> = self.sql.first("SELECT 1 FROM blob WHERE hash = ?", values![hash])?;
        Ok(found.is_some())
    }

    /// Whether the bytes of a file have the hash that it is named after. A file that is removed meanwhile counts as sound.
    fn has_its_hash(&self, hash: &BlobHash) -> Result<bool, BlobFolderError> {
        match self.files.open_blob(hash, 0).and_then(hash_of) {
            Ok(found) => Ok(found == *hash),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(BlobFolderError::file(&self.files.path(hash))(error)),
        }
    }

    fn mend(&self, defect: &BlobDefect, owner: PublicKey) -> Result<(), BlobFolderError> {
        match defect {
            BlobDefect::Missing(hash) => inventory::forget(&self.sql, hash)?,
            BlobDefect::Damaged(hash) => {
                self.files.set_aside(hash).map_err(BlobFolderError::file(&self.files.path(hash)))?;
                inventory::forget(&self.sql, hash)?;
            }
            BlobDefect::Size { hash, stored, .. } => {
                self.sql.execute("UPDATE blob SET size = ? WHERE hash = ?", values![*stored, hash])?;
            }
            BlobDefect::Unindexed(hash) => {
                let path = self.files.path(hash);
                let metadata = path.metadata().map_err(BlobFolderError::file(&path))?;
                let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let uploaded = written.unwrap_or_default().as_secs();
                let owner = BlobOwner { pubkey: owner, uploaded, expires: None };
                let media_type = MediaType::unknown();
                let size = metadata.len();
                let blob = OwnedBlob { hash: *hash, size, media_type, uploaded, owners: vec![owner] };
                inventory::adopt(&self.sql, &blob)?;
            }
            BlobDefect::Unknown(_) | BlobDefect::Total(_) => {}
        }
        Ok(())
    }
}

/// The greatest hash that begins with this byte.
fn last_of_shelf(shelf: u8) -> BlobHash {
    let mut bytes = [0xff; 32];
    let [first, ..] = &mut bytes;
    *first = shelf;
    BlobHash::from_bytes(bytes)
}

/// The SHA-256 of a file.
pub(super) fn hash_of(mut file: File) -> io::Result<BlobHash> {
    let mut hash = Sha256::new();
    loop {
        let chunk = read_chunk(&mut file, HASHED_AT_ONCE)?;
        if chunk.is_empty() {
            return Ok(BlobHash::from_bytes(hash.finalize().into()));
        }
        hash.update(&chunk);
    }
}
