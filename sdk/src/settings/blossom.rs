//! The blob server's variables: who may upload what, and for how long it is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_blossom::{BlossomConfig, OwnHosts, Uploaders};
use openagents_host::PublicKey;
use openagents_host::net::Reach;
use url::Url;

use super::error::SettingError;
use super::names::{
    ALLOW_PRIVATE_ADDRESSES, BLOSSOM_ALLOWED_PUBKEYS, BLOSSOM_ALLOWED_TYPES, BLOSSOM_MAX_SIZE, BLOSSOM_QUOTA,
    BLOSSOM_TTL, BLOSSOM_UPLOAD, RELAY_BLOCKED_PUBKEYS,
};
use super::operators::Operators;
use super::relay_urls::own_relay_url;
use super::variables::{VariableReader, contradiction, form};

/// The largest blob that a variable can allow: 5 GB, the most that R2 takes at once.
const MAX_SIZE: u64 = 5_000_000_000;

/// Reads the blob server's variables. `agent` is the key of the deployment's agent; `listening` are the hosts at which it
/// is reached besides that of `RELAY_URL`.
pub(crate) fn blossom_config(
    variable: impl Fn(&str) -> Option<String>,
    operators: &Operators,
    agent: Option<PublicKey>,
    listening: impl IntoIterator<Item = String>,
) -> Result<BlossomConfig, SettingError> {
    let variables = VariableReader(&variable);
    let operators: BTreeSet<PublicKey> = operators.iter().copied().chain(agent).collect();
    let mut config = BlossomConfig::new(uploaders(&variables, &operators)?);
    config.operators = operators;
    config.blocked = variables.keys(RELAY_BLOCKED_PUBKEYS)?;
    config.accepts_expected = matches!(variables.text(BLOSSOM_UPLOAD).as_deref(), None | Some("agent"));
    if let Some(bytes) = size(&variables, BLOSSOM_MAX_SIZE)? {
        config.max_blob_bytes = bytes.min(MAX_SIZE);
    }
    if variables.switch(ALLOW_PRIVATE_ADDRESSES, false)? {
        config.reach = Reach::Anywhere;
    }
    config.quota = size(&variables, BLOSSOM_QUOTA)?;
    if let Some(quota) = config.quota
        && variables.text(BLOSSOM_MAX_SIZE).is_some()
        && config.max_blob_bytes > quota
    {
        let fix = "a blob may be larger than what its owner may have in all".to_owned();
        return Err(contradiction(BLOSSOM_MAX_SIZE, BLOSSOM_QUOTA, fix));
    }
    config.time_to_live = time_to_live(&variables)?;
    if let Some(list) = variables.text(BLOSSOM_ALLOWED_TYPES) {
        let expected = "media types, separated by commas, such as image/*, application/pdf";
        config.allowed_types = list.parse().map_err(|_| form(BLOSSOM_ALLOWED_TYPES, expected))?;
    }
    if let Some(url) = own_relay_url(&variables)?.as_deref().and_then(public_url) {
        let public = url.host_str().map(str::to_owned);
        config.hosts = OwnHosts::new(public.into_iter().chain(listening));
        config.public_url = Some(url);
    }
    Ok(config)
}

fn uploaders(
    variables: &VariableReader<'_>,
    operators: &BTreeSet<PublicKey>,
) -> Result<Uploaders, SettingError> {
    let allowed = variables.keys(BLOSSOM_ALLOWED_PUBKEYS)?;
    match variables.text(BLOSSOM_UPLOAD).as_deref() {
        Some("any") if allowed.is_empty() => Ok(Uploaders::Anyone),
        Some("allowed") => Ok(Uploaders::Keys(operators.union(&allowed).copied().collect())),
        None | Some("agent") if allowed.is_empty() => Ok(Uploaders::Keys(operators.clone())),
        None | Some("agent" | "any") => {
            Err(form(BLOSSOM_UPLOAD, "allowed, since BLOSSOM_ALLOWED_PUBKEYS names who may upload"))
        }
        Some(_) => Err(form(BLOSSOM_UPLOAD, "agent, allowed or any")),
    }
}

/// The URL below which blobs are found: Blossom's endpoints are at the root of the domain.
fn public_url(relay_url: &str) -> Option<Url> {
    let http = relay_url.trim().strip_prefix("ws").map(|rest| format!("http{rest}"))?;
    Url::parse(&http).ok()?.join("/").ok()
}

