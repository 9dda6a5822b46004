//! The initiating side of a reconciliation: the client of NIP-77.

use negentropy::{Error, Id, Negentropy};
use openagents_host::EventId;

use super::{MAX_MESSAGE_BYTES, Records};

/// The asking side of a reconciliation: the client of NIP-77.
///
/// It moves no bytes. [`open`](Self::open) gives the message for `NEG-OPEN`, every `NEG-MSG` of the relay goes through
/// [`step`](Self::step), which says what was learned and what to send next.
///
/// ```
/// use openagents_relay::nip77::{Reconciliation, Records, answer};
/// use openagents_host::EventId;
///
/// let id = |byte| EventId::from_bytes([byte; 32]);
/// let (own, theirs) = ([(1, id(1)), (2, id(2))], [(2, id(2)), (3, id(3))]);
/// let relay: Records = theirs.into_iter().collect();
///
/// let (mut reconciliation, first) = Reconciliation::open(own.into_iter().collect()).unwrap();
/// let difference = reconciliation.step(&answer(&relay, &first).unwrap()).unwrap();
/// assert_eq!((difference.have, difference.need), (vec![id(1)], vec![id(3)]));
/// assert!(difference.next.is_none());
/// ```
#[derive(Debug)]
pub struct Reconciliation {
    records: Records,
}

/// What a message of the relay tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// These events are missing there.
    pub have: Vec<EventId>,
    /// These events are missing here.
    pub need: Vec<EventId>,
    /// What to send next; if there is nothing, all differences are known.
    pub next: Option<Vec<u8>>,
}

/// Why a reconciliation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconciliationError {
    /// The other side speaks another version of the protocol.
    #[error("the other side speaks another version of the Negentropy protocol")]
    StoredVersion,
    /// The message is not what the protocol describes.
    #[error("the message is no Negentropy message: {0}")]
    Malformed(String),
}

impl From<Error> for ReconciliationError {
    fn from(error: Error) -> Self {
        match error {
            Error::UnsupportedProtocolVersion => Self::StoredVersion,
            error => Self::Malformed(error.to_string()),
        }
    }
}

impl Reconciliation {
    /// Begins with the events that are here, and says what to send first.
    ///
    /// # Errors
    /// Never, for records that fit into memory.
    pub fn open(records: Records) -> Result<(Self, Vec<u8>), ReconciliationError> {
        let first = Negentropy::borrowed(records.sorted(), MAX_MESSAGE_BYTES)?.initiate()?;
        Ok((Self { records }, first))
    }

    /// Reads the relay's answer. What several answers tell is to be added up. How many there may be is for the caller
    /// to bound: a relay can go on for ever.
    ///
    /// # Errors
    /// When the message is malformed or of another version.
    pub fn step(&mut self, message: &[u8]) -> Result<Difference, ReconciliationError> {
        let mut own = Negentropy::borrowed(self.records.sorted(), MAX_MESSAGE_BYTES)?;
        own.set_initiator();
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = own.reconcile_with_ids(message, &mut have, &mut need)?;
        let ids = |ids: Vec<Id>| ids.into_iter().map(|id| EventId::from_bytes(id.to_bytes())).collect();
        Ok(Difference { have: ids(have), need: ids(need), next })
    }
}
