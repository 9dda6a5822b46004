//! How many requests a minute one network may send to the blob server.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use openagents_blossom::rate_limited;
use openagents_host::Timestamp;
use openagents_host::http::{Method, Response};
use openagents_relay::ConnectionId;
use openagents_relay::admission::{Activity, RateLimits, Rates};

/// Every request counts for its network alone.
const NO_CONNECTION: ConnectionId = ConnectionId::new(0);

/// Counts requests for blobs, in memory only; in a Worker, each isolate counts for itself.
pub(crate) struct BlobAdmission(Mutex<Rates>);

impl BlobAdmission {
    /// A network may read as often as it may send `REQ`s to the relay, and upload, delete and report as often as it may send
    /// events.
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self(Mutex::new(Rates::new(limits)))
    }

    /// Admits a request of the client with this address, or returns the response (BUD-01: 429).
    pub(crate) fn admit(
        &self,
        now: Timestamp,
        address: Option<IpAddr>,
        method: &Method,
    ) -> Result<(), Response> {
        let activity = match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Activity::Query,
            _ => Activity::Publish,
        };
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = rates.admit(now, NO_CONNECTION, address, activity);
        rates.close(NO_CONNECTION);
        admitted.map_err(|reason| rate_limited(&reason.text))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use openagents_host::Timestamp;
    use openagents_host::http::Method;
    use openagents_relay::admission::RateLimits;

    use super::BlobAdmission;

    #[test]
    fn a_network_that_reads_too_much_may_still_write_and_others_may_read() {
        let limits = RateLimits { requests_per_minute: 1, ..RateLimits::default() };
        let (admission, now) = (BlobAdmission::new(limits), Timestamp::from_seconds(1_700_000_000));
        let admit = |last: u8, method| admission.admit(now, Some(IpAddr::from([203, 0, 113, last])), method);
        for _ in 0..4 {
            assert!(admit(1, &Method::GET).is_ok());
        }
        let refused = admit(1, &Method::HEAD).unwrap_err();
        assert_eq!(refused.status().as_u16(), 429);
        assert_eq!(refused.headers()["retry-after"], "10");
        assert!(refused.headers()["x-reason"].to_str().unwrap().starts_with("too many requests"));
        assert_eq!(refused.headers()["access-control-allow-origin"], "*");
        assert!(admit(1, &Method::PUT).is_ok() && admit(2, &Method::GET).is_ok());
        assert!((0..10).all(|_| admission.admit(now, None, &Method::GET).is_ok()), "of the own machine");
    }
}
