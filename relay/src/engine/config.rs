//! The configuration of a relay.

use crate::admission::{Access, Admission};
use crate::handover::HandoverRule;
use crate::limits::Limits;
use crate::retention::RetentionRules;

/// The configuration of a relay.
#[derive(Clone, Debug, Default)]
pub struct RelayConfig {
    /// The limits: those of NIP-11 and others.
    pub limits: Limits,
    /// What requires authentication (NIP-42).
    pub access: Access,
    /// Lists, rates, connection limits and the write policy.
    pub admission: Admission,
    /// How long events of which kinds are kept.
    pub retention: RetentionRules,
    /// Which events are handed over to an agent. Each accepted event is handed over repeatedly until it is
    /// [`Delivered`](super::Input::Delivered).
    pub handover: HandoverRule,
}
