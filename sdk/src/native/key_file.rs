//! Files with a secret key: the agent's, and that of the customer who uses the command `ask`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use openagents_host::Keys;
use openagents_host::native::owner_only;
use openagents_host::nostr::keys::KeyError;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyFileError {
    #[error(
        "other users of this machine can read the key file {path}: make it yours alone with `chmod 600 {path}`",
        path = path.display()
    )]
    OpenToOthers { path: PathBuf },
    #[error("cannot use the key file {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error(
        "the file {} does not hold a key: {error}. Restore the key, or delete the file to start with a new identity",
        path.display()
    )]
    Key { path: PathBuf, error: KeyError },
    #[error(transparent)]
    NewKey(#[from] KeyError),
}

impl KeyFileError {
    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::File { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// A key and the file that keeps it.
pub(super) struct KeptKey {
    pub(super) keys: Keys,
    pub(super) path: PathBuf,
    pub(super) is_new: bool,
}

/// The key in this file, or a new one, stored there so that only its owner can read it.
pub(super) fn read_or_make(path: PathBuf) -> Result<KeptKey, KeyFileError> {
    match read(&path) {
        Ok(keys) => Ok(KeptKey { keys, path, is_new: false }),
        Err(error) if error.is_missing() => {
            let keys = Keys::generate()?;
            match write_private(&path, &format!("{}\n", keys.to_nsec())) {
                // Another process may have made one at the same time: what the file holds counts.
                Ok(()) => Ok(KeptKey { keys: read(&path)?, path, is_new: true }),
                Err(error) => Err(KeyFileError::File { path, error }),
            }
        }
        Err(error) => Err(error),
    }
}

/// Reads a key file, unless others can read it too: whoever has the key is its owner.
pub(super) fn read(path: &Path) -> Result<Keys, KeyFileError> {
    let mut text = String::new();
    let is_open_to_others = File::open(path)
        .and_then(|mut file| {
            file.read_to_string(&mut text)?;
            owner_only::is_open_to_others(&file)
        })
        .map_err(|error| KeyFileError::File { path: path.to_owned(), error })?;
    if is_open_to_others {
        return Err(KeyFileError::OpenToOthers { path: path.to_owned() });
    }
    text.parse().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
}

/// Writes a file that only its owner can read, atomically, so that a crash cannot leave half a key.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = owner_only::open_file(OpenOptions::new().write(true).create_new(true), &unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
