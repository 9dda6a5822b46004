//! The command `doctor`: checks a deployment from outside, as its clients see it, on this machine, a server or Cloudflare.

mod announcements;
mod blob_round_trip;
mod finding;
mod http_answer;
mod public_routes;
mod relay_connection;

use std::process::ExitCode;

use openagents_host::Keys;
use openagents_host::native::now;
use openagents_host::nostr::keys::{KeyError, npub};
use url::Url;

use super::arguments::Doctor;
use super::inspect::{self, InspectError};
use super::terminal::{foreign_output, say};
use announcements::Announced;
use finding::{Finding, Findings};
use http_answer::HttpAnswer;
use public_routes::Health;

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum DoctorError {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("a key could not be generated: {0}")]
    NewKey(#[from] KeyError),
}

/// Checks a deployment, prints what was found, and fails if anything does not work. `name` is that of this program's
/// deployment, which names the default data folder.
pub(in crate::native) async fn run(name: &str, doctor: &Doctor) -> Result<ExitCode, DoctorError> {
    let base = inspect::base(&doctor.url)?;
    let uploader = match inspect::keys_of(name, doctor.data.as_deref()) {
        Ok(keys) => Some(keys),
        Err(InspectError::NoKey(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let reader = uploader.clone().map_or_else(Keys::generate, Ok)?;
    let findings =
        Findings { url: base.to_string(), findings: examine(&base, &reader, uploader.as_ref()).await };
    let shown = if doctor.json { findings.json() } else { findings.text() };
    say(format_args!("{}", foreign_output(&shown)));
    Ok(if findings.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All checks, in the order in which a client meets what they are about. `reader` authenticates to the relay if it requires
/// that.
async fn examine(base: &Url, reader: &Keys, uploader: Option<&Keys>) -> Vec<Finding> {
    let asked = std::time::Instant::now();
    let answer = match HttpAnswer::get(base, "/health", "application/json").await {
        Ok(answer) => answer,
        Err(error) => return vec![public_routes::unreachable(base, &error)],
    };
    let mut findings = vec![
        Finding::ok("address", format!("answers within {} ms", asked.elapsed().as_millis())),
        public_routes::encryption(base),
        public_routes::clock(&answer, now()),
    ];
    let (finding, health) = public_routes::health(&answer);
    findings.push(finding);
    let Some(health) = health else { return findings };
    findings.push(public_routes::page(HttpAnswer::get(base, "/", "text/html").await));
    let document = HttpAnswer::get(base, "/", "application/nostr+json").await;
    findings.push(public_routes::relay_information(&document, &health));
    findings.push(public_routes::cors(&document, &HttpAnswer::preflight(base, "/upload").await));
    findings.extend(examine_relay(base, reader, &health).await);
    if let Some(agent) = health.agent {
        let name_document = HttpAnswer::get(base, "/.well-known/nostr.json?name=_", "application/json").await;
        findings.push(public_routes::nip05(&name_document, &agent));
        let path = format!("/agent/{}/manifest.json", npub(&agent));
        let manifest = HttpAnswer::get(base, &path, "application/json").await;
        findings.push(public_routes::manifest(&manifest, &agent));
    }
    findings.push(public_routes::metrics(&HttpAnswer::get(base, "/metrics", "text/plain").await));
    findings.push(blob_round_trip::check(base, uploader).await);
    findings
}

/// The relay, and what the agent has announced there.
async fn examine_relay(base: &Url, reader: &Keys, health: &Health) -> Vec<Finding> {
    let (mut findings, relay) = relay_connection::connect(base, reader).await;
    let Some(mut relay) = relay else { return findings };
    findings.push(relay_connection::subscribe(&mut relay).await);
    if let Some(agent) = health.agent {
        match announcements::read(&mut relay, &agent).await {
            Ok(events) => {
                let announced = Announced { events: &events, now: now() };
                findings.extend(announced.check(base, &health.job_kinds));
            }
            Err(error) => findings.push(announcements::unreadable(&error)),
        }
    }
    relay.close().await;
    findings
}
