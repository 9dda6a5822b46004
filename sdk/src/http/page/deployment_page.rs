//! The document at `/`: the deployment's name and key, its jobs, its state, and the latest public jobs.

use openagents_host::PublicKey;

use super::files::PageFile;
use super::html::Html;
use super::job_form::job_entry;
use super::texts::{TEXTS, fill};
use crate::manifest::offer::Offer;
use crate::manifest::{AgentManifest, RouteCapability};

/// Where the SDK is documented.
const DOCUMENTATION: &str = env!("CARGO_PKG_REPOSITORY");

/// The page of an agent and its relay.
pub(super) fn agent_page(manifest: &AgentManifest, offers: &[Offer]) -> String {
    let mut html = Html::default();
    let about = &*manifest.description;
    head(&mut html, &fill(TEXTS.title, "name", &manifest.name), about);
    html.write(
        r##"<body data-agent="{}"><a class="skip" href="#main">{}</a>"##,
        [&manifest.id.to_hex(), TEXTS.skip],
    );
    html.write(r#"<header class="masthead">"#, []);
    key_mark(&mut html, &manifest.id);
    title(&mut html, TEXTS.kind_of_agent, &manifest.name, &manifest.version, about);
    html.write(
        r#"<main id="main"><div class="columns"><section class="jobs" aria-labelledby="jobs"><h2 id="jobs">{}</h2>"#,
        [TEXTS.jobs],
    );
    html.write(
        r#"<p class="lead">{}</p><noscript><p class="notice">{}</p></noscript>"#,
        [TEXTS.jobs_about, TEXTS.without_script],
    );
    for (position, offer) in offers.iter().enumerate() {
        job_entry(&mut html, offer, position == 0);
    }
    html.write("</section><aside>", []);
    state(&mut html, Some(&manifest.author.npub));
    html.write(
        r#"<section aria-labelledby="you"><h2 id="you">{}</h2><div data-signer><p>{}</p><code></code></div></section>"#,
        [TEXTS.you, TEXTS.you_none],
    );
    routes(&mut html, &manifest.capabilities.routes);
    links(&mut html, Some(manifest));
    html.write(
        r#"</aside></div><section class="recently" aria-labelledby="recent"><h2 id="recent">{}</h2><p class="lead">{}</p>"#,
        [TEXTS.recent, TEXTS.recent_about],
    );
    html.write(
        r#"<ol data-recent><li class="empty"><noscript>{}</noscript></li></ol></section>"#,
        [TEXTS.recent_without_script],
    );
    // The script shows it to visitors with an extension.
    html.write(
        r#"<section class="operator" aria-labelledby="operator" hidden data-operator><h2 id="operator">{}</h2>"#,
        [TEXTS.operator],
    );
    html.write(
        r#"<p class="lead">{}</p><p><button type="button">{}</button></p><div data-records></div></section>"#,
        [TEXTS.operator_about, TEXTS.operator_show],
    );
    html.write("</main></body></html>", []);
    html.into_string()
}

/// The page of a relay without agents.
pub(super) fn relay_page(name: &str, version: &str, about: &str) -> String {
    let mut html = Html::default();
    head(&mut html, &fill(TEXTS.title_of_relay, "name", name), about);
    html.write(r#"<body><header class="masthead">"#, []);
    title(&mut html, TEXTS.kind_of_relay, name, version, about);
    html.write(
        r#"<main id="main"><div class="columns"><section class="jobs"><p class="lead">{}</p></section><aside>"#,
        [TEXTS.no_jobs],
    );
    state(&mut html, None);
    links(&mut html, None);
    html.write("</aside></div></main></body></html>", []);
    html.into_string()
}

fn head(html: &mut Html, title: &str, about: &str) {
    html.write(r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{}</title>"#, [title]);
    html.write(r#"<meta name="viewport" content="width=device-width,initial-scale=1">"#, []);
    html.write(
        r#"<meta name="color-scheme" content="light dark"><meta name="description" content="{}">"#,
        [about],
    );
    html.write(
        r#"<link rel="stylesheet" href="{}"><link rel="icon" type="image/svg+xml" href="{}">"#,
        [PageFile::Style.address(), PageFile::Icon.address()],
    );
    html.write(r#"<script type="module" src="{}"></script></head>"#, [PageFile::Script.address()]);
}

fn title(html: &mut Html, what: &str, name: &str, version: &str, about: &str) {
    html.write(
        r#"<div class="title"><p class="what">{}</p><h1>{}</h1><p class="about">{}</p></div>"#,
        [what, name, about],
    );
    html.write(
        r#"<div class="live"><p class="connection" role="status" data-status="connection"></p><p>{}</p></div></header>"#,
        [&fill(TEXTS.version, "version", version)],
    );
}

/// A sign that differs from key to key: 5 × 5 cells, the left half from the key's first bits, the right half its mirror.
fn key_mark(html: &mut Html, key: &PublicKey) {
    const BITS: [u8; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
    const COLUMNS: [(&str, &str); 3] = [("0", "4"), ("1", "3"), ("2", "2")];
    let bits = key.as_bytes().iter().flat_map(|byte| BITS.map(|bit| byte & bit != 0));
    let cells = ["0", "1", "2", "3", "4"].into_iter().flat_map(|row| COLUMNS.map(|columns| (columns, row)));
    html.write(
        r#"<svg class="mark" viewBox="0 0 5 5" aria-hidden="true" shape-rendering="crispEdges"><path d=""#,
        [],
    );
    for (((left, right), row), _) in cells.zip(bits).filter(|(_, is_set)| *is_set) {
        html.write("M{} {}h1v1h-1zM{} {}h1v1h-1z", [left, row, right, row]);
    }
    html.write(r#""/></svg>"#, []);
}

/// What the deployment is and does now. The script fills in what is not known without asking.
fn state(html: &mut Html, npub: Option<&str>) {
    html.write(
        r#"<section aria-labelledby="deployment"><h2 id="deployment">{}</h2><dl>"#,
        [TEXTS.deployment],
    );
    if let Some(npub) = npub {
        html.write(r#"<dt>{}</dt><dd class="key"><code>{}</code>"#, [TEXTS.public_key, npub]);
        html.write(
            r#"<button type="button" class="quiet" hidden data-copy="{}">{}</button></dd>"#,
            [npub, TEXTS.copy],
        );
    }
    let agent = npub.map(|_| (TEXTS.agent, "agent"));
    for (label, name) in agent.into_iter().chain([(TEXTS.relay, "relay"), (TEXTS.blobs, "blobs")]) {
        html.write(r#"<dt>{}</dt><dd data-status="{}">{}</dd>"#, [label, name, TEXTS.unknown_yet]);
    }
    html.write("</dl></section>", []);
}

/// The agent's own HTTP routes, if it has any.
fn routes(html: &mut Html, routes: &[RouteCapability]) {
    if routes.is_empty() {
        return;
    }
    html.write(
        r#"<section aria-labelledby="routes"><h2 id="routes">{}</h2><ul class="links">"#,
        [TEXTS.routes],
    );
    for route in routes {
        html.write(
            "<li><code>{} {}</code> <span>{}</span></li>",
            [&route.method, &route.path, &route.description],
        );
    }
    html.write("</ul></section>", []);
}

fn links(html: &mut Html, manifest: Option<&AgentManifest>) {
    html.write(r#"<section aria-labelledby="read"><h2 id="read">{}</h2><ul class="links">"#, [TEXTS.read]);
    if let Some(manifest) = manifest {
        let address = format!("agent/{}/manifest.json", manifest.author.npub);
        link(html, &address, TEXTS.link_manifest, TEXTS.link_manifest_about);
        link(html, ".well-known/nostr.json", TEXTS.link_nip05, TEXTS.link_nip05_about);
    }
    link(html, "health", TEXTS.link_health, TEXTS.link_health_about);
    link(html, "metrics", TEXTS.link_metrics, TEXTS.link_metrics_about);
    if let Some(homepage) = manifest.map(|manifest| &*manifest.homepage).filter(|url| is_web(url)) {
        link(html, homepage, TEXTS.link_home, TEXTS.link_home_about);
    }
    link(html, DOCUMENTATION, TEXTS.link_docs, TEXTS.link_docs_about);
    html.write("</ul></section>", []);
}

fn link(html: &mut Html, address: &str, label: &str, about: &str) {
    html.write(r#"<li><a rel="noreferrer" href="{}">{}</a> <span>{}</span></li>"#, [address, label, about]);
}

/// Other schemes, such as `javascript:`, are not linked.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
