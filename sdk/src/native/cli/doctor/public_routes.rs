//! Whether a deployment answers at its public HTTP routes, and says there what clients need: `/health`, the relay's
//! information document (NIP-11), NIP-05, the signed manifest, `/metrics`, and CORS.

use openagents_host::http::date;
use openagents_host::net::HttpError;
use openagents_host::nostr::keys::{npub, parse_public_key};
use openagents_host::{PublicKey, Timestamp};
use serde_json::Value;
use url::{Host, Url};

use super::finding::Finding;
use super::http_answer::HttpAnswer;
use crate::manifest::SignedManifest;

/// How many seconds clocks may differ before signed requests are refused (NIP-98).
const MAX_CLOCK_DIFFERENCE: u64 = openagents_host::nostr::http_auth::TIME_WINDOW;

/// A difference that is worth a warning, in seconds; the answer's way takes some of it.
const NOTABLE_CLOCK_DIFFERENCE: u64 = 5;

const LOOK: &str = "look into the deployment's log";

/// What `/health` says about the deployment.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// `None` for a relay without an agent.
    pub(super) agent: Option<PublicKey>,
    pub(super) job_kinds: Vec<u16>,
}

/// There is no answer at all.
pub(super) fn unreachable(base: &Url, error: &HttpError) -> Finding {
    let text = error.to_string();
    let has = |word: &str| text.to_ascii_lowercase().contains(word);
    let advice = if has("certificate") || has("tls") || has("unknownissuer") {
        "the certificate must be valid for this name, complete with its intermediates, and from a public authority"
    } else if has("lookup") || has("resolve") || has("name or service") || has("not known") {
        "the name has no address: check it, and its DNS records"
    } else if has("refused") {
        "nothing listens there: start the deployment, and check the port and --listen"
    } else {
        "check the URL, the network between here and there, and whether the deployment runs"
    };
    Finding::fail("address", format!("{base} does not answer: {text}"), advice)
}

/// Clients in browsers, and most others, use encrypted connections only.
pub(super) fn encryption(base: &Url) -> Finding {
    match base.scheme() {
        // The request would have failed otherwise.
        "https" => Finding::ok("encryption", "the certificate is valid for this name"),
        _ if is_private(base) => Finding::skip("encryption", "not needed on a private address"),
        _ => Finding::fail(
            "encryption",
            "the address is public and not encrypted",
            "put a reverse proxy with TLS in front; browsers refuse ws:// from https pages",
        ),
    }
}

/// Whether the address is only known to this machine or its network.
pub(super) fn is_private(base: &Url) -> bool {
    match base.host() {
        Some(Host::Ipv4(address)) => !openagents_host::net::Reach::Public.allows(address.into()),
        Some(Host::Ipv6(address)) => !openagents_host::net::Reach::Public.allows(address.into()),
        Some(Host::Domain(name)) => !name.contains('.') || name.ends_with(".localhost"),
        None => false,
    }
}

/// The clocks of this machine and the server, by the header `Date`.
pub(super) fn clock(answer: &HttpAnswer, now: Timestamp) -> Finding {
    let Some(date) = date::parse(answer.header("date")) else {
        return Finding::skip("clock", "the server sends no Date");
    };
    let (here, there) = (now.as_seconds(), date.as_seconds());
    let difference = here.abs_diff(there);
    let detail = match there > here {
        true => format!("the server's clock is {difference} s ahead of this machine's"),
        false => format!("the server's clock is {difference} s behind this machine's"),
    };
    let advice = "synchronise both clocks (NTP)";
    match difference {
        0..=NOTABLE_CLOCK_DIFFERENCE => Finding::ok("clock", "the same as here, to a few seconds"),
        _ if difference <= MAX_CLOCK_DIFFERENCE => Finding::warn("clock", detail, advice),
        _ => Finding::fail(
            "clock",
            detail,
            format!("{advice}: what is signed for a request is valid for {MAX_CLOCK_DIFFERENCE} s (NIP-98)"),
        ),
    }
}

/// Whether the deployment can work, and who its agent is.
pub(super) fn health(answer: &HttpAnswer) -> (Finding, Option<Health>) {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("status").is_empty() {
        let advice = "is this the URL of the deployment's root, and does a proxy pass all paths on?";
        return (
            Finding::fail(
                "health",
                format!("/health is not that of a deployment: {}", answer.refusal()),
                advice,
            ),
            None,
        );
    }
    let kinds = document.get("job_kinds").and_then(Value::as_array);
    let kinds = kinds.into_iter().flatten().filter_map(|kind| u16::try_from(kind.as_u64()?).ok());
    let health = Health { agent: parse_public_key(text("npub")).ok(), job_kinds: kinds.collect() };
    let name = format!("{} {}", text("name"), text("version"));
    let finding = match answer.status {
        200 => match &health.agent {
            Some(agent) => Finding::ok("health", format!("{name}, {}", npub(agent))),
            None => Finding::ok("health", format!("{name}, a relay without an agent")),
        },
        _ => Finding::fail("health", format!("{name}: {}", answer.refusal()), LOOK),
    };
    (finding, Some(health))
}

