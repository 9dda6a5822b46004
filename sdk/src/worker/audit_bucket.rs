//! The R2 bucket of the gateway's audit: an object for each record.

use async_trait::async_trait;
use worker::{Bucket, Conditional, Env, Error, HttpMetadata};

use crate::audit::{AuditError, AuditKey, AuditPage, AuditStore};

/// The binding of the bucket.
const BINDING: &str = "AUDIT";

/// The code of R2's error for two writes to one key within a second. Nothing was stored then.
const TOO_MANY_WRITES: &str = "(10058)";

/// The bucket that is bound to this Worker as `AUDIT`.
pub(super) struct AuditBucket(Bucket);

impl AuditBucket {
    pub(super) fn of(env: &Env) -> Result<Self, AuditError> {
        env.bucket(BINDING).map(Self).map_err(|_| AuditError::NoBucket)
    }
}

#[async_trait(?Send)]
impl AuditStore for AuditBucket {
    async fn put_new(&self, key: &AuditKey, json: &str) -> Result<bool, AuditError> {
        let content_type = Some("application/json".to_owned());
        let put = self
            .0
            .put(key.as_str(), json.to_owned())
            .only_if(Conditional { etag_does_not_match: Some("*".to_owned()), ..Conditional::default() })
            .http_metadata(HttpMetadata { content_type, ..HttpMetadata::default() });
        match put.execute().await {
            Ok(stored) => Ok(stored.is_some()),
            Err(error) if error.to_string().contains(TOO_MANY_WRITES) => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn get(&self, key: &AuditKey) -> Result<Option<String>, AuditError> {
        let object = self.0.get(key.as_str()).execute().await.map_err(|error| failed(&error))?;
        match object.as_ref().and_then(worker::Object::body) {
            Some(body) => body.text().await.map(Some).map_err(|error| failed(&error)),
            None => Ok(None),
        }
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<AuditPage, AuditError> {
        let mut list = self.0.list().prefix(prefix).limit(u32::try_from(limit).unwrap_or(u32::MAX));
        if !after.is_empty() {
            list = list.start_after(after);
        }
        let listed = list.execute().await.map_err(|error| failed(&error))?;
        let names: Vec<String> = listed.objects().iter().map(worker::Object::key).collect();
        let keys = names.iter().filter_map(|name| AuditKey::parse(name)).collect();
        Ok(AuditPage { keys, next: names.into_iter().next_back().filter(|_| listed.truncated()) })
    }
}

fn failed(error: &Error) -> AuditError {
    AuditError::Failed(error.to_string())
}
