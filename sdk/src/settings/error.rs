//! `SettingError`: a variable's value cannot be used.

use openagents_host::nostr::keys::KeyError;
use openagents_relay::RetentionError;

use super::names::SUPPORTED_NIPS;

/// A variable has an invalid value. The value is not shown if it could be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// The variable must hold a key.
    #[error("the variable {name} is not a valid key: {error}")]
    Key {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: KeyError,
    },
    /// The variable must be `true` or `false`.
    #[error("the variable {name} must be true or false")]
    Switch {
        /// The variable.
        name: &'static str,
    },
    /// The variable must hold the URL of a relay.
    #[error("the variable {name} contains `{url}`, which is not a relay URL: {error}")]
    Relay {
        /// The variable.
        name: &'static str,
        /// The invalid URL.
        url: String,
        /// What is wrong with it.
        error: String,
    },
    /// The variable must be a number of seconds.
    #[error("the variable {name} must be a whole number of seconds, 1 or more")]
    Seconds {
        /// The variable.
        name: &'static str,
    },
    /// The variable must say how long events are kept.
    #[error("the variable {name} is invalid: {error}")]
    Retention {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: RetentionError,
    },
    /// The variable must have another form.
    #[error("the variable {name} must be {expected}")]
    Form {
        /// The variable.
        name: &'static str,
        /// What it must be.
        expected: String,
    },
    /// The variable must be a list of NIP numbers.
    #[error("the variable {SUPPORTED_NIPS} must be a list of numbers such as [1,11,90]")]
    Nips,
}
