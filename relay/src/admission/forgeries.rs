//! Who sent forged signatures: their events are not verified together with those of others.
//!
//! Signatures that come together are verified as one sum. A forged one costs a sum that fails, after which each is
//! verified alone. So whoever sent one pays for that with their own next events only.

use std::collections::BTreeMap;

use super::WorkOwner;

/// How many events are verified alone after a forged signature.
const ALONE: u32 = 1_024;

/// How many senders are remembered. Of more, some are forgotten.
const MAX_SENDERS: usize = 4_096;

/// The senders of forged signatures, and how many of their next events are verified alone. Networks are remembered over
/// reconnections.
#[derive(Debug, Default)]
pub(crate) struct Forgeries(BTreeMap<WorkOwner, u32>);

impl Forgeries {
    /// Records that somebody has sent a forged signature.
    pub(crate) fn record(&mut self, sender: WorkOwner) {
        if self.0.len() >= MAX_SENDERS && !self.0.contains_key(&sender) {
            self.0.pop_first();
        }
        self.0.insert(sender, ALONE);
    }

    /// Whether the next event of a sender is verified alone. Counts the event.
    pub(crate) fn is_verified_alone(&mut self, sender: WorkOwner) -> bool {
        let Some(left) = self.0.get_mut(&sender) else { return false };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.0.remove(&sender);
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::{ALONE, Forgeries, MAX_SENDERS};
    use crate::admission::WorkOwner;
    use crate::session::ConnectionId;

    fn sender(number: u64) -> WorkOwner {
        WorkOwner::Connection(ConnectionId::new(number))
    }

    #[test]
    fn who_has_sent_a_forged_signature_is_verified_alone_for_a_while() {
        let mut forgeries = Forgeries::default();
        assert!(!forgeries.is_verified_alone(sender(1)));
        forgeries.record(sender(1));
        assert!(
            (0..ALONE)
                .all(|_| forgeries.is_verified_alone(sender(1)) && !forgeries.is_verified_alone(sender(2)))
        );
        assert!(!forgeries.is_verified_alone(sender(1)));
    }

    #[test]
    fn remembers_only_so_many_senders() {
        let mut forgeries = Forgeries::default();
        let many = MAX_SENDERS as u64 + 10;
        (0..many).for_each(|number| forgeries.record(sender(number)));
        assert_eq!(forgeries.0.len(), MAX_SENDERS);
        assert!(forgeries.is_verified_alone(sender(many - 1)));
    }
}
