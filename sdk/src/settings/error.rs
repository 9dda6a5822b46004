//! Why the value of a variable cannot be used.

use openagents_host::nostr::keys::KeyError;
use openagents_relay::RetentionError;

use super::names::SUPPORTED_NIPS;

/// A variable whose value cannot be used. The value is not repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// It should hold a key.
    #[error("the variable {name} holds no key: {error}")]
    Key {
        /// Which variable.
        name: &'static str,
        /// What is wrong with its value.
        error: KeyError,
    },
    /// It should say yes or no.
    #[error("the variable {name} must be true or false")]
    Switch {
        /// Which variable.
        name: &'static str,
    },
    /// It should hold the address of a relay.
    #[error("the variable {name} holds `{url}`, which is no relay's address: {error}")]
    Relay {
        /// Which variable.
        name: &'static str,
        /// What it holds.
        url: String,
        /// What is wrong with it.
        error: String,
    },
    /// It should hold a number of seconds.
    #[error("the variable {name} must be a whole number of seconds, 1 or more")]
    Seconds {
        /// Which variable.
        name: &'static str,
    },
    /// It should say how long events are kept.
    #[error("the variable {name} cannot be used: {error}")]
    Retention {
        /// Which variable.
        name: &'static str,
        /// What is wrong with its value.
        error: RetentionError,
    },
    /// It should hold something else.
    #[error("the variable {name} must be {expected}")]
    Form {
        /// Which variable.
        name: &'static str,
        /// What it should hold.
        expected: String,
    },
    /// It should hold NIP numbers.
    #[error("the variable {SUPPORTED_NIPS} must be a list of numbers such as [1,11,90]")]
    Nips,
}