/// The page for browsers.
pub(super) fn page(answer: Result<HttpAnswer, HttpError>) -> Finding {
    match answer {
        Ok(page) if page.status == 200 && page.header("content-type").starts_with("text/html") => {
            Finding::ok("page", "browsers see a page")
        }
        Ok(page) => {
            let found = format!("browsers see {} of the type `{}`", page.status, page.header("content-type"));
            Finding::warn("page", found, "a proxy in front must pass the header Accept on")
        }
        Err(error) => Finding::fail("page", error.to_string(), LOOK),
    }
}

/// The relay's information document (NIP-11).
pub(super) fn relay_information(answer: &Result<HttpAnswer, HttpError>, health: &Health) -> Finding {
    let check = "nip-11";
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::fail(check, error.to_string(), LOOK),
    };
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(nips) = document.get("supported_nips").and_then(Value::as_array) else {
        let advice = "a proxy in front must pass the header Accept on, and must not cache by path alone";
        return Finding::fail(check, format!("no information document: {}", answer.refusal()), advice);
    };
    let lists = |nip: u64| nips.iter().any(|found| found.as_u64() == Some(nip));
    let missing: Vec<u64> =
        [1, 11].into_iter().chain(health.agent.map(|_| 90)).filter(|nip| !lists(*nip)).collect();
    if missing.is_empty() {
        let name = document.get("name").and_then(Value::as_str).unwrap_or("the relay");
        return Finding::ok(check, format!("{name} lists {} NIPs", nips.len()));
    }
    Finding::warn(
        check,
        format!("NIPs {missing:?} are not listed"),
        "add them to SUPPORTED_NIPS, or unset it",
    )
}

/// Whether pages of other sites may use the relay's document and the blob server (CORS).
pub(super) fn cors(
    document: &Result<HttpAnswer, HttpError>,
    preflight: &Result<HttpAnswer, HttpError>,
) -> Finding {
    let (Ok(document), Ok(preflight)) = (document, preflight) else {
        return Finding::fail("cors", "a request got no answer", LOOK);
    };
    let allows_any = |answer: &HttpAnswer| answer.header("access-control-allow-origin") == "*";
    let allowed = preflight.header("access-control-allow-headers").to_ascii_lowercase();
    let advice = "a proxy in front must pass OPTIONS on, and the headers Access-Control-… back";
    if !allows_any(document) || !allows_any(preflight) {
        return Finding::fail("cors", "pages of other sites may not read the answers", advice);
    }
    if !matches!(preflight.status, 200..=299) || !allowed.contains("authorization") {
        return Finding::fail("cors", "pages of other sites may not upload", advice);
    }
    Finding::ok("cors", "pages of other sites may use the deployment")
}

/// The key for the name `_` (NIP-05).
pub(super) fn nip05(answer: &Result<HttpAnswer, HttpError>, agent: &PublicKey) -> Finding {
    let check = "nip-05";
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::fail(check, error.to_string(), LOOK),
    };
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match document.get("names").and_then(|names| names.get("_")).and_then(Value::as_str) {
        Some(key) if key == agent.to_hex() => Finding::ok(check, "/.well-known/nostr.json names the agent"),
        Some(key) => Finding::fail(
            check,
            format!("/.well-known/nostr.json names another key, {key}"),
            "another server answers at this path: route it to the deployment",
        ),
        None => Finding::fail(
            check,
            format!("/.well-known/nostr.json names nobody: {}", answer.refusal()),
            "route this path to the deployment",
        ),
    }
}

/// The signed manifest.
pub(super) fn manifest(answer: &Result<HttpAnswer, HttpError>, agent: &PublicKey) -> Finding {
    let check = "manifest";
    let answer = match answer {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => return Finding::fail(check, answer.refusal(), LOOK),
        Err(error) => return Finding::fail(check, error.to_string(), LOOK),
    };
    match SignedManifest::verify(&answer.text()) {
        Ok(signed) if signed.manifest().id == *agent => Finding::ok(check, "signed by the agent"),
        Ok(_) => Finding::fail(check, "signed by another key", "another deployment answers at this path"),
        Err(error) => Finding::fail(check, error.to_string(), "a proxy in front must not change bodies"),
    }
}

/// Metrics for Prometheus. Operators may have reasons to keep them from strangers.
pub(super) fn metrics(answer: &Result<HttpAnswer, HttpError>) -> Finding {
    match answer {
        Ok(answer) if answer.status == 200 && answer.text().contains("\nopenagents_") => {
            Finding::ok("metrics", "Prometheus can read them")
        }
        Ok(answer) if matches!(answer.status, 401 | 403 | 404) => {
            Finding::skip("metrics", format!("not public (status {})", answer.status))
        }
        Ok(answer) => Finding::warn("metrics", answer.refusal(), LOOK),
        Err(error) => Finding::warn("metrics", error.to_string(), LOOK),
    }
}

#[cfg(test)]
mod tests;
