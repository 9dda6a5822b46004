//! `SettingError`: a variable's value cannot be used.

use openagents_host::net::AddressError;
use openagents_host::nostr::keys::KeyError;
use openagents_relay::RetentionError;

use super::names::SUPPORTED_NIPS;
use crate::declared_variables::MissingVariables;

/// A variable has an invalid value. The message is for the operator; it does not show a value that could hold a
/// secret.
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
    /// The variable must hold the URL of a relay, which may contain a password.
    #[error("the variable {name} is not a relay URL such as wss://relay.example.com: {error}")]
    Relay {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: AddressError,
    },
    /// The variable must hold a list of such URLs.
    #[error(
        "entry {number} of the variable {name} is not a relay URL such as wss://relay.example.com: {error}"
    )]
    RelayList {
        /// The variable.
        name: &'static str,
        /// The position of the invalid URL in the list, starting at 1.
        number: usize,
        /// What is wrong with it.
        error: AddressError,
    },
    /// The variable must hold a list of origins.
    #[error("the variable {name} must list origins such as http://127.0.0.1:11434: {error}")]
    Origins {
        /// The variable.
        name: &'static str,
        /// What is wrong with one of them.
        error: AddressError,
    },
    /// The variable must hold the URL of a server.
    #[error("the variable {name} must be the URL of a server such as https://pay.example.com: {error}")]
    Server {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: AddressError,
    },
    /// The variable must hold the connection URI of a wallet (NIP-47), which has a secret.
    #[cfg(feature = "wallet-nwc")]
    #[error("the variable {name} is not a connection URI such as nostr+walletconnect://…: {error}")]
    NwcUri {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: crate::payment::NwcUriError,
    },
    /// Another variable needs this one.
    #[error("{by} needs the variable {name}, which is not set")]
    Needed {
        /// The variable that is missing.
        name: &'static str,
        /// What needs it, as it is written: `WALLET=lnbits`.
        by: &'static str,
    },
    /// The variable has no effect without another one.
    #[error("the variable {name} is set, but has no effect without {without}: set both or none")]
    Unused {
        /// The variable.
        name: &'static str,
        /// What is missing, as it is written.
        without: &'static str,
    },
    /// Nobody reads the variable.
    #[error(
        "nobody reads the variable `{name}`{} `help variables` lists those that are read",
        nearest.map_or_else(|| ";".to_owned(), |nearest| format!(": did you mean `{nearest}`?"))
    )]
    Unknown {
        /// The variable.
        name: String,
        /// The name that it was probably meant to be.
        nearest: Option<&'static str>,
    },
    /// Two variables contradict each other.
    #[error("the variables {name} and {other} contradict each other: {fix}")]
    Contradiction {
        /// One of the variables.
        name: &'static str,
        /// The other one.
        other: &'static str,
        /// What is wrong, and what to do.
        fix: String,
    },
    /// The wallet's provider is not part of this program.
    #[error(
        "WALLET={provider} is not built into this program: add the feature `{feature}` to openagents-sdk in Cargo.toml"
    )]
    #[cfg_attr(
        all(feature = "wallet-lnurl", feature = "wallet-nwc"),
        allow(dead_code, reason = "every provider is built in")
    )]
    NotBuiltIn {
        /// The provider.
        provider: &'static str,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
    /// A job needs a wallet that holds payments.
    #[error(
        "WALLET={provider} has no hold invoices, which `pay = \"hold\"` of the job `{job}` needs: choose another \
         wallet, or `pay = \"before\"`"
    )]
    NoHolds {
        /// The name of the job.
        job: &'static str,
        /// The provider.
        provider: &'static str,
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
    /// Variables that the agent declares must be set.
    #[error(transparent)]
    Missing(#[from] MissingVariables),
}

#[cfg(any(target_arch = "wasm32", test))]
impl SettingError {
    /// What strangers may be told: which variable is invalid, but nothing of its value.
    pub(crate) fn public_message(&self) -> String {
        let name: &str = match self {
            Self::Key { name, .. }
            | Self::Switch { name }
            | Self::Relay { name, .. }
            | Self::RelayList { name, .. }
            | Self::Origins { name, .. }
            | Self::Server { name, .. }
            | Self::Needed { name, .. }
            | Self::Unused { name, .. }
            | Self::Seconds { name }
            | Self::Retention { name, .. }
            | Self::Form { name, .. } => name,
            #[cfg(feature = "wallet-nwc")]
            Self::NwcUri { name, .. } => name,
            Self::Unknown { name, .. } => name,
            Self::Contradiction { name, .. } => name,
            Self::NoHolds { .. } | Self::NotBuiltIn { .. } => super::names::WALLET,
            Self::Nips => SUPPORTED_NIPS,
            Self::Missing(missing) => return format!("the agent needs {}", missing.names()),
        };
        format!("the configuration is invalid: see the variable {name}; the log has the reason")
    }
}
