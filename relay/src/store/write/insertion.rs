//! What becomes of an event that is inserted, and what its sender is told.

use crate::reason::{Outcome, Prefix, Reason};

/// What became of an event that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored.
    Inserted,
    /// It was stored before.
    Duplicate,
    /// A newer version of the same replaceable or addressable event is stored.
    Superseded,
    /// Its author, or whom it is a gift wrap for, asked for its deletion (NIP-09, NIP-59).
    Deleted,
    /// Its author, or whom it is a gift wrap for, asked to vanish after it was made (NIP-62).
    Vanished,
    /// It is expired (NIP-40).
    Expired,
    /// So many events claim its second that none of the row keys tried for it is free.
    Crowded,
}

/// What the sender of the event is told.
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
