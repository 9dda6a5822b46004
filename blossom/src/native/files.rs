//! The files of blobs: `ab/abcdef…` below the blobs' folder, and `incoming/` for those that are not complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use openagents_host::BlobHash;
use openagents_host::native::{Durability, owner_only};
use sha2::{Digest as _, Sha256};

/// The folder of files that are not complete; emptied when the server starts.
const INCOMING: &str = "incoming";

/// The folder of files whose bytes are not those of the blob that they are named after.
const DAMAGED: &str = "damaged";

/// The folder of a server's blobs.
pub(super) struct BlobFiles {
    folder: PathBuf,
    durability: Durability,
    next: AtomicU64,
}

impl BlobFiles {
    /// Opens the folder, and removes what an earlier process has left unfinished.
    pub(super) fn open(folder: PathBuf, durability: Durability) -> io::Result<Self> {
        let incoming = folder.join(INCOMING);
        owner_only::create_folder(&incoming)?;
        owner_only::restrict(&folder);
        for entry in fs::read_dir(&incoming)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self { folder, durability, next: AtomicU64::new(0) })
    }

    /// The folder, which another process may be using: for reading only.
    pub(super) fn shared(folder: PathBuf) -> Self {
        Self { folder, durability: Durability::Process, next: AtomicU64::new(0) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file of a blob is.
    pub(super) fn path(&self, hash: &BlobHash) -> PathBuf {
        let hex = hash.to_hex();
        let shelf = hex.get(..2).unwrap_or_default();
        self.folder.join(shelf).join(&hex)
    }

    /// What a blob survives.
    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// Begins a file.
    pub(super) fn create(&self) -> io::Result<IncomingFile> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(INCOMING).join(number.to_string());
        let file = owner_only::open_file(OpenOptions::new().create_new(true).write(true), &path)?;
        Ok(IncomingFile { file, path: Some(path), hash: Sha256::new(), size: 0 })
    }

    /// Gives a complete file its name. It is durable when this returns.
    pub(super) fn keep(&self, mut incoming: CompleteFile) -> io::Result<()> {
        let path = self.path(&incoming.hash);
        let folder = path.parent().unwrap_or(&self.folder);
        if !folder.exists() {
            owner_only::create_folder(folder)?;
            self.sync_folder(&self.folder)?;
        }
        if let Some(from) = incoming.path.take() {
            fs::rename(&from, &path).inspect_err(|_| drop(fs::remove_file(&from)))?;
        }
        self.sync_folder(folder)
    }

    /// Opens a blob at a position.
    pub(super) fn open_blob(&self, hash: &BlobHash, position: u64) -> io::Result<File> {
        let mut file = File::open(self.path(hash))?;
        if position > 0 {
            file.seek(SeekFrom::Start(position))?;
        }
        Ok(file)
    }

    /// Removes a blob. One that is not there is fine.
    pub(super) fn remove(&self, hash: &BlobHash) -> io::Result<()> {
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a blob has a file.
    pub(super) fn has(&self, hash: &BlobHash) -> bool {
        self.path(hash).is_file()
    }

    /// Moves the file of a blob to the folder of damaged ones.
    pub(super) fn set_aside(&self, hash: &BlobHash) -> io::Result<()> {
        let damaged = self.folder.join(DAMAGED);
        owner_only::create_folder(&damaged)?;
        fs::rename(self.path(hash), damaged.join(hash.to_hex()))?;
        self.sync_folder(&damaged)
    }

    /// The blobs whose hashes begin with this byte, and the sizes of their files.
    pub(super) fn shelf(&self, first_byte: u8) -> io::Result<Vec<(BlobHash, u64)>> {
        let mut found = Vec::new();
        for (path, hash) in self.entries(&self.folder.join(format!("{first_byte:02x}")))? {
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    found.extend(
                        hash.filter(|hash| self.path(hash) == path).map(|hash| (hash, metadata.len())),
                    );
                }
                // It was removed meanwhile.
                _ => {}
            }
        }
        Ok(found)
    }

    /// Files and folders that are not of blobs.
    pub(super) fn unknown(&self) -> io::Result<Vec<PathBuf>> {
        let mut unknown = Vec::new();
        for (path, _) in self.entries(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_shelf =
                name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if is_shelf && path.is_dir() {
                let files = self.entries(&path)?.into_iter();
                unknown.extend(
                    files
                        .filter(|(path, hash)| hash.is_none_or(|hash| self.path(&hash) != *path))
                        .map(|(path, _)| path),
                );
            } else if ![INCOMING, DAMAGED].contains(&name) {
                unknown.push(path);
            }
        }
        Ok(unknown)
    }

    /// What is in a folder, and which blob it is by its name. A folder that does not exist has nothing.
    fn entries(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Option<BlobHash>)>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let named = |entry: io::Result<fs::DirEntry>| {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let hash = name.and_then(|name| BlobHash::from_hex(name).ok());
            Ok((path, hash))
        };
        entries.map(named).collect()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match self.durability {
            Durability::Full => File::open(folder)?.sync_all(),
            Durability::Process => Ok(()),
        }
    }
}

