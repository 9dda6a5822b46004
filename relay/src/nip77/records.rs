//! The set of events that one side of a reconciliation has.

use negentropy::{Error, Id, NegentropyStorageVector};
use openagents_host::EventId;

/// The events that one side has, as times and ids in the order of the protocol.
#[derive(Clone, Debug, Default)]
pub struct Records {
    sorted: NegentropyStorageVector,
    count: usize,
}

impl Records {
    /// The number of events.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no events.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) const fn sorted(&self) -> &NegentropyStorageVector {
        &self.sorted
    }

    fn try_from_pairs(pairs: impl Iterator<Item = (u64, EventId)>) -> Result<Self, Error> {
        let mut sorted = NegentropyStorageVector::with_capacity(pairs.size_hint().0);
        for (created_at, id) in pairs {
            sorted.insert(created_at, Id::from_byte_array(*id.as_bytes()))?;
        }
        sorted.seal()?;
        let count = negentropy::NegentropyStorageBase::size(&sorted)?;
        Ok(Self { sorted, count })
    }
}

/// From pairs of time (Unix seconds) and id, in any order. Duplicates are removed.
impl FromIterator<(u64, EventId)> for Records {
    fn from_iter<I: IntoIterator<Item = (u64, EventId)>>(pairs: I) -> Self {
        // Only a sealed set refuses insertions.
        Self::try_from_pairs(pairs.into_iter()).unwrap_or_default()
    }
}