/// A number of bytes, perhaps with a unit.
fn size(variables: &VariableReader<'_>, name: &'static str) -> Result<Option<u64>, SettingError> {
    let Some(text) = variables.text(name) else { return Ok(None) };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim_end();
    let unit = match text.get(digits.len()..).unwrap_or_default().trim() {
        "" | "B" => Some(1_u64),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let bytes = bytes.filter(|bytes| (1..=1 << 50).contains(bytes));
    bytes
        .map(Some)
        .ok_or_else(|| form(name, "a number of bytes, or one with KiB, MiB or GiB, such as 100MiB"))
}

fn time_to_live(variables: &VariableReader<'_>) -> Result<Option<Duration>, SettingError> {
    let Some(text) = variables.text(BLOSSOM_TTL) else { return Ok(None) };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => Some(1_u64),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds =
        digits.parse::<u32>().ok().zip(unit).and_then(|(number, unit)| u64::from(number).checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=100 * 366 * 86_400).contains(seconds));
    let time = seconds.map(Duration::from_secs);
    time.map(Some).ok_or_else(|| form(BLOSSOM_TTL, "a time with one of the units s, m, h and d, such as 30d"))
}

#[cfg(test)]
mod tests {
    use openagents_blossom::Uploaders;
    use openagents_host::{Keys, PublicKey};

    use super::blossom_config;
    use crate::settings::{Operators, SettingError};

    fn key(number: u8) -> PublicKey {
        Keys::from_secret(&[number; 32]).unwrap().public_key()
    }

    fn read(variables: &[(&str, &str)]) -> Result<openagents_blossom::BlossomConfig, SettingError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let operators = Operators::from_iter([key(2)]);
        blossom_config(variable, &operators, Some(key(1)), ["127.0.0.1".to_owned()])
    }

    #[test]
    fn by_default_the_agent_and_its_operators_upload_without_end() {
        let config = read(&[]).unwrap();
        assert_eq!(config.uploaders, Uploaders::Keys([key(1), key(2)].into()));
        assert!(config.is_operator(&key(1)) && config.is_operator(&key(2)) && !config.may_upload(&key(3)));
        assert_eq!((config.max_blob_bytes, config.quota, config.time_to_live), (100 << 20, None, None));
        assert!(config.accepts_expected, "customers upload what their jobs name");
    }

    #[test]
    fn others_upload_if_the_operator_says_so() {
        let three = key(3).to_hex();
        let allowed = read(&[("BLOSSOM_UPLOAD", "allowed"), ("BLOSSOM_ALLOWED_PUBKEYS", &three)]).unwrap();
        assert!(!allowed.accepts_expected);
        assert!(allowed.may_upload(&key(3)) && allowed.may_upload(&key(1)) && !allowed.may_upload(&key(4)));
        assert!(read(&[("BLOSSOM_UPLOAD", "any")]).unwrap().may_upload(&key(4)));
        for upload in ["", "agent", "any"] {
            let error = read(&[("BLOSSOM_UPLOAD", upload), ("BLOSSOM_ALLOWED_PUBKEYS", &three)]).unwrap_err();
            assert!(error.to_string().contains("BLOSSOM_UPLOAD must be allowed"), "{error}");
        }
        assert!(read(&[("BLOSSOM_UPLOAD", "all")]).is_err());
    }

    #[test]
    fn sizes_and_times_have_units() {
        let config =
            read(&[("BLOSSOM_MAX_SIZE", "25MiB"), ("BLOSSOM_QUOTA", "1 GiB"), ("BLOSSOM_TTL", "30d")])
                .unwrap();
        assert_eq!((config.max_blob_bytes, config.quota), (25 << 20, Some(1 << 30)));
        assert_eq!(config.time_to_live.unwrap().as_secs(), 2_592_000);
        assert_eq!(read(&[("BLOSSOM_MAX_SIZE", "1000")]).unwrap().max_blob_bytes, 1_000);
        for (name, wrong) in [
            ("BLOSSOM_MAX_SIZE", "25MB"),
            ("BLOSSOM_MAX_SIZE", "0"),
            ("BLOSSOM_MAX_SIZE", "-1"),
            ("BLOSSOM_QUOTA", "MiB"),
            ("BLOSSOM_QUOTA", "99999999999GiB"),
            ("BLOSSOM_TTL", "0d"),
            ("BLOSSOM_TTL", "1y"),
            ("BLOSSOM_TTL", "99999d"),
            ("BLOSSOM_ALLOWED_TYPES", "pictures"),
        ] {
            let error = read(&[(name, wrong)]).unwrap_err().to_string();
            assert!(error.contains(name), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_public_url_is_where_blobs_are_found_and_which_tokens_name() {
        let config = read(&[("RELAY_URL", "wss://agent.example.com/relay")]).unwrap();
        assert_eq!(config.public_url.unwrap().as_str(), "https://agent.example.com/");
        assert!(config.hosts.is_named_by("agent.example.com", "evil.example"));
        assert!(config.hosts.is_named_by("127.0.0.1:8787", "evil.example"));
        assert!(!config.hosts.is_named_by("evil.example", "evil.example"));
        assert_eq!(
            read(&[("RELAY_URL", "ws://a.example:81")]).unwrap().public_url.unwrap().as_str(),
            "http://a.example:81/"
        );
    }
}
