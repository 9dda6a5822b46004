//! Tests of the list of variables: complete, with the defaults that hold, and the same as `docs/configuration.md`.

use std::path::Path;

use openagents_relay::Limits;
use openagents_relay::admission::{ConnectionLimits, RateLimits};

use super::{AGENT, BLOBS, GATEWAY, KnownVariable, LOG, PAYMENTS, PROCESS, RELAY, RELAY_ACCESS, all};

/// The page, and the tables in it, by the name in their markers.
const PAGE: &str = "docs/configuration.md";
const TABLES: [(&str, &[KnownVariable]); 8] = [
    ("agent", AGENT),
    ("relay", RELAY),
    ("relay access", RELAY_ACCESS),
    ("payments", PAYMENTS),
    ("gateway", GATEWAY),
    ("blobs", BLOBS),
    ("log", LOG),
    ("process", PROCESS),
];

#[test]
fn every_name_of_the_settings_is_known_once() {
    let names = include_str!("../names.rs")
        .lines()
        .filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \"")?.1.strip_suffix("\";"));
    let mut read: Vec<&str> = names.collect();
    read.sort_unstable();
    let mut known: Vec<&str> = all().map(|variable| variable.name).collect();
    known.sort_unstable();
    assert_eq!(known, read);
    assert!(all().all(|variable| !variable.about.is_empty()));
}

#[test]
fn defaults_are_those_that_hold() {
    let (limits, rates, connections) =
        (Limits::default(), RateLimits::default(), ConnectionLimits::default());
    for (name, default) in [
        ("RELAY_MIN_POW", limits.min_pow_difficulty.to_string()),
        ("RELAY_CREATED_AT_FUTURE", limits.created_at_upper_limit.to_string()),
        ("RELAY_MAX_MESSAGE_LENGTH", limits.max_message_length.to_string()),
        ("RELAY_MAX_CONTENT_LENGTH", limits.max_content_length.to_string()),
        ("RELAY_MAX_EVENT_TAGS", limits.max_event_tags.to_string()),
        ("RELAY_MAX_SUBSCRIPTIONS", limits.max_subscriptions.to_string()),
        ("RELAY_MAX_FILTERS", limits.max_filters.to_string()),
        ("RELAY_MAX_LIMIT", limits.max_limit.to_string()),
        ("RELAY_MAX_CONNECTIONS", connections.max_connections.to_string()),
        ("RELAY_MAX_CONNECTIONS_PER_ADDRESS", connections.max_connections_per_address.to_string()),
        ("RELAY_MAX_EVENTS_PER_MINUTE", rates.events_per_minute.to_string()),
        ("RELAY_MAX_REQUESTS_PER_MINUTE", rates.requests_per_minute.to_string()),
        ("RELAY_MAX_AUTHS_PER_MINUTE", rates.auths_per_minute.to_string()),
        ("RELAY_MAX_LOOK_UPS_PER_MINUTE", rates.look_ups_per_minute.to_string()),
    ] {
        let known = all().find(|variable| variable.name == name).unwrap();
        assert_eq!(known.default, default, "{name}");
    }
}

/// `OPENAGENTS_TEST_UPDATE=1 cargo test -p openagents-sdk --lib known_variables` writes the page anew.
#[test]
fn the_page_about_configuration_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(PAGE);
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (name, variables) in TABLES {
        let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE} lacks {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{PAGE} lacks {end}"));
        page = [before, &begin, &table(variables), &end, after].concat();
    }
    if std::env::var_os("OPENAGENTS_TEST_UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
    } else {
        let is_current = page == std::fs::read_to_string(&path).unwrap();
        assert!(
            is_current,
            "{PAGE} is not what the code says: set OPENAGENTS_TEST_UPDATE=1 to write it anew"
        );
    }
}

fn table(variables: &[KnownVariable]) -> String {
    let row = |variable: &KnownVariable| {
        let KnownVariable { name, is_secret, default, about } = variable;
        let default = if default.is_empty() { "–" } else { default };
        let note = if *is_secret { " (a secret)" } else { "" };
        format!("| `{name}`{note} | {default} | {about} |\n")
    };
    let rows: String = variables.iter().map(row).collect();
    format!("| name | default | meaning |\n|---|---|---|\n{rows}")
}
