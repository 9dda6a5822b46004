//! `AuditStore`: where audit records are kept, and how one is stored so that none replaces another.

use async_trait::async_trait;

use super::key::AuditKey;
use super::record::AuditRecord;
use crate::send::Shareable;

/// Why records cannot be stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuditError {
    /// There is nowhere to store them.
    #[error("the audit has no bucket: add an R2 bucket with the binding AUDIT to wrangler.toml")]
    NoBucket,
    /// R2 or the disk failed. It is unknown whether a record was stored.
    #[error("the audit cannot be stored or read: {0}")]
    Failed(String),
    /// Other records have all its keys.
    #[error("there are other records under all keys of this one")]
    NoKey,
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditPage {
    /// In ascending order, which is that of time.
    pub(crate) keys: Vec<AuditKey>,
    /// What the next page comes after; `None` if there is none. In a bucket, this may be the name of another object.
    pub(crate) next: Option<String>,
}

/// A bucket or a folder of audit records. Each host has its own.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait AuditStore: Shareable {
    /// Stores a record durably, unless there is one under this key. Returns whether it did.
    async fn put_new(&self, key: &AuditKey, json: &str) -> Result<bool, AuditError>;

    /// The record under a key.
    async fn get(&self, key: &AuditKey) -> Result<Option<String>, AuditError>;

    /// The first keys, `limit` at most, that begin with `prefix` and are greater than `after`.
    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<AuditPage, AuditError>;
}

/// Stores a record under the first of its keys that is free. Can be repeated after an error: a record that was stored
/// nevertheless is recognised.
pub(crate) async fn store(store: &dyn AuditStore, record: &AuditRecord) -> Result<(), AuditError> {
    for key in record.keys() {
        let is_stored = store.put_new(&key, &record.json).await?
            || store.get(&key).await?.as_deref() == Some(&record.json);
        if is_stored {
            return Ok(());
        }
    }
    Err(AuditError::NoKey)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use openagents_host::Timestamp;

    use super::{AuditError, AuditKey, AuditPage, AuditRecord, AuditStore, store};

    /// A store that fails after it has stored a record, while `fails` is set.
    #[derive(Default)]
    struct Memory {
        records: Mutex<BTreeMap<AuditKey, String>>,
        fails: Mutex<bool>,
    }

    #[async_trait]
    impl AuditStore for Memory {
        async fn put_new(&self, key: &AuditKey, json: &str) -> Result<bool, AuditError> {
            let mut records = self.records.lock().unwrap();
            let is_new = !records.contains_key(key);
            if is_new {
                records.insert(key.clone(), json.to_owned());
            }
            if *self.fails.lock().unwrap() { Err(AuditError::Failed("lost".to_owned())) } else { Ok(is_new) }
        }

        async fn get(&self, key: &AuditKey) -> Result<Option<String>, AuditError> {
            Ok(self.records.lock().unwrap().get(key).cloned())
        }

        async fn list(&self, _: &str, _: &str, _: usize) -> Result<AuditPage, AuditError> {
            Ok(AuditPage::default())
        }
    }

    fn record(id: &str) -> AuditRecord {
        AuditRecord { at: Timestamp::from_millis(7), id: id.to_owned(), json: format!("\"{id}\"") }
    }

    #[tokio::test]
    async fn records_of_one_millisecond_do_not_replace_each_other() {
        let memory = Memory::default();
        for id in ["aaaaaaaa1", "aaaaaaaa2", "aaaaaaaa3", "b"] {
            store(&memory, &record(id)).await.unwrap();
        }
        let records = memory.records.into_inner().unwrap();
        let found: Vec<_> = records.iter().map(|(key, json)| (key.as_str(), json.as_str())).collect();
        assert_eq!(
            found,
            [
                ("audit/7-aaaaaaaa.json", "\"aaaaaaaa2\""),
                ("audit/7-aaaaaaaa3.json", "\"aaaaaaaa3\""),
                ("audit/7-b.json", "\"b\""),
                ("audit/7.json", "\"aaaaaaaa1\""),
            ]
        );
    }

    #[tokio::test]
    async fn a_record_that_was_stored_although_the_store_failed_is_not_stored_twice() {
        let memory = Memory::default();
        store(&memory, &record("a")).await.unwrap();
        *memory.fails.lock().unwrap() = true;
        assert!(store(&memory, &record("b")).await.is_err());
        *memory.fails.lock().unwrap() = false;
        // The first key is of another record, so the second attempt goes on to the next one.
        store(&memory, &record("b")).await.unwrap();
        store(&memory, &record("b")).await.unwrap();
        assert_eq!(memory.records.into_inner().unwrap().len(), 2);
    }
}
