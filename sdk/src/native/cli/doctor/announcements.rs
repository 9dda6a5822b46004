//! What an agent has announced on its relay: its jobs (NIP-89), its profile, its relays (NIP-65), and its relay for direct
//! messages (NIP-17).

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_host::net::{RelayClient, RelayError};
use openagents_host::nostr::Filter;
use openagents_host::{Kind, PublicKey, Timestamp, VerifiedEvent};
use url::Url;

use super::finding::Finding;
use super::public_routes::is_private;
use super::relay_connection::relay_url;
use crate::discovery::{DIRECT_MESSAGE_RELAYS, HANDLER_INFORMATION, METADATA, RELAY_LIST};

/// An announcement that was not renewed for so long is ignored by some clients.
const MAX_AGE: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Reads the announcements.
pub(super) async fn read(
    relay: &mut RelayClient,
    agent: &PublicKey,
) -> Result<Vec<VerifiedEvent>, RelayError> {
    let kinds = [METADATA, RELAY_LIST, DIRECT_MESSAGE_RELAYS, HANDLER_INFORMATION];
    relay.query(&[Filter::new().authors([*agent]).kinds(kinds.map(|kind| kind.0)).limit(50)]).await
}

/// They cannot be read.
pub(super) fn unreadable(error: &RelayError) -> Finding {
    Finding::fail(
        "nip-89",
        format!("the agent's announcements cannot be read: {error}"),
        "the relay should let strangers read kinds 0, 10002 and 31990: see RELAY_AUTH and RELAY_PRIVATE_KINDS",
    )
}

/// What was read.
pub(super) struct Announced<'a> {
    pub(super) events: &'a [VerifiedEvent],
    pub(super) now: Timestamp,
}

impl Announced<'_> {
    /// Holds it against where the deployment is, and what its agent offers.
    pub(super) fn check(&self, base: &Url, job_kinds: &[u16]) -> Vec<Finding> {
        let mut findings = vec![self.jobs(job_kinds), self.profile(), self.relays(base)];
        findings.extend(self.direct_messages(base));
        findings
    }

    fn latest(&self, kind: Kind) -> Option<&VerifiedEvent> {
        self.events.iter().filter(|event| event.kind == kind).max_by_key(|event| event.created_at)
    }

    fn jobs(&self, job_kinds: &[u16]) -> Finding {
        let check = "nip-89";
        let Some(event) = self.latest(HANDLER_INFORMATION) else {
            return Finding::warn(
                check,
                "the agent does not announce its jobs, so clients do not find it",
                "unset AGENT_ANNOUNCE, and check RELAY_ALLOWED_KINDS and RELAY_BLOCKED_KINDS (31990)",
            );
        };
        let announced: BTreeSet<u16> = event.tag_values("k").filter_map(|kind| kind.parse().ok()).collect();
        let offered: BTreeSet<u16> = job_kinds.iter().copied().collect();
        if announced != offered {
            let detail = format!("kinds {announced:?} are announced, but {offered:?} offered");
            return Finding::fail(check, detail, "does another deployment use the same key?");
        }
        let age = Timestamp::from_seconds(event.created_at).until(self.now);
        if age > MAX_AGE {
            let detail = format!("the announcement is {} days old", age.as_secs() / 86_400);
            return Finding::warn(check, detail, "it should be renewed every week: look into the log");
        }
        Finding::ok(check, format!("kinds {announced:?} are announced"))
    }

    fn profile(&self) -> Finding {
        match self.latest(METADATA) {
            Some(_) => Finding::ok("profile", "clients can show the agent's name"),
            None => Finding::warn(
                "profile",
                "the agent has no profile (kind 0)",
                "unset AGENT_ANNOUNCE, and check RELAY_ALLOWED_KINDS and RELAY_BLOCKED_KINDS (0)",
            ),
        }
    }

    fn relays(&self, base: &Url) -> Finding {
        let check = "nip-65";
        let own = relay_url(base);
        let listed = self.latest(RELAY_LIST).map(|event| event.tag_values("r").collect::<Vec<_>>());
        let listed = listed.unwrap_or_default();
        if listed.iter().any(|url| url.trim_end_matches('/').eq_ignore_ascii_case(&own)) {
            return Finding::ok(check, format!("{own} is announced as the agent's relay"));
        }
        if is_private(base) {
            return Finding::skip(check, "a private address is not announced");
        }
        let detail = match listed.as_slice() {
            [] => "the agent announces no relay, so clients do not know where to send requests".to_owned(),
            listed => format!("the agent announces {}, but not this address", listed.join(", ")),
        };
        Finding::warn(check, detail, format!("set RELAY_URL={own}"))
    }

    /// `None` for an agent that does not answer direct messages.
    fn direct_messages(&self, base: &Url) -> Option<Finding> {
        let event = self.latest(DIRECT_MESSAGE_RELAYS)?;
        let listed: Vec<&str> = event.tag_values("relay").collect();
        let own = relay_url(base);
        if is_private(base) || listed.iter().any(|url| url.trim_end_matches('/').eq_ignore_ascii_case(&own)) {
            return Some(Finding::ok("nip-17", "the relay for direct messages is announced"));
        }
        let detail = format!("direct messages are expected at {}, not here", listed.join(", "));
        Some(Finding::warn("nip-17", detail, format!("set RELAY_URL={own}")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};

    use super::Announced;
    use crate::native::cli::doctor::finding::Verdict;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn event(kind: u16, tags: &[[&str; 2]], age: u64) -> VerifiedEvent {
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let event = tags.iter().fold(UnsignedEvent::new(Kind(kind), "{}"), |event, tag| event.tag(*tag));
        event.sign(&keys, NOW - Duration::from_secs(age))
    }

    fn verdicts(events: &[VerifiedEvent], base: &str) -> Vec<(&'static str, Verdict)> {
        let findings = Announced { events, now: NOW }.check(&base.parse().unwrap(), &[5050, 5051]);
        findings.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn what_clients_need_is_announced() {
        let complete = [
            event(31_990, &[["k", "5050"], ["k", "5051"]], 10),
            event(31_990, &[["k", "5050"]], 100),
            event(0, &[], 10),
            event(10_002, &[["r", "wss://a.example/"]], 10),
            event(10_050, &[["relay", "wss://a.example"]], 10),
        ];
        let expected = ["nip-89", "profile", "nip-65", "nip-17"].map(|check| (check, Verdict::Ok));
        assert_eq!(verdicts(&complete, "https://a.example"), expected);
        let elsewhere = verdicts(&complete, "https://b.example");
        assert_eq!(elsewhere.get(2..), Some(&[("nip-65", Verdict::Warn), ("nip-17", Verdict::Warn)][..]));
        assert_eq!(verdicts(&complete, "http://127.0.0.1:8787")[2], ("nip-65", Verdict::Skip));
    }

    #[test]
    fn what_is_missing_other_or_old_is_told() {
        let nothing = verdicts(&[], "https://a.example");
        let expected = ["nip-89", "profile", "nip-65"].map(|check| (check, Verdict::Warn));
        assert_eq!(nothing, expected);
        let other = [event(31_990, &[["k", "5050"]], 10)];
        assert_eq!(verdicts(&other, "https://a.example")[0], ("nip-89", Verdict::Fail));
        let old = [event(31_990, &[["k", "5050"], ["k", "5051"]], 70 * 86_400)];
        assert_eq!(verdicts(&old, "https://a.example")[0], ("nip-89", Verdict::Warn));
    }
}
