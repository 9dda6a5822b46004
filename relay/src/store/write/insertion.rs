//! The result of inserting an event, and the reason in the sender's `OK`.

use crate::reason::{Outcome, Prefix, Reason};

/// The result of inserting an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was stored.
    Inserted,
    /// It was stored already.
    Duplicate,
    /// A newer version of the same replaceable or addressable event is stored.
    Superseded,
    /// Its author, or the addressee of a gift wrap, requested its deletion (NIP-09, NIP-59).
    Deleted,
    /// Its author, or the addressee of a gift wrap, requested to vanish after it was created (NIP-62).
    Vanished,
    /// It has expired (NIP-40).
    Expired,
    /// So many events claim its second that none of the row keys tried was free.
    Crowded,
}

/// The reason in the `OK` message.
impl From<Insertion> for Outcome {
    fn from(insertion: Insertion) -> Self {
        let refused = |prefix, text: &'static str| Self::Refused(Reason::new(prefix, text));
        match insertion {
            Insertion::Inserted => Self::Accepted,
            Insertion::Duplicate => Self::Duplicate,
            Insertion::Superseded => {
                refused(Prefix::Invalid, "a newer version of this event is stored; this one is not needed")
            }
            Insertion::Deleted => {
                refused(Prefix::Blocked, "the author or the addressee has deleted this event (NIP-09)")
            }
            Insertion::Vanished => {
                refused(Prefix::Blocked, "the author or the addressee has asked to vanish from here (NIP-62)")
            }
            Insertion::Expired => refused(Prefix::Invalid, "the event is expired (NIP-40)"),
            Insertion::Crowded => {
                refused(Prefix::RateLimited, "too many events claim this second; sign it for another one")
            }
        }
    }
}
