//! `GET /` for browsers: a page that shows what the deployment is and sends jobs from forms.
//!
//! The server writes everything that can be known without asking anybody; the script adds what is live. Its source, and all
//! texts, are in `sdk/page/`; `tests/bin/build-page` makes the bundle.

mod deployment_page;
mod files;
mod html;
mod job_form;
mod texts;

use openagents_host::http::{
    HeaderName, HeaderValue, Parts, Response, StatusCode, header, request_url, response,
};

use crate::manifest::AgentManifest;
use crate::manifest::offer::Offer;

pub(crate) use files::PageFile;

/// Whether an `Accept` header asks for a web page. `*/*` does not: programs send it, and they read the text better.
pub(super) fn asks_for_page(accept: &str) -> bool {
    accept.split(',').any(|part| {
        part.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("text/html"))
    })
}

/// The page of an agent and its relay.
pub(super) fn agent_page(manifest: &AgentManifest, offers: &[Offer], parts: &Parts) -> Response {
    page_response(deployment_page::agent_page(manifest, offers), parts)
}

/// The page of a relay without agents.
pub(super) fn relay_page(name: &str, version: &str, about: &str, parts: &Parts) -> Response {
    page_response(deployment_page::relay_page(name, version, about), parts)
}

fn page_response(html: String, parts: &Parts) -> Response {
    let page = response::bytes(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), html);
    // Old files are not kept, so the page that names them must not be, either.
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(parts)),
    ];
    headers.into_iter().fold(page, |page, (name, value)| response::with_header(page, name, value))
}

/// What the page may do: run its own script, load files of this deployment and connect to it, and nothing else. No text
/// can become code, wherever it comes from.
///
/// The relay is named with its host, since not every browser counts `ws://` as `'self'`.
fn content_security_policy(parts: &Parts) -> HeaderValue {
    let relay = request_url(parts)
        .as_deref()
        .and_then(authority)
        .map_or_else(String::new, |authority| format!(" ws://{authority} wss://{authority}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
         connect-src 'self'{relay}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Host and port of a URL, if a policy can name them.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    authority.bytes().all(is_plain).then_some(authority)
}

#[cfg(test)]
mod tests;
