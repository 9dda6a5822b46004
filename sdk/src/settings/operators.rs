//! `ADMIN_PUBKEYS`: the operators of a deployment.

use std::collections::BTreeSet;

use openagents_host::PublicKey;

use super::error::SettingError;
use super::names::ADMIN_PUBKEYS;
use super::variables::VariableReader;

/// The keys that may read the agent's records and manage the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operators(BTreeSet<PublicKey>);

impl Operators {
    /// The keys in the variable; none if it is not set.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        VariableReader(&variable).keys(ADMIN_PUBKEYS).map(Self)
    }

    pub(crate) fn contains(&self, key: &PublicKey) -> bool {
        self.0.contains(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PublicKey> for Operators {
    fn from_iter<T: IntoIterator<Item = PublicKey>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}
