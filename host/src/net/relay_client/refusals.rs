//! What a relay refuses with `auth-required:` is repeated after authentication (NIP-42), or stays refused.

use std::time::Duration;

use super::authentication::Authentication;
use super::{RelayClient, RelayError, request_of};
use crate::net::platform::{now, timeout};
use crate::nostr::RelayMessage;
use crate::nostr::reason::{Prefix, Reason};
use crate::time::Timestamp;

impl RelayClient {
    /// How often the client has authenticated on this connection.
    pub(super) fn authentications(&self) -> u32 {
        self.authentication.as_ref().map_or(0, Authentication::accepted)
    }

    /// Returns the reason of a refusal unless what was refused can be repeated: then the client has authenticated since
    /// it was sent.
    pub(super) async fn final_refusal(
        &mut self,
        reason: Reason,
        authentications: u32,
    ) -> Result<Option<Reason>, RelayError> {
        if reason.prefix != Prefix::AuthRequired {
            return Ok(Some(reason));
        }
        self.require_authentication(authentications);
        while self.authentication_deadline().is_some() {
            match timeout(self.longest_wait(), self.receive_answer()).await {
                Some(received) => drop(received?),
                None => drop(self.end_overdue_authentication()),
            }
        }
        Ok(match &self.authentication {
            Some(authentication) if authentication.accepted() > authentications => None,
            Some(authentication) => Some(authentication.explain(reason)),
            None => Some(reason),
        })
    }

    /// Starts to authenticate, unless the client has done so since something was sent that the relay has refused.
    pub(super) fn require_authentication(&mut self, authentications: u32) {
        let patience = self.authentication_patience();
        if let Some(authentication) = &mut self.authentication
            && authentication.accepted() == authentications
        {
            self.unsent.extend(authentication.require(now(), patience));
        }
    }

    /// Answers the relay's challenge if necessary, and handles its answer to an authentication.
    pub(super) fn hear_authentication(&mut self, message: &RelayMessage) {
        let patience = self.authentication_patience();
        let Some(authentication) = &mut self.authentication else { return };
        let was_authenticating = authentication.deadline().is_some();
        self.unsent.extend(authentication.handle(message, now(), patience));
        // Also while the relay sends other messages.
        authentication.end_if_overdue(now());
        if was_authenticating {
            self.settle_refused_subscriptions();
        }
    }

    /// Ends an authentication that the relay has not answered in time. Returns whether there was one.
    pub(super) fn end_overdue_authentication(&mut self) -> bool {
        let has_ended = self.authentication.as_mut().is_some_and(|one| one.end_if_overdue(now()));
        if has_ended {
            self.settle_refused_subscriptions();
        }
        has_ended
    }

    /// Repeats the subscriptions that were refused before the client had authenticated, or reports that they were
    /// refused. Does nothing while it is still authenticating.
    pub(super) fn settle_refused_subscriptions(&mut self) {
        if self.authentication_deadline().is_some() {
            return;
        }
        let Some(authentication) = &self.authentication else { return };
        let (backlog, unsent, limits) = (&mut self.backlog, &mut self.unsent, &self.limits);
        self.subscriptions.retain(|id, subscription| {
            let Some(reason) = subscription.refusal.take() else { return true };
            let is_repeated = authentication.accepted() > subscription.authentications;
            if is_repeated {
                subscription.authentications = authentication.accepted();
                unsent.push_back(request_of(id, &subscription.filters).to_json());
            } else {
                let reason = authentication.explain(reason);
                backlog.push(Err(RelayError::Closed { subscription: id.clone(), reason }), 0, limits);
            }
            is_repeated
        });
    }

    pub(super) fn authentication_deadline(&self) -> Option<Timestamp> {
        self.authentication.as_ref().and_then(Authentication::deadline)
    }

    /// How long the relay may take for its challenge, and for its answer. Less than [`RelayLimits::timeout`], so that
    /// what was refused can be repeated in time.
    fn authentication_patience(&self) -> Duration {
        self.limits.timeout.checked_div(2).unwrap_or_default()
    }
}
