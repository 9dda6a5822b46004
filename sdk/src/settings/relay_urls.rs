//! `RELAY_URL` and `AGENT_RELAYS`: URLs of relays.

use openagents_host::net::{Reach, public_url};

use super::error::SettingError;
use super::names::{AGENT_RELAYS, RELAY_URL};
use super::variables::{VariableReader, parts};

/// The schemes of relay URLs.
const SCHEMES: [&str; 2] = ["wss", "ws"];

/// The public URL of the deployment's own relay, which may have a private address.
pub(super) fn own_relay_url(variables: &VariableReader<'_>) -> Result<Option<String>, SettingError> {
    let Some(url) = variables.text(RELAY_URL) else { return Ok(None) };
    match public_url(&url, &SCHEMES, Reach::Anywhere) {
        Ok(_) => Ok(Some(url)),
        Err(error) => Err(SettingError::Relay { name: RELAY_URL, error }),
    }
}

/// The external relays that the agent serves; `None` for those that it declares.
pub(super) fn served_relays(
    variables: &VariableReader<'_>,
    reach: Reach,
) -> Result<Option<Vec<String>>, SettingError> {
    let list = match variables.text(AGENT_RELAYS) {
        None => return Ok(None),
        Some(list) if list == "none" => return Ok(Some(Vec::new())),
        Some(list) => list,
    };
    let checked = parts(&list).zip(1..).map(|(url, number)| match public_url(url, &SCHEMES, reach) {
        Ok(_) => Ok(url.to_owned()),
        Err(error) => Err(SettingError::RelayList { name: AGENT_RELAYS, number, error }),
    });
    checked.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use openagents_host::net::Reach;

    use super::{own_relay_url, served_relays};
    use crate::settings::SettingError;
    use crate::settings::variables::VariableReader;

    fn with<T>(value: &str, read: impl Fn(&VariableReader<'_>) -> T) -> T {
        read(&VariableReader(&|_| Some(value.to_owned())))
    }

    fn own(value: &str) -> Result<Option<String>, SettingError> {
        with(value, own_relay_url)
    }

    fn served(value: &str) -> Result<Option<Vec<String>>, SettingError> {
        with(value, |variables| served_relays(variables, Reach::Public))
    }

    #[test]
    fn the_own_url_has_a_scheme_of_relays_a_host_and_no_password() {
        for url in ["wss://relay.example.com", "ws://127.0.0.1:8787/", "wss://[::1]/x?y"] {
            assert_eq!(own(url), Ok(Some(url.to_owned())));
        }
        assert_eq!(own(" "), Ok(None));
        for (url, reason) in [
            ("https://relay.example.com", "begins with `wss:` or `ws:`, found `https:`"),
            ("relay.example.com", "absolute URL"),
            ("wss://", "absolute URL"),
            ("wss://anna:hunter2@relay.example.com", "a user name or a password is not accepted"),
        ] {
            let error = own(url).unwrap_err().to_string();
            assert!(error.starts_with("the variable RELAY_URL is not") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn other_relays_are_public_and_have_no_password() {
        let two = "wss://one.example.com,wss://two.example.com";
        assert_eq!(served(two).unwrap().unwrap().len(), 2);
        assert_eq!((served("none"), served("")), (Ok(Some(Vec::new())), Ok(None)));
        for (second, reason) in [
            ("ws://two.example.com", "begins with `wss:`, found `ws:`"),
            ("wss://127.0.0.1", "not a public host"),
            ("wss://anna:hunter2@two.example.com", "a user name or a password is not accepted"),
            ("two.example.com", "absolute URL"),
        ] {
            let error = served(&format!("wss://one.example.com, {second}")).unwrap_err().to_string();
            assert!(error.contains("entry 2 of the variable AGENT_RELAYS"), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn nobody_is_told_what_a_variable_holds() {
        for secret in ["wss://anna:hunter2@relay.example.com", "anna:hunter2@relay.example.com", "hunter2"] {
            for error in [own(secret).unwrap_err(), served(secret).unwrap_err()] {
                assert!(!error.to_string().contains("hunter2"), "{error}");
                let told = error.public_message();
                assert!(told.contains("see the variable") && !told.contains("example"), "{told}");
            }
        }
    }
}
