//! `VariableReader`: reads variables as keys, numbers, lists and switches.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use openagents_host::nostr::keys::parse_public_key;
use openagents_host::{Keys, Kind, PublicKey};

use super::error::SettingError;

/// Reads the variables of a deployment.
pub(super) struct VariableReader<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl VariableReader<'_> {
    /// A variable's value; empty counts as not set.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn switch(&self, name: &'static str, usual: bool) -> Result<bool, SettingError> {
        switch(name, self.text(name).as_deref(), usual)
    }

    pub(super) fn number<T: FromStr + PartialOrd + Copy + ToString>(
        &self,
        name: &'static str,
        usual: T,
        range: RangeInclusive<T>,
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(name) else { return Ok(usual) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| SettingError::Form {
            name,
            expected: format!(
                "a whole number from {} to {}",
                range.start().to_string(),
                range.end().to_string()
            ),
        })
    }

    pub(super) fn keys(&self, name: &'static str) -> Result<BTreeSet<PublicKey>, SettingError> {
        let key = |text: &str| parse_public_key(text).map_err(|error| SettingError::Key { name, error });
        parts(&self.text(name).unwrap_or_default()).map(key).collect()
    }

    pub(super) fn addresses(&self, name: &'static str) -> Result<BTreeSet<IpAddr>, SettingError> {
        let expected = || form(name, "IP addresses, separated by commas, such as 192.0.2.1");
        let address = |text: &str| text.parse::<IpAddr>().map(|address| address.to_canonical());
        parts(&self.text(name).unwrap_or_default())
            .map(|text| address(text).map_err(|_| expected()))
            .collect()
    }

    pub(super) fn kinds(&self, name: &'static str) -> Result<BTreeSet<Kind>, SettingError> {
        let text = self.text(name).unwrap_or_default();
        let ranges = parts(&text).map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?;
            (!range.is_empty()).then_some(range)
        });
        let ranges = ranges.collect::<Option<Vec<_>>>();
        let ranges =
            ranges.ok_or_else(|| form(name, "kinds, separated by commas, such as 1,7 or 5000-7000"))?;
        Ok(ranges.into_iter().flatten().map(Kind).collect())
    }
}

/// The entries of a comma-separated list.
pub(super) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).filter(|part| !part.is_empty())
}

pub(super) fn form(name: &'static str, expected: &str) -> SettingError {
    SettingError::Form { name, expected: expected.to_owned() }
}

pub(super) const fn contradiction(name: &'static str, other: &'static str, fix: String) -> SettingError {
    SettingError::Contradiction { name, other, fix }
}

pub(super) fn switch(name: &'static str, text: Option<&str>, usual: bool) -> Result<bool, SettingError> {
    match text {
        None => Ok(usual),
        Some("true" | "1" | "yes") => Ok(true),
        Some("false" | "0" | "no") => Ok(false),
        Some(_) => Err(SettingError::Switch { name }),
    }
}

pub(super) fn seconds(name: &'static str, text: &str) -> Result<Duration, SettingError> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds.into())),
        Ok(0) | Err(_) => Err(SettingError::Seconds { name }),
    }
}

pub(super) fn keys(
    name: &'static str,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Keys>, SettingError> {
    let value = variable(name).filter(|value| !value.trim().is_empty());
    value.map(|value| value.parse().map_err(|error| SettingError::Key { name, error })).transpose()
}
