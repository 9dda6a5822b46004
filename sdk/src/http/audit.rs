//! `GET /audit` and `GET /audit/{name}`: the records of the gateway's audit, for the agent's operators.

use openagents_host::http::response::{self, private};
use openagents_host::http::{Response, StatusCode};
use serde_json::json;

use super::operator::Operator;
use super::parameters::{self, number, value};
use crate::audit::{AuditError, AuditKey, AuditPage, AuditStore};

/// The number of keys if the request has no limit.
const DEFAULT_LIMIT: usize = 100;

/// The highest limit, which is R2's.
const MAX_LIMIT: usize = 1_000;

/// What every key begins with.
const PREFIX: &str = "audit/";

/// What an operator asks of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuditQuery {
    /// The keys with a prefix that are greater than `after` and less than `until`, in ascending order.
    List { prefix: String, after: String, until: Option<u64>, limit: usize },
    /// One record.
    Record(AuditKey),
}

impl AuditQuery {
    /// The query of a request: `name` is that of a record, `query` the URL's. `from` and `to` are Unix milliseconds, the
    /// second of which is not included.
    pub(super) fn new(_: &Operator, name: Option<&str>, query: &str) -> Result<Self, Response> {
        if let Some(name) = name {
            return AuditKey::parse(&format!("{PREFIX}{name}")).map(Self::Record).ok_or_else(missing);
        }
        let limit = parameters::limit(query, DEFAULT_LIMIT, MAX_LIMIT)?;
        let prefix = value(query, "prefix").unwrap_or_else(|| PREFIX.to_owned());
        // Nothing else in the bucket is shown.
        let prefix = if prefix.starts_with(PREFIX) { prefix } else { format!("{PREFIX}{prefix}") };
        // Keys of this millisecond are greater, since they go on.
        let from = number(query, "from")?.map(beginning_of);
        let after = value(query, "after").into_iter().chain(from).max().unwrap_or_default();
        Ok(Self::List { prefix, after, until: number(query, "to")?, limit })
    }

    /// Asks the audit.
    pub(crate) async fn answer(self, audit: Result<&dyn AuditStore, AuditError>) -> Response {
        match self.ask(audit).await {
            Ok(response) => private(response),
            Err(error) => {
                tracing::warn!(%error, "the audit could not be read");
                response::error(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}."))
            }
        }
    }

    async fn ask(self, audit: Result<&dyn AuditStore, AuditError>) -> Result<Response, AuditError> {
        let audit = audit?;
        match self {
            Self::Record(key) => {
                Ok(audit.get(&key).await?.map_or_else(missing, |json| response::json(StatusCode::OK, json)))
            }
            Self::List { prefix, after, until, limit } => {
                let page = audit.list(&prefix, &after, limit).await?;
                Ok(show(&page, until))
            }
        }
    }
}

fn show(page: &AuditPage, until: Option<u64>) -> Response {
    let end = until.map(beginning_of);
    let is_before_end = |key: &&str| end.as_deref().is_none_or(|end| *key < end);
    let keys: Vec<&str> = page.keys.iter().map(AuditKey::as_str).filter(is_before_end).collect();
    let next = page.next.as_deref().filter(is_before_end);
    response::json(StatusCode::OK, json!({ "keys": keys, "next": next }).to_string())
}

/// What the keys of a time begin with, with as many digits as a time of this century has: keys are in order as texts.
fn beginning_of(millis: u64) -> String {
    format!("{PREFIX}{millis:013}")
}

fn missing() -> Response {
    response::error(StatusCode::NOT_FOUND, "There is no such record; /audit lists the keys.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{AuditKey, AuditPage, beginning_of, show};
    use crate::http::fixtures::text;

    #[test]
    fn a_list_ends_before_its_end() {
        const FIRST: &str = "audit/1706745600001.json";
        const SECOND: &str = "audit/1706745600002.json";
        let keys = vec![AuditKey::parse(FIRST).unwrap(), AuditKey::parse(SECOND).unwrap()];
        let page = AuditPage { keys, next: Some(SECOND.to_owned()) };
        for (until, keys, next) in [
            (None, &[FIRST, SECOND][..], Some(SECOND)),
            (Some(1_706_745_600_003), &[FIRST, SECOND], Some(SECOND)),
            (Some(1_706_745_600_002), &[FIRST], None),
            (Some(1_706_745_600_001), &[], None),
            (Some(0), &[], None),
            (Some(2), &[], None),
        ] {
            let expected = json!({ "keys": keys, "next": next }).to_string();
            assert_eq!(text(show(&page, until)), expected, "{until:?}");
        }
    }

    #[test]
    fn a_time_before_all_keys_is_less_than_they_are() {
        for millis in [0, 2, 999, 1_706_745_600_000] {
            assert!(beginning_of(millis).as_str() < "audit/1706745600000.json", "{millis}");
        }
    }
}
