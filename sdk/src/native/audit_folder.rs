//! The folder `audit/` of the data folder: a file for each record of the gateway's audit.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use openagents_host::native::{Durability, owner_only};

use crate::audit::{AuditError, AuditKey, AuditPage, AuditStore};

/// The folder of files that are not complete; emptied when the server starts.
const INCOMING: &str = "incoming";

/// The audit of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct AuditFolder(Arc<Files>);

#[derive(Debug)]
struct Files {
    folder: PathBuf,
    durability: Durability,
    /// Names files that are not complete.
    next: AtomicU64,
}

impl AuditFolder {
    /// Opens the folder, which is created with the first record, and removes what an earlier process has left unfinished.
    pub(super) fn open(folder: PathBuf, durability: Durability) -> Self {
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_dir_all(folder.join(INCOMING));
        Self(Arc::new(Files { folder, durability, next: AtomicU64::new(0) }))
    }

    /// Runs what waits for the disk.
    async fn with_files<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> Result<T, AuditError> {
        let files = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || body(&files)).await;
        done.map_err(io::Error::from).flatten().map_err(|error| AuditError::Failed(error.to_string()))
    }
}

impl Files {
    /// A link, unlike a new name, never replaces a file.
    fn put_new(&self, key: &AuditKey, json: &str) -> io::Result<bool> {
        let incoming = self.folder.join(INCOMING);
        if !incoming.exists() {
            owner_only::create_folder(&incoming)?;
        }
        let from = incoming.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let linked =
            self.write(&from, json).and_then(|()| fs::hard_link(&from, self.folder.join(key.file_name())));
        let _ = fs::remove_file(&from);
        match linked {
            Ok(()) => self.sync_folder().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &std::path::Path, json: &str) -> io::Result<()> {
        let mut file = owner_only::open_file(OpenOptions::new().create_new(true).write(true), path)?;
        file.write_all(json.as_bytes())?;
        if self.durability == Durability::Full { file.sync_data() } else { Ok(()) }
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.durability {
            Durability::Full => File::open(&self.folder)?.sync_all(),
            Durability::Process => Ok(()),
        }
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> io::Result<AuditPage> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AuditPage::default()),
            Err(error) => return Err(error),
        };
        // One more than the page has, to see whether there are more.
        let mut first = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some(key) = name.to_str().and_then(|name| AuditKey::parse(&format!("audit/{name}"))) else {
                continue;
            };
            if key.as_str().starts_with(prefix) && key.as_str() > after {
                first.insert(key);
                if first.len() > limit.saturating_add(1) {
                    first.pop_last();
                }
            }
        }
        let has_more = first.len() > limit;
        let keys: Vec<AuditKey> = first.into_iter().take(limit).collect();
        let next = keys.last().filter(|_| has_more).map(|last| last.as_str().to_owned());
        Ok(AuditPage { keys, next })
    }
}

#[async_trait]
impl AuditStore for AuditFolder {
    async fn put_new(&self, key: &AuditKey, json: &str) -> Result<bool, AuditError> {
        let (key, json) = (key.clone(), json.to_owned());
        self.with_files(move |files| files.put_new(&key, &json)).await
    }

    async fn get(&self, key: &AuditKey) -> Result<Option<String>, AuditError> {
        let key = key.clone();
        self.with_files(move |files| match fs::read_to_string(files.folder.join(key.file_name())) {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<AuditPage, AuditError> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        self.with_files(move |files| files.list(&prefix, &after, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::native::Durability;

    use super::{AuditFolder, AuditKey, AuditStore as _};

    fn key(name: &str) -> AuditKey {
        AuditKey::parse(&format!("audit/{name}.json")).unwrap()
    }

    #[tokio::test]
    async fn a_record_never_replaces_another() {
        let data = tempfile::tempdir().unwrap();
        let audit = AuditFolder::open(data.path().join("audit"), Durability::Full);
        assert_eq!(audit.get(&key("1")).await, Ok(None));
        assert_eq!(audit.put_new(&key("1"), "one").await, Ok(true));
        assert_eq!(audit.put_new(&key("1"), "two").await, Ok(false));
        assert_eq!(audit.get(&key("1")).await.unwrap().as_deref(), Some("one"));
        assert_eq!(std::fs::read_dir(data.path().join("audit/incoming")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn keys_are_listed_in_order_and_page_by_page() {
        let data = tempfile::tempdir().unwrap();
        let audit = AuditFolder::open(data.path().join("audit"), Durability::Process);
        assert!(audit.list("audit/", "", 10).await.unwrap().keys.is_empty());
        for name in ["1002", "1001", "2001", "1001-ab"] {
            audit.put_new(&key(name), "{}").await.unwrap();
        }
        std::fs::write(data.path().join("audit/notes.txt"), "").unwrap();
        let listed = async |prefix: &str, after: &str, limit| {
            let page = audit.list(prefix, after, limit).await.unwrap();
            (page.keys.iter().map(|key| key.file_name().to_owned()).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(listed("audit/", "", 4).await.0, ["1001-ab.json", "1001.json", "1002.json", "2001.json"]);
        let next = Some("audit/1001.json".to_owned());
        assert_eq!(listed("audit/1", "", 2).await, (vec!["1001-ab.json".into(), "1001.json".into()], next));
        assert_eq!(listed("audit/1", "audit/1001.json", 2).await, (vec!["1002.json".into()], None));
    }
}
