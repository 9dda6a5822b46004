//! The initiating side of a reconciliation: the client of NIP-77.

use negentropy::{Error, Id, Negentropy};
use openagents_host::EventId;

use super::{MAX_MESSAGE_BYTES, Records};

/// The initiating side of a reconciliation: the client of NIP-77.
///
/// It does no I/O. [`open`](Self::open) returns the message for `NEG-OPEN`; every `NEG-MSG` of the relay is passed to
/// [`step`](Self::step), which returns the differences found and what to send next.
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

/// The differences found by a message of the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The ids of events that the relay lacks.
    pub have: Vec<EventId>,
    /// The ids of events that this side lacks.
    pub need: Vec<EventId>,
    /// The next message to send; `None` if all differences are known.
    pub next: Option<Vec<u8>>,
}

/// Why a reconciliation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconciliationError {
    /// The other side uses another version of the protocol.
    #[error("the other side uses another version of the Negentropy protocol")]
    Version,
    /// The message is malformed.
    #[error("not a Negentropy message: {0}")]
    Malformed(String),
}

impl From<Error> for ReconciliationError {
    fn from(error: Error) -> Self {
        match error {
            Error::UnsupportedProtocolVersion => Self::Version,
            error => Self::Malformed(error.to_string()),
        }
    }
}

impl Reconciliation {
    /// Starts a reconciliation with the local events; returns the first message.
    ///
    /// # Errors
    /// Never, for records that fit into memory.
    pub fn open(records: Records) -> Result<(Self, Vec<u8>), ReconciliationError> {
        let first = Negentropy::borrowed(records.sorted(), MAX_MESSAGE_BYTES)?.initiate()?;
        Ok((Self { records }, first))
    }

    /// Handles the relay's answer. The differences of all answers add up. The caller must bound their number: a relay
    /// can go on for ever.
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
