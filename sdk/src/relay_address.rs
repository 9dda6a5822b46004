//! Normalizes the addresses of relays.

use std::collections::BTreeSet;

use openagents_host::net::{Reach, public_url};

/// A relay's address in the normalized form in which it is stored and compared; `None` if it is invalid or may not be
/// reached.
pub(crate) fn relay_address(url: &str, reach: Reach) -> Option<String> {
    let url = public_url(url.trim(), &["wss", "ws"], reach).ok()?;
    let text = url.as_str();
    if text.len() > MAX_ADDRESS {
        return None;
    }
    // A trailing slash is insignificant only if there is nothing else behind the host.
    let is_bare = url.path() == "/" && url.query().is_none();
    Some(if is_bare { text.trim_end_matches('/') } else { text }.to_owned())
}

/// The host of a normalized relay address, without its port: limits for relays go by host, since one host can have any
/// number of addresses.
pub(crate) fn relay_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The external relays that an agent serves: those of its settings, without duplicates and without its own.
pub(crate) fn served(relays: &[String], own: Option<&str>, reach: Reach) -> Vec<String> {
    let own = own.and_then(|own| relay_address(own, Reach::Anywhere));
    let relays: BTreeSet<String> = relays.iter().filter_map(|relay| relay_address(relay, reach)).collect();
    relays.into_iter().filter(|relay| own.as_ref() != Some(relay)).collect()
}

/// The longest relay address, in bytes.
const MAX_ADDRESS: usize = 2_048;
