//! The configuration of a relay.

use crate::admission::{Access, Admission};
use crate::handover::HandoverRule;
use crate::limits::Limits;
use crate::retention::RetentionRules;

/// The configuration of a relay.
#[derive(Clone, Debug, Default)]
pub struct RelayConfig {
    /// The limits of NIP-11, and others.
    pub limits: Limits,
    /// What requires authentication (NIP-42).
    pub access: Access,
    /// Lists, rates, connection limits and the write policy.
    pub admission: Admission,
    /// How long events of certain kinds are kept.
    pub retention: RetentionRules,
    /// The events that are handed over to an agent: each that is accepted, again and again until it is
    /// [`Delivered`](super::Input::Delivered).
    pub handover: HandoverRule,
}
