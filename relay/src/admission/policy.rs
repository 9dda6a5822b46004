//! The write policy: a deployment's own code that accepts or refuses events.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use openagents_host::{PublicKey, Timestamp, VerifiedEvent};

use crate::reason::{Prefix, Reason};

/// An event that somebody wants to write, and what is known of whoever it is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Submission<'a> {
    /// The event. Its id and signature hold, and it keeps to all other rules of the relay.
    pub event: &'a VerifiedEvent,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
    /// Everybody who has identified themselves on this connection (NIP-42).
    pub authenticated: &'a BTreeSet<PublicKey>,
    /// The time of the submission.
    pub now: Timestamp,
}

/// Decides about every event that a client wants to write, after all other checks. What comes from inside, as an
/// agent's own results do, is not asked about.
///
/// It is asked on the relay's one thread: it must not wait, and should take microseconds. One that panics refuses the
/// event.
///
/// ```
/// use openagents_relay::{Reason, Submission, WritePolicy};
///
/// /// Takes notes of a hundred characters at most.
/// struct Brevity;
///
/// impl WritePolicy for Brevity {
///     fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
///         let event = submission.event;
///         if event.kind.0 == 1 && event.content.chars().count() > 100 {
///             return Err(Reason::restricted("a note can have at most 100 characters here"));
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no write policy",
    label = "`WritePolicy` is not implemented for this",
    note = "write `impl WritePolicy for {Self}` with a function `admit`, and name a value of it: `policy: {Self}`"
)]
pub trait WritePolicy: Send + Sync + 'static {
    /// Takes the event or says why not. The prefix of the reason is for the client's program, the text for people.
    ///
    /// # Errors
    /// The refusal.
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason>;

    /// Whether those who write should know of this policy beforehand: `restricted_writes` in the relay information
    /// document (NIP-11). Defences against spam are nothing to know of.
    fn restricts_writes(&self) -> bool {
        true
    }
}

impl fmt::Debug for dyn WritePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WritePolicy")
    }
}

/// What the policy says.
///
/// # Errors
/// The refusal, also if the policy panics.
pub(crate) fn ask(policy: &dyn WritePolicy, submission: &Submission<'_>) -> Result<(), Reason> {
    catch_unwind(AssertUnwindSafe(|| policy.admit(submission)))
        .unwrap_or_else(|_| Err(Reason::new(Prefix::Error, "the relay's write policy failed")))
}
