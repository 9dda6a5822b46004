//! The write policy: a deployment's own code that accepts or refuses events.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use openagents_host::{PublicKey, Timestamp, VerifiedEvent};

use crate::reason::{Prefix, Reason};

/// An event that a client wants to publish, and what is known about the client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Submission<'a> {
    /// The event. It is verified and has passed all other checks.
    pub event: &'a VerifiedEvent,
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The keys that have authenticated on this connection (NIP-42).
    pub authenticated: &'a BTreeSet<PublicKey>,
    /// The time of the submission.
    pub now: Timestamp,
}

/// Decides about every event that a client wants to publish, after all other checks. It is not called for publications
/// from inside the process, such as the agent's results.
///
/// It is called on the relay's only engine thread, so it must not block, and should take microseconds. If it panics,
/// the event is refused.
///
/// ```
/// use openagents_relay::{Reason, Submission, WritePolicy};
///
/// /// Accepts notes of at most a hundred characters.
/// struct Brevity;
///
/// impl WritePolicy for Brevity {
///     fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
///         let event = submission.event;
///         if event.kind.0 == 1 && event.content.chars().count() > 100 {
///             return Err(Reason::restricted("a note can have at most 100 characters"));
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a write policy",
    label = "`WritePolicy` is not implemented for this",
    note = "write `impl WritePolicy for {Self}` with a function `admit`, and name a value of it: `policy: {Self}`"
)]
pub trait WritePolicy: Send + Sync + 'static {
    /// Accepts the event, or returns the reason for the refusal: a prefix for the client program, and a text for
    /// people.
    ///
    /// # Errors
    /// The reason for the refusal.
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason>;

    /// Whether publishers should know of this policy in advance: `restricted_writes` in the relay information document
    /// (NIP-11). Spam filters need not be announced.
    fn restricts_writes(&self) -> bool {
        true
    }
}

impl fmt::Debug for dyn WritePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WritePolicy")
    }
}

/// Calls the policy.
///
/// # Errors
/// The reason for the refusal, also if the policy panics.
pub(crate) fn ask(policy: &dyn WritePolicy, submission: &Submission<'_>) -> Result<(), Reason> {
    catch_unwind(AssertUnwindSafe(|| policy.admit(submission)))
        .unwrap_or_else(|_| Err(Reason::new(Prefix::Error, "the relay's write policy failed")))
}
