//! Bytes that are being uploaded, which count for their owner's quota.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use openagents_host::PublicKey;

/// How many bytes each owner is uploading: they count for the quota before they are in the index.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashMap<PublicKey, u64>>);

impl InFlight {
    /// Counts these bytes until the value is dropped.
    pub(super) fn add(&self, owner: PublicKey, bytes: u64) -> Counted<'_> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = owners.entry(owner).or_default();
        *all = all.saturating_add(bytes);
        Counted { in_flight: self, owner, bytes }
    }

    /// How many bytes this owner is uploading.
    pub(super) fn of(&self, owner: &PublicKey) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(owner).copied().unwrap_or(0)
    }
}

/// Bytes that count.
pub(super) struct Counted<'a> {
    in_flight: &'a InFlight,
    owner: PublicKey,
    bytes: u64,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut owners = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = owners.get_mut(&self.owner) {
            *all = all.saturating_sub(self.bytes);
            if *all == 0 {
                owners.remove(&self.owner);
            }
        }
    }
}
