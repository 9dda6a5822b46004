//! Finding out which events a client and this relay lack (NIP-77).

use openagents_host::sql::Sql;

use super::{ConnectionId, Effect, Relay};
use crate::message::{ReconcileStep, RelayMessage, SubscriptionId};
use crate::reason::{Prefix, Reason};

impl<S: Sql> Relay<S> {
    /// Answers a step of a reconciliation.
    pub(super) fn reconcile(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        step: &ReconcileStep,
        effects: &mut Vec<Effect>,
    ) {
        if *step == ReconcileStep::Close {
            return;
        }
        let reason = Reason::new(Prefix::Blocked, "this relay does not reconcile");
        let message = RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason };
        effects.push(Effect::Send { connection, message });
    }
}
