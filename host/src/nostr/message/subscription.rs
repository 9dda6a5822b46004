//! Subscription ids (NIP-01).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::nostr::reason::Reason;

/// The maximum length of a subscription id, in characters (NIP-01).
pub const MAX_SUBSCRIPTION_ID: usize = 64;

/// The id of a subscription, chosen by the client: 1 to 64 characters.
///
/// It is kept as a JSON string, so that sending an event to many subscribers needs no escaping.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(Arc<str>);

/// Why a text is not a valid subscription id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subscription id must have 1 to {MAX_SUBSCRIPTION_ID} characters")]
pub struct SubscriptionIdError;

impl From<SubscriptionIdError> for Reason {
    fn from(error: SubscriptionIdError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl SubscriptionId {
    /// The subscription id with this text.
    ///
    /// # Errors
    /// When it is empty or longer than 64 characters.
    pub fn new(text: &str) -> Result<Self, SubscriptionIdError> {
        if text.is_empty() || text.chars().nth(MAX_SUBSCRIPTION_ID).is_some() {
            return Err(SubscriptionIdError);
        }
        Ok(Self::unchecked(text))
    }

    /// A subscription id made of a word and a number, which is always valid.
    #[must_use]
    pub fn numbered(word: &'static str, number: u64) -> Self {
        Self(format!("\"{word}{number}\"").into())
    }

    /// A subscription id that is not validated: an internal one, or an invalid one that must be repeated in an answer.
    pub(crate) fn unchecked(text: &str) -> Self {
        // A string always serializes.
        Self(serde_json::to_string(text).unwrap_or_default().into())
    }

    /// The id as a JSON string, including quotes and escapes.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    /// The id as chosen by the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: Cow<'_, str> = serde_json::from_str(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&name)
    }
}

impl fmt::Debug for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::SubscriptionId;

    #[test]
    fn counts_characters_and_escapes_once() {
        assert!(SubscriptionId::new("").is_err());
        assert!(SubscriptionId::new(&"é".repeat(64)).is_ok());
        assert!(SubscriptionId::new(&"a".repeat(65)).is_err());
        let escaped = SubscriptionId::new("a\"\n").unwrap();
        assert_eq!((escaped.as_json(), &*escaped.to_string()), (r#""a\"\n""#, "a\"\n"));
    }
}
