//! Whether the data folder's disk takes data, for `GET /health`: on a full disk, reading still works.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openagents_host::native::owner_only;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The file that is written and removed by a check.
const FILE: &str = "health-check";

/// How many bytes are written: with less free space, a relay cannot go on for long.
const WRITTEN_BYTES: usize = 1024 * 1024;

/// How long a result is valid, however often somebody requests `/health`.
const MAX_RESULT_AGE: Duration = Duration::from_secs(10);

/// How long a check may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks whether files in the data folder can be written.
pub(super) struct DiskCheck {
    path: PathBuf,
    last: Mutex<Option<(Instant, bool)>>,
}

impl DiskCheck {
    pub(super) fn of(data: &Path) -> Self {
        Self { path: data.join(FILE), last: Mutex::default() }
    }

    /// Whether data can be written. If not, the reason is logged.
    pub(super) async fn is_writable(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, is_writable)) = *last
            && at.elapsed() < MAX_RESULT_AGE
        {
            return is_writable;
        }
        let path = self.path.clone();
        let written = tokio::time::timeout(TIMEOUT, tokio::task::spawn_blocking(move || write(&path))).await;
        let reason = match written {
            Ok(Ok(written)) => written.err().map(|error| error.to_string()),
            Ok(Err(panic)) => Some(panic.to_string()),
            Err(_) => Some(format!("writing takes longer than {TIMEOUT:?}")),
        };
        if let Some(reason) = &reason {
            tracing::error!(%reason, path = %self.path.display(), "the data folder cannot be written to");
        }
        *last = Some((Instant::now(), reason.is_none()));
        reason.is_none()
    }
}

/// Writes a file and removes it. It need not reach the disk: file systems reserve the space when they accept the data.
fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    let mut file = owner_only::open_file(&mut options, path)?;
    // Not zeros, which a file system with compression would not store.
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    let bytes: Vec<u8> = numbers.take(WRITTEN_BYTES).collect();
    let written = file.write_all(&bytes).and_then(|()| file.flush());
    drop(file);
    written.and(fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::{DiskCheck, FILE, MAX_RESULT_AGE};

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_noticed_and_also_that_there_is_space_again() {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskCheck::of(folder.path());
        assert!(disk.is_writable().await);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        // A folder in place of the file cannot be written to.
        let path = folder.path().join(FILE);
        std::fs::create_dir(&path).unwrap();
        assert!(disk.is_writable().await, "the result is still valid");
        tokio::time::advance(MAX_RESULT_AGE).await;
        assert!(!disk.is_writable().await);
        std::fs::remove_dir(&path).unwrap();
        tokio::time::advance(MAX_RESULT_AGE).await;
        assert!(disk.is_writable().await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_disk_without_space_is_full() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(FILE)).unwrap();
        assert!(!DiskCheck::of(folder.path()).is_writable().await);
    }
}
