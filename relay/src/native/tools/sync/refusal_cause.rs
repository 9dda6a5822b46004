//! Why another relay refuses a request (`CLOSED`, NIP-01; `NEG-ERR`, NIP-77), as far as its reason tells.

use openagents_host::nostr::reason::{Prefix, Reason};

/// What has to change before the relay serves the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalCause {
    /// The client must authenticate (NIP-42).
    Authentication,
    /// There were too many requests: the same one may succeed later.
    Quota,
    /// The request covers too many events: a smaller one may succeed.
    Size,
    /// Anything else.
    Other,
}

/// Words about the size of a query, the NIP's example among them (`blocked: this query is too big`).
const SIZE: [&str; 5] = ["too big", "too large", "too many records", "too many events", "too many results"];

/// Words about how often or how fast requests come.
const QUOTA: [&str; 9] = [
    "try again",
    "too many requests",
    "too many concurrent",
    "too many subscriptions",
    "too fast",
    "slow down",
    "rate limit",
    "rate-limit",
    "per minute",
];

impl RefusalCause {
    pub(super) fn of(reason: &Reason) -> Self {
        let text = reason.text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match reason.prefix {
            Prefix::AuthRequired => Self::Authentication,
            Prefix::RateLimited => Self::Quota,
            _ if has(&SIZE) => Self::Size,
            _ if has(&QUOTA) => Self::Quota,
            Prefix::Blocked if has(&["too many", "too much"]) => Self::Size,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::nostr::reason::Reason;

    use super::RefusalCause;

    #[test]
    fn a_quota_is_not_a_size() {
        for (reason, cause) in [
            ("blocked: this query is too big", RefusalCause::Size),
            ("blocked: too many records", RefusalCause::Size),
            ("error: Too many results, try again with a smaller range", RefusalCause::Size),
            ("blocked: that is too much", RefusalCause::Size),
            ("blocked: too many requests, try again in a minute", RefusalCause::Quota),
            ("error: Slow down", RefusalCause::Quota),
            ("rate-limited: this query is too big for now", RefusalCause::Quota),
            ("ERROR: too many concurrent NEG requests", RefusalCause::Quota),
            ("auth-required: members only", RefusalCause::Authentication),
            ("blocked: you are not welcome", RefusalCause::Other),
            ("invalid: too many filters", RefusalCause::Other),
            ("unsupported: NEG-OPEN", RefusalCause::Other),
        ] {
            assert_eq!(RefusalCause::of(&Reason::parse(reason)), cause, "{reason}");
        }
    }
}