/// A file that is being written. It is removed if it is dropped.
pub(super) struct IncomingFile {
    file: File,
    path: Option<PathBuf>,
    hash: Sha256,
    size: u64,
}

/// A file whose bytes are all there, and durable. It is removed if it is dropped.
pub(super) struct CompleteFile {
    path: Option<PathBuf>,
    pub(super) hash: BlobHash,
    pub(super) size: u64,
}

impl IncomingFile {
    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Checks the hash of all bytes, and waits until they are on the disk. `Err` within has another hash.
    pub(super) fn complete(
        mut self,
        durability: Durability,
        is_expected: impl FnOnce(&BlobHash) -> bool,
    ) -> io::Result<Result<CompleteFile, BlobHash>> {
        let hash = BlobHash::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if !is_expected(&hash) {
            return Ok(Err(hash));
        }
        if durability == Durability::Full {
            self.file.sync_data()?;
        }
        Ok(Ok(CompleteFile { path: self.path.take(), hash, size: self.size }))
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        remove_unfinished(self.path.take());
    }
}

impl Drop for CompleteFile {
    fn drop(&mut self) {
        remove_unfinished(self.path.take());
    }
}

fn remove_unfinished(path: Option<PathBuf>) {
    if let Some(path) = path {
        // What stays is removed at the next start.
        let _ = fs::remove_file(path);
    }
}

/// Reads up to `length` bytes.
pub(super) fn read_chunk(file: &mut File, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length);
    io::Read::by_ref(file).take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use openagents_host::native::Durability;

    use super::{BlobFiles, read_chunk};

    fn count(folder: &std::path::Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_blob_has_its_name_only_once_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let files = BlobFiles::open(folder.path().to_owned(), Durability::Full).unwrap();
        let mut file = files.create().unwrap();
        file.write(b"hello ").unwrap();
        file.write(b"world").unwrap();
        let complete = file.complete(Durability::Full, |_| true).unwrap().unwrap();
        let hash = complete.hash;
        let expected = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!((hash.to_hex().as_str(), complete.size), (expected, 11));
        assert!(files.open_blob(&hash, 0).is_err());
        files.keep(complete).unwrap();
        let mut blob = files.open_blob(&hash, 6).unwrap();
        assert_eq!(read_chunk(&mut blob, 100).unwrap(), "world");
        assert_eq!(count(&folder.path().join("incoming")), 0);
        files.remove(&hash).unwrap();
        files.remove(&hash).unwrap();
        assert!(files.open_blob(&hash, 0).is_err());
    }

    #[test]
    fn nothing_unfinished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = BlobFiles::open(folder.path().to_owned(), Durability::Process).unwrap();
        let incoming = folder.path().join("incoming");
        let mut file = files.create().unwrap();
        file.write(b"half").unwrap();
        assert_eq!(count(&incoming), 1);
        drop(file);
        drop(files.create().unwrap().complete(Durability::Process, |_| true).unwrap());
        assert!(files.create().unwrap().complete(Durability::Process, |_| false).unwrap().is_err());
        assert_eq!(count(&incoming), 0);
        // As after the sudden end of a process.
        fs::write(incoming.join("7"), "half").unwrap();
        BlobFiles::open(folder.path().to_owned(), Durability::Process).unwrap();
        assert_eq!(count(&incoming), 0);
    }
}
