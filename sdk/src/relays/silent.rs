//! External relays that did not answer lately, so that look-ups skip them for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::net::RelayError;

use crate::clock;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10 * 60);

/// How many relays are remembered.
const MAX_REMEMBERED: usize = 512;

/// The relays that did not answer lately. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct SilentRelays(Arc<Mutex<Vec<Silence>>>);

struct Silence {
    url: String,
    failures: u32,
    until: Timestamp,
}

impl SilentRelays {
    /// Whether a relay is not queried now.
    pub(super) fn is_pausing(&self, url: &str) -> bool {
        self.relays().iter().any(|silence| silence.url == url && silence.until > clock::now())
    }

    pub(super) fn answered(&self, url: &str) {
        self.relays().retain(|silence| silence.url != url);
    }

    pub(super) fn failed(&self, url: &str, error: &RelayError) {
        // A relay that refuses is not silent.
        if matches!(error, RelayError::Closed { .. }) {
            return self.answered(url);
        }
        let now = clock::now();
        let mut relays = self.relays();
        let known = relays.iter().position(|silence| silence.url == url).map(|known| relays.remove(known));
        let failures = known.map_or(0, |silence| silence.failures);
        if relays.len() >= MAX_REMEMBERED {
            // The one that has not failed for longest.
            relays.remove(0);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(8)).min(MAX_PAUSE);
        relays.push(Silence {
            url: url.to_owned(),
            failures: failures.saturating_add(1),
            until: now + pause,
        });
    }

    fn relays(&self) -> MutexGuard<'_, Vec<Silence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_pauses_longer_with_each_failure_until_it_answers() {
        let silent = SilentRelays::default();
        let url = "wss://silent.example";
        let mut pauses = Vec::new();
        for _ in 0..7 {
            silent.failed(url, &RelayError::Disconnected);
            assert!(silent.is_pausing(url));
            pauses.push((clock::now().until(silent.relays()[0].until).as_secs_f32() / 10.0).round());
        }
        assert_eq!(pauses, [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]);
        assert!(!silent.is_pausing("wss://silent.example/another"));
        silent.answered(url);
        assert!(!silent.is_pausing(url));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let silent = SilentRelays::default();
        for number in 0..3_000 {
            silent.failed(&format!("wss://{number}.example"), &RelayError::Disconnected);
        }
        assert_eq!(silent.relays().len(), MAX_REMEMBERED);
    }
}
