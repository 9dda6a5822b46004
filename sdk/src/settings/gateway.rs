//! The gateway's variables: its backend, and how much each client may send.

use std::num::NonZeroU32;
use std::time::Duration;

use openagents_host::net::{Reach, Url, public_url};

use super::error::SettingError;
use super::names::{
    AUMOS_API_KEY, AUMOS_API_URL, GATEWAY_AUDIT_PAYLOADS, GATEWAY_MAX_REQUESTS_PER_MINUTE,
    GATEWAY_TIMEOUT_SECONDS, RELAY_LIMIT_LOOPBACK,
};
use super::variables::{VariableReader, form};
use crate::gateway::{Backend, GatewayConfig};

/// How many requests a client may send per minute, unless a variable says otherwise.
const MAX_REQUESTS_PER_MINUTE: u32 = 600;

/// The same, at most.
const HIGHEST_MAX_REQUESTS_PER_MINUTE: u32 = 1_000_000;

/// How long the backend may take, in seconds, unless a variable says otherwise.
const TIMEOUT_SECONDS: u64 = 30;

/// The same, at most: natively a connection is closed after two minutes.
const MAX_TIMEOUT_SECONDS: u64 = 100;

/// Reads the gateway's variables.
pub(crate) fn gateway_config(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<GatewayConfig, SettingError> {
    let variables = VariableReader(&variable);
    let per_minute = variables.number(
        GATEWAY_MAX_REQUESTS_PER_MINUTE,
        MAX_REQUESTS_PER_MINUTE,
        0..=HIGHEST_MAX_REQUESTS_PER_MINUTE,
    )?;
    let timeout = variables.number(GATEWAY_TIMEOUT_SECONDS, TIMEOUT_SECONDS, 1..=MAX_TIMEOUT_SECONDS)?;
    let key = backend_key(&variables)?;
    if key.is_some() && variables.text(AUMOS_API_URL).is_none() {
        return Err(SettingError::Unused { name: AUMOS_API_KEY, without: AUMOS_API_URL });
    }
    let backend = variables.text(AUMOS_API_URL).map(|url| -> Result<_, SettingError> {
        Ok(Backend { url: backend_url(&url)?, key, timeout: Duration::from_secs(timeout) })
    });
    Ok(GatewayConfig {
        backend: backend.transpose()?,
        max_requests_per_minute: NonZeroU32::new(per_minute),
        limits_loopback: variables.switch(RELAY_LIMIT_LOOPBACK, false)?,
        audits_payloads: variables.switch(GATEWAY_AUDIT_PAYLOADS, false)?,
    })
}

/// What an operator is told who has set the gateway's variables although the deployment has none.
pub(crate) fn unused_gateway_variables(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let names = [
        AUMOS_API_URL,
        AUMOS_API_KEY,
        GATEWAY_MAX_REQUESTS_PER_MINUTE,
        GATEWAY_TIMEOUT_SECONDS,
        GATEWAY_AUDIT_PAYLOADS,
    ];
    let set: Vec<&str> = names.into_iter().filter(|name| variable(name).is_some()).collect();
    let names = set.join(", ");
    (!set.is_empty()).then(|| {
        format!(
            "this deployment has no gateway, so it does not use {names}; `gateway: Gateway::new()` in `deployment!` adds one"
        )
    })
}

/// The operator's URL may be private, and without encryption if it is; the key must not cross the internet in the clear.
fn backend_url(text: &str) -> Result<Url, SettingError> {
    let expected = "the URL of the gateway's backend, such as https://api.example.com/agents, \
                    without a user name; `http` only on a private network";
    let wrong = || form(AUMOS_API_URL, expected);
    let url = public_url(text, &["https", "http"], Reach::Anywhere).map_err(|_| wrong())?;
    let is_clear = url.scheme() == "http";
    let is_public = || public_url(&text.replacen("http", "https", 1), &["https"], Reach::Public).is_ok();
    if is_clear && is_public() { Err(wrong()) } else { Ok(url) }
}

fn backend_key(variables: &VariableReader<'_>) -> Result<Option<String>, SettingError> {
    let key = variables.text(AUMOS_API_KEY);
    match key {
        Some(key) if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(key)),
        Some(_) => Err(form(AUMOS_API_KEY, "ASCII letters, digits and punctuation, without spaces")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{gateway_config, unused_gateway_variables};
    use crate::gateway::GatewayConfig;
    use crate::settings::SettingError;

    fn read(variables: &[(&str, &str)]) -> Result<GatewayConfig, SettingError> {
        gateway_config(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_variables_there_is_a_limit_and_no_backend() {
        let config = read(&[]).unwrap();
        assert_eq!((config.max_requests_per_minute.unwrap().get(), config.backend), (600, None));
        assert!(!config.limits_loopback && !config.audits_payloads);
        assert_eq!(read(&[("GATEWAY_MAX_REQUESTS_PER_MINUTE", "0")]).unwrap().max_requests_per_minute, None);
    }

    #[test]
    fn the_backend_is_reached_encrypted_or_on_a_private_network() {
        for url in [
            "https://api.example.com/agents?v=1",
            "https://10.0.0.7:8443",
            "http://127.0.0.1:9000",
            "http://backend:9000/agents",
            "http://backend.internal",
        ] {
            let backend =
                read(&[("AUMOS_API_URL", url), ("AUMOS_API_KEY", "secret")]).unwrap().backend.unwrap();
            assert_eq!((backend.key.as_deref(), backend.timeout.as_secs()), (Some("secret"), 30), "{url}");
            assert!(!format!("{backend:?}").contains("secret"));
        }
        for url in [
            "api.example.com",
            "ftp://api.example.com",
            "https://me:hunter2@api.example.com",
            "http://api.example.com",
        ] {
            let error = read(&[("AUMOS_API_URL", url)]).unwrap_err().to_string();
            assert!(error.contains("AUMOS_API_URL") && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn says_which_variable_is_wrong_and_no_secret() {
        for (name, value) in [
            ("GATEWAY_MAX_REQUESTS_PER_MINUTE", "-1"),
            ("GATEWAY_MAX_REQUESTS_PER_MINUTE", "1000001"),
            ("GATEWAY_TIMEOUT_SECONDS", "0"),
            ("GATEWAY_TIMEOUT_SECONDS", "101"),
            ("GATEWAY_AUDIT_PAYLOADS", "some"),
            ("AUMOS_API_KEY", "two words"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name) && !error.to_string().contains("words"), "{error}");
            assert!(error.public_message().contains(name));
        }
    }

    #[test]
    fn variables_that_nothing_reads_are_named() {
        let warning =
            |set: &[&str]| unused_gateway_variables(|name| set.contains(&name).then(|| "secret".to_owned()));
        assert_eq!(warning(&["RELAY_NAME"]), None);
        let warning = warning(&["GATEWAY_AUDIT_PAYLOADS", "AUMOS_API_KEY"]).unwrap();
        assert!(warning.contains("does not use AUMOS_API_KEY, GATEWAY_AUDIT_PAYLOADS;"), "{warning}");
        assert!(!warning.contains("secret"), "{warning}");
    }
}
