//! `PUT /report` (BUD-09): a signed report (NIP-56) of blobs to the operator.

use openagents_host::nostr::Event;
use openagents_host::{BlobHash, EventId, Kind, PublicKey};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The longest report, in bytes.
pub(crate) const MAX_REPORT_BYTES: usize = 64 * 1024;

/// The most blobs of one report that are recorded.
const MAX_REPORTED: usize = 10;

/// The longest text of a report that is kept, in characters.
const MAX_TEXT: usize = 1_000;

/// A verified report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) id: EventId,
    pub(crate) reporter: PublicKey,
    /// The blobs, and for each what is wrong with it in NIP-56's words, such as `malware`.
    pub(crate) blobs: Vec<(BlobHash, String)>,
    pub(crate) text: String,
}

impl Report {
    /// Reads and verifies the body of a request.
    pub(crate) fn of(body: &[u8]) -> Result<Self, Refusal> {
        let event: Event = serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request(format!("the body must be a signed event (NIP-56): {error}"))
        })?;
        if event.kind != Kind::REPORTING {
            let reason = format!("expected an event of kind 1984 (NIP-56), found kind {}", event.kind);
            return Err(Refusal::bad_request(reason));
        }
        let blobs: Vec<_> =
            event.tags_named("x").filter_map(|tag| reported(tag)).take(MAX_REPORTED).collect();
        if blobs.is_empty() {
            return Err(Refusal::bad_request(
                "the report must name a blob: [\"x\", \"<sha256>\", \"<what is wrong>\"]",
            ));
        }
        let event = event.verify().map_err(|error| Refusal::bad_request(error.to_string()))?;
        let text = event.content.chars().take(MAX_TEXT).collect();
        Ok(Self { id: event.id, reporter: event.pubkey, blobs, text })
    }
}

fn reported(tag: &[String]) -> Option<(BlobHash, String)> {
    let hash = BlobHash::from_hex(tag.get(1)?).ok()?;
    let what = tag.get(2).map(String::as_str).unwrap_or_default();
    Some((hash, what.chars().take(50).collect()))
}

#[cfg(test)]
mod tests {
    use openagents_host::http::StatusCode;
    use openagents_host::nostr::UnsignedEvent;
    use openagents_host::{BlobHash, Keys, Kind, Timestamp};

    use super::Report;

    fn report(kind: Kind, tag: &[&str]) -> String {
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let event = UnsignedEvent::new(kind, "why").tag(tag.iter().copied());
        event.sign(&keys, Timestamp::from_seconds(1)).json().to_string()
    }

    #[test]
    fn a_report_names_blobs_and_what_is_wrong_with_them() {
        let hash = "ab".repeat(32);
        let found = Report::of(report(Kind::REPORTING, &["x", &hash, "malware"]).as_bytes()).unwrap();
        assert_eq!(found.blobs, [(BlobHash::from_bytes([0xab; 32]), "malware".to_owned())]);
        assert_eq!(found.text, "why");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let hash = "ab".repeat(32);
        let forged = report(Kind::REPORTING, &["x", &hash]).replace("why", "who");
        for body in [
            "{}".to_owned(),
            report(Kind::TEXT_NOTE, &["x", &hash]),
            report(Kind::REPORTING, &["x", "ab"]),
            report(Kind::REPORTING, &["p", &hash]),
            forged,
        ] {
            assert_eq!(Report::of(body.as_bytes()).unwrap_err().status, StatusCode::BAD_REQUEST, "{body}");
        }
    }
}
