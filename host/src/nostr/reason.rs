//! The reasons in `OK` and `CLOSED` messages (NIP-01): a machine-readable prefix and a sentence.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The prefix of a reason (NIP-01, "From relay to client").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Prefix {
    /// The relay has the event already.
    Duplicate,
    /// Too little proof of work.
    Pow,
    /// The sender or the content is banned.
    Blocked,
    /// Too many events or requests at once.
    RateLimited,
    /// Malformed or otherwise invalid.
    Invalid,
    /// Only for clients that have authenticated (NIP-42).
    AuthRequired,
    /// This client is not permitted to do this.
    Restricted,
    /// Nobody received an ephemeral event.
    Mute,
    /// A reconciliation was closed, for example because of a timeout (NIP-77).
    Closed,
    /// The relay does not support this.
    Unsupported,
    /// Any other failure, above all of the relay itself.
    Error,
    /// No prefix, or one that is not in NIP-01: the whole reason is in the text.
    Other,
}

impl Prefix {
    const WORDS: [Self; 11] = [
        Self::Duplicate,
        Self::Pow,
        Self::Blocked,
        Self::RateLimited,
        Self::Invalid,
        Self::AuthRequired,
        Self::Restricted,
        Self::Mute,
        Self::Closed,
        Self::Unsupported,
        Self::Error,
    ];

    /// The prefix as it is sent, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Pow => "pow",
            Self::Blocked => "blocked",
            Self::RateLimited => "rate-limited",
            Self::Invalid => "invalid",
            Self::AuthRequired => "auth-required",
            Self::Restricted => "restricted",
            Self::Mute => "mute",
            Self::Closed => "closed",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::Other => "",
        }
    }

    /// Whether the refusal is temporary: the same may be accepted later, or after authentication.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::Error | Self::AuthRequired)
    }
}

/// The reason for a refusal.
///
/// ```
/// use openagents_host::nostr::reason::Reason;
///
/// assert_eq!(Reason::invalid("the content is too long").to_string(), "invalid: the content is too long");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The prefix, for programs.
    pub prefix: Prefix,
    /// The sentence, for people.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// A reason.
    pub fn new(prefix: Prefix, text: impl Into<Cow<'static, str>>) -> Self {
        Self { prefix, text: text.into() }
    }

    /// Parses a reason sent by another relay.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let of_word = |word| Prefix::WORDS.into_iter().find(|prefix| prefix.as_str() == word);
        match text.split_once(':').and_then(|(word, rest)| Some((of_word(word)?, rest))) {
            Some((prefix, rest)) => Self::new(prefix, rest.strip_prefix(' ').unwrap_or(rest).to_owned()),
            None => Self::new(Prefix::Other, text.to_owned()),
        }
    }

    /// `invalid`: malformed or otherwise invalid.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Prefix::Invalid, text)
    }

    /// `unsupported`: the relay does not support this.
    pub fn unsupported(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Prefix::Unsupported, text)
    }

    /// `auth-required`: the client has to authenticate first (NIP-42).
    pub fn auth_required(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Prefix::AuthRequired, text)
    }

    /// `restricted`: this client is not permitted to do this.
    pub fn restricted(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Prefix::Restricted, text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Prefix::Other => f.write_str(&self.text),
            prefix => write!(f, "{}: {}", prefix.as_str(), self.text),
        }
    }
}

/// The result of publishing an event, as in the `OK` message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was stored; or it is ephemeral, and somebody received it.
    Accepted,
    /// It was stored already.
    Duplicate,
    /// It was refused.
    Refused(Reason),
}

impl Outcome {
    /// The third element of an `OK` message. A duplicate is a success: the relay has the event.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl fmt::Display for Outcome {
    /// The fourth element of an `OK` message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => Ok(()),
            Self::Duplicate => write!(f, "{}: already have this event", Prefix::Duplicate.as_str()),
            Self::Refused(reason) => reason.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Prefix, Reason};

    #[test]
    fn reads_the_reasons_of_other_relays() {
        for (text, prefix, rest) in [
            ("blocked: you: really", Prefix::Blocked, "you: really"),
            ("auth-required:", Prefix::AuthRequired, ""),
            ("rate-limited:slow down", Prefix::RateLimited, "slow down"),
            ("shadowbanned: you", Prefix::Other, "shadowbanned: you"),
            ("no", Prefix::Other, "no"),
            ("", Prefix::Other, ""),
        ] {
            let reason = Reason::parse(text);
            assert_eq!((reason.prefix, &*reason.text), (prefix, rest), "{text}");
        }
        for text in ["blocked: you: really", "shadowbanned: you", "no", ""] {
            assert_eq!(Reason::parse(text).to_string(), text);
        }
    }

    #[test]
    fn an_outcome_travels_between_objects() {
        let refused = Outcome::Refused(Reason::new(Prefix::RateLimited, "slow down"));
        for outcome in [Outcome::Accepted, Outcome::Duplicate, refused] {
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome, "{json}");
        }
    }
}
