//! The data folder: an agent's databases and its key.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use openagents_host::Keys;
use openagents_host::native::owner_only;

use super::key_file::{self, KeptKey, KeyFileError, write_private};

/// The agent's database.
pub(super) const AGENT_DATABASE: &str = "agent.sqlite";

/// The database of the blob server's index.
pub(super) const BLOSSOM_DATABASE: &str = "blossom.sqlite";

/// The folder of the blobs.
pub(super) const BLOBS_FOLDER: &str = "blobs";

/// The folder of the gateway's audit.
pub(super) const AUDIT_FOLDER: &str = "audit";

/// The file with the agent's key.
const KEY_FILE: &str = "agent.nsec";

/// Keeps all of the folder out of git: `git add .` must not take the agent's secret key.
const GIT_IGNORE: &str = "# The agent's secret key and its databases.\n*\n";

/// A data folder locked by this process.
pub(super) struct DataFolder {
    path: PathBuf,
    /// Locked while it is open; the operating system closes it when the process ends in any way.
    _lock: File,
}

/// Why the folder or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataFolderError {
    #[error("cannot use the data folder {}: {error}. Choose another with --data DIR", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error(
        "the data folder {} is in use by another process: stop it, or choose another folder with --data DIR",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}

impl DataFolder {
    /// The default data folder of a deployment with this name, below the working directory.
    pub(super) fn default_path(name: &str) -> PathBuf {
        PathBuf::from("data").join(name)
    }

    /// Creates the folder if it is missing, takes it from other users of the machine, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, DataFolderError> {
        let folder_error = |error| DataFolderError::Folder { path: path.to_owned(), error };
        owner_only::create_folder(path).map_err(folder_error)?;
        let path = path.canonicalize().map_err(folder_error)?;
        owner_only::restrict(&path);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = owner_only::open_file(&mut options, &path.join("lock"))
            .map_err(|error| DataFolderError::Folder { path: path.clone(), error })?;
        match lock.try_lock() {
            Ok(()) => {
                keep_out_of_git(&path);
                // For operators: `kill $(cat lock)`. A file that cannot be written is locked all the same.
                let _ = lock.set_len(0).and_then(|()| writeln!(&lock, "{}", std::process::id()));
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse { path }),
            Err(TryLockError::Error(error)) => Err(DataFolderError::Folder { path, error }),
        }
    }

    /// The folder's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The key in a folder, which another process may be using.
    pub(super) fn kept_key(path: &Path) -> Result<Keys, DataFolderError> {
        Ok(key_file::read(&path.join(KEY_FILE))?)
    }

    /// The agent's key: from the folder, or a new one, stored so that only its owner can read it.
    pub(super) fn agent_key(&self) -> Result<KeptKey, DataFolderError> {
        Ok(key_file::read_or_make(self.path.join(KEY_FILE))?)
    }
}

/// Has git ignore all of the folder, unless it has rules of its own or is the root of a repository.
fn keep_out_of_git(folder: &Path) {
    let path = folder.join(".gitignore");
    if path.exists() || folder.join(".git").exists() {
        return;
    }
    if let Err(error) = write_private(&path, GIT_IGNORE) {
        tracing::warn!(path = %path.display(), %error, "git may take the agent's secret key: the file cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DataFolder, DataFolderError};

    #[test]
    fn makes_a_key_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::take(&folder.path().join("a/b")).unwrap();
        let first = data.agent_key().unwrap();
        let second = data.agent_key().unwrap();
        assert!(first.is_new && !second.is_new);
        assert_eq!(first.keys.public_key(), second.keys.public_key());
        let kept = DataFolder::kept_key(&folder.path().join("a/b")).unwrap();
        assert_eq!(kept.public_key(), first.keys.public_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(first.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_lock_names_the_process_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "12345678901234567890\n").unwrap();
        let _data = DataFolder::take(folder.path()).unwrap();
        let lock = std::fs::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(lock.trim_end().parse(), Ok(std::process::id()));
    }

    #[test]
    fn keeps_the_folder_out_of_git_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join(".gitignore");
        drop(DataFolder::take(folder.path()).unwrap());
        assert!(std::fs::read_to_string(&rule).unwrap().lines().any(|line| line == "*"));
        std::fs::write(&rule, "mine").unwrap();
        drop(DataFolder::take(folder.path()).unwrap());
        assert_eq!(std::fs::read_to_string(&rule).unwrap(), "mine");
        let repository = tempfile::tempdir().unwrap();
        std::fs::create_dir(repository.path().join(".git")).unwrap();
        drop(DataFolder::take(repository.path()).unwrap());
        assert!(!repository.path().join(".gitignore").exists());
    }

    #[cfg(unix)]
    #[test]
    fn takes_the_folder_from_others_and_refuses_a_key_that_they_can_read() {
        use std::os::unix::fs::PermissionsExt;
        let set_mode =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let key = DataFolder::take(&path).unwrap().agent_key().unwrap().path;
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
        set_mode(&path, 0o755);
        set_mode(&key, 0o640);
        let data = DataFolder::take(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        for refused in [data.agent_key().map(|found| found.keys), DataFolder::kept_key(&path)] {
            let told = refused.err().unwrap().to_string();
            assert!(told.contains(&format!("chmod 600 {}", key.display())), "{told}");
        }
        set_mode(&key, 0o400);
        assert!(!data.agent_key().unwrap().is_new);
    }

    #[test]
    fn refuses_a_folder_that_another_process_uses() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::take(folder.path()).unwrap();
        assert!(matches!(DataFolder::take(folder.path()), Err(DataFolderError::InUse { .. })));
        drop(first);
        assert!(DataFolder::take(folder.path()).is_ok());
    }

    #[test]
    fn says_what_to_do_about_a_damaged_key() {
        let folder = tempfile::tempdir().unwrap();
        crate::native::key_file::write_private(&folder.path().join("agent.nsec"), "nsec1oops").unwrap();
        let error = DataFolder::take(folder.path()).unwrap().agent_key().err().unwrap().to_string();
        assert!(
            error.contains("agent.nsec") && error.contains("delete the file") && !error.contains("oops"),
            "{error}"
        );
    }
}
