//! `AuditRecord`: the JSON of a request to the gateway, or of those that were refused within a minute.

use openagents_host::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::key::AuditKey;
use crate::iso_8601;

/// A record that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    /// When the request ended, or the minute of a summary.
    pub(crate) at: Timestamp,
    /// The id of the request, in hex.
    pub(crate) id: String,
    /// The record.
    pub(crate) json: String,
}

impl AuditRecord {
    /// The keys under which it may be stored, in the order in which they are tried.
    pub(super) fn keys(&self) -> [AuditKey; 3] {
        AuditKey::candidates(self.at, &self.id)
    }
}

/// What a record says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestAudit<'a> {
    /// The id of the request, in hex.
    pub(crate) id: &'a str,
    /// The network of the client; `None` if it is unknown.
    pub(crate) client: Option<&'a str>,
    pub(crate) action: &'a str,
    pub(crate) payload: &'a RawValue,
    /// Whether the record has the payload itself, and not only its hash.
    pub(crate) has_payload: bool,
    /// The status of the response.
    pub(crate) status: u16,
    /// The status of the backend's response, if there was one.
    pub(crate) backend_status: Option<u16>,
    pub(crate) begun: Timestamp,
    pub(crate) ended: Timestamp,
}

impl RequestAudit<'_> {
    /// The record.
    pub(crate) fn record(&self) -> AuditRecord {
        let payload = self.payload.get();
        let hash: String = Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = RequestFields {
            kind: "request",
            timestamp: iso_8601::text(self.ended),
            request_id: self.id,
            client: self.client,
            action: self.action,
            payload_sha256: hash,
            payload_bytes: payload.len(),
            payload: self.has_payload.then_some(self.payload),
            status: self.status,
            backend_status: self.backend_status,
            milliseconds: self.begun.until(self.ended).as_millis(),
        };
        // Its fields can all be written as JSON.
        let json = serde_json::to_string(&fields).unwrap_or_default();
        AuditRecord { at: self.ended, id: self.id.to_owned(), json }
    }
}

#[derive(Serialize)]
struct RequestFields<'a> {
    kind: &'static str,
    timestamp: String,
    request_id: &'a str,
    client: Option<&'a str>,
    action: &'a str,
    payload_sha256: String,
    payload_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    status: u16,
    backend_status: Option<u16>,
    milliseconds: u128,
}

/// The requests of a minute that were not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedRequests {
    /// The beginning of the minute.
    pub(crate) from: Timestamp,
    /// Its end.
    pub(crate) until: Timestamp,
    /// How many were no requests of the gateway's form.
    pub(crate) malformed: u64,
    /// How many were more than their client's share.
    pub(crate) rate_limited: u64,
}

impl RefusedRequests {
    /// The record that sums them up.
    pub(crate) fn record(&self) -> AuditRecord {
        let json = json!({
            "kind": "refused_requests",
            "timestamp": iso_8601::text(self.until),
            "from": iso_8601::text(self.from),
            "until": iso_8601::text(self.until),
            "malformed": self.malformed,
            "rate_limited": self.rate_limited,
        });
        // Not the id of a request, and the same whenever it is tried again.
        let id = format!("{:032x}", self.until.as_millis());
        AuditRecord { at: self.until, id, json: json.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::{RefusedRequests, RequestAudit};

    #[test]
    fn a_record_has_the_hash_of_the_payload_and_itself_only_if_that_is_wanted() {
        let payload = RawValue::from_string("{ \"prompt\": \"hello\" }".to_owned()).unwrap();
        let audit = RequestAudit {
            id: "ab",
            client: Some("192.0.2.1"),
            action: "evaluate",
            payload: &payload,
            has_payload: false,
            status: 502,
            backend_status: Some(500),
            begun: Timestamp::from_millis(1_000),
            ended: Timestamp::from_millis(1_025),
        };
        let mut expected = json!({
            "kind": "request",
            "timestamp": "1970-01-01T00:00:01.025Z",
            "request_id": "ab",
            "client": "192.0.2.1",
            "action": "evaluate",
            "payload_sha256": "5ff15efe3d19a8a8db8ba6a7a9cd8f0a05be0c0b6df1ab2da0dcdb1d4a8dd6e4",
            "payload_bytes": 21,
            "status": 502,
            "backend_status": 500,
            "milliseconds": 25,
        });
        let read = |audit: RequestAudit<'_>| serde_json::from_str::<Value>(&audit.record().json).unwrap();
        let found = read(audit);
        expected["payload_sha256"] = found["payload_sha256"].clone();
        assert_eq!(found["payload_sha256"].as_str().unwrap().len(), 64);
        assert_eq!(found, expected);
        assert_eq!(
            read(RequestAudit { has_payload: true, ..audit })["payload"],
            json!({ "prompt": "hello" })
        );
    }

    #[test]
    fn refused_requests_are_one_record() {
        let minute = RefusedRequests {
            from: Timestamp::from_seconds(0),
            until: Timestamp::from_seconds(60),
            malformed: 2,
            rate_limited: 3,
        };
        let record = minute.record();
        assert_eq!(record.keys()[0].as_str(), "audit/60000.json");
        let json: Value = serde_json::from_str(&record.json).unwrap();
        assert_eq!((&json["malformed"], &json["rate_limited"]), (&json!(2), &json!(3)));
    }
}
