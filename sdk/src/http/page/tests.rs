//! Tests of the page: its content, and that it may do nothing but what it must.

use openagents_host::Keys;
use openagents_host::http::header;

use super::deployment_page::{agent_page, relay_page};
use super::{asks_for_page, page_response};
use crate::declaration::{AgentDeclaration, JobDeclaration};
use crate::http::fixtures::{parts, text};
use crate::manifest::AgentManifest;
use crate::manifest::offer::Offer;

fn page_of(agent: &AgentDeclaration) -> String {
    let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
    let job = JobDeclaration { about: "Say hello.", ..JobDeclaration::new(5050, "hello") };
    let offers = [Offer { job, quoted: false }];
    agent_page(&AgentManifest::new(agent, &offers, &key), &offers)
}

#[test]
fn tells_without_a_script_what_the_deployment_is() {
    let agent = AgentDeclaration { about: "Greets whoever asks.", ..AgentDeclaration::new("scribe") };
    let page = page_of(&agent);
    let npub = Keys::from_secret(&[1; 32]).unwrap().npub();
    let manifest = format!("href=\"agent/{npub}/manifest.json\"");
    for part in
        ["<h1>scribe</h1>", "Greets whoever asks.", "kind 5050", "Say hello.", "Free", &npub, &manifest]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn names_are_text() {
    const EVIL: &str = "</title><script>alert(1)</script><img src=x onerror=\"alert(1)\">";
    let agent = AgentDeclaration {
        about: EVIL,
        version: EVIL,
        homepage: "javascript:alert(1)",
        ..AgentDeclaration::new(EVIL)
    };
    for page in [page_of(&agent), relay_page(EVIL, EVIL, EVIL)] {
        assert!(
            !page.contains("<script>") && !page.contains("<img") && !page.contains("javascript:"),
            "{page}"
        );
        assert_eq!(page.matches("<script").count(), 1, "{page}");
    }
}

#[test]
fn runs_its_own_script_only_and_connects_to_its_own_relay() {
    let response = page_response("<p>".to_owned(), &parts("GET", "http://agent.example:8787/", &[]));
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for part in [
        "default-src 'none'; script-src 'self'; ",
        "connect-src 'self' ws://agent.example:8787 wss://agent.example:8787; ",
        "frame-ancestors 'none'; ",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(text(response), "<p>");
}

#[test]
fn a_host_cannot_extend_the_policy() {
    for host in ["a.example; script-src *", "a.example *", "'unsafe-inline'"] {
        let request = parts("GET", &format!("http://{host}/"), &[]);
        let response = page_response(String::new(), &request);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("connect-src 'self'; "), "{host}: {policy}");
    }
}

#[test]
fn browsers_get_the_page_and_programs_the_text() {
    for accept in ["text/html", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*, Text/HTML;q=0.5"] {
        assert!(asks_for_page(accept), "{accept}");
    }
    for accept in ["", "*/*", "text/plain", "application/json"] {
        assert!(!asks_for_page(accept), "{accept}");
    }
}
