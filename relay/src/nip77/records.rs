//! The set of events that one side of a reconciliation has.

use negentropy::{Error, Id, NegentropyStorageVector};
use openagents_host::EventId;

/// The events that one side has: ids with their seconds, in the order of the protocol.
#[derive(Clone, Debug, Default)]
pub struct Records {
    sorted: NegentropyStorageVector,
    count: usize,
}

impl Records {
    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
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

/// Of pairs of second and id, in any order. What comes twice is there once.
impl FromIterator<(u64, EventId)> for Records {
    fn from_iter<I: IntoIterator<Item = (u64, EventId)>>(pairs: I) -> Self {
        // Only a set that is sealed already refuses.
        Self::try_from_pairs(pairs.into_iter()).unwrap_or_default()
    }
}
