//! Tests of what `doctor` says of the answers at public routes.

use openagents_host::http::date;
use openagents_host::net::HttpError;
use openagents_host::{Keys, Timestamp};

use super::{
    Health, clock, cors, encryption, health, manifest, metrics, nip05, relay_information, unreachable,
};
use crate::native::cli::doctor::finding::Verdict;
use crate::native::cli::doctor::http_answer::HttpAnswer;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpAnswer { status, headers, body: body.to_owned().into() }
}

fn keys() -> Keys {
    Keys::from_secret(&[1; 32]).unwrap()
}

#[test]
fn a_clock_may_be_off_by_what_signatures_allow() {
    let now = Timestamp::from_seconds(1_800_000_000);
    for (seconds, expected) in [
        (1_800_000_003, Verdict::Ok),
        (1_799_999_997, Verdict::Ok),
        (1_800_000_030, Verdict::Warn),
        (1_799_999_900, Verdict::Fail),
    ] {
        let date = date::format(Timestamp::from_seconds(seconds));
        assert_eq!(clock(&answer(200, &[("Date", &date)], ""), now).verdict, expected, "{seconds}");
    }
    assert_eq!(clock(&answer(200, &[], ""), now).verdict, Verdict::Skip);
}

#[test]
fn only_private_addresses_need_no_encryption() {
    for (url, expected) in [
        ("https://a.example", Verdict::Ok),
        ("http://127.0.0.1:8787", Verdict::Skip),
        ("http://[::1]:8787", Verdict::Skip),
        ("http://10.1.2.3", Verdict::Skip),
        ("http://localhost:8787", Verdict::Skip),
        ("http://backend:8787", Verdict::Skip),
        ("http://a.example", Verdict::Fail),
        ("http://8.8.8.8", Verdict::Fail),
    ] {
        assert_eq!(encryption(&url.parse().unwrap()).verdict, expected, "{url}");
    }
}

#[test]
fn says_why_there_is_no_answer() {
    let base = "https://a.example/".parse().unwrap();
    for (error, advice) in [
        ("invalid peer certificate: UnknownIssuer", "certificate"),
        ("failed to lookup address information: Name or service not known", "DNS"),
        ("Connection refused (os error 111)", "--listen"),
        ("reset", "network"),
    ] {
        let finding = unreachable(&base, &HttpError::Connect(error.to_owned()));
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.advice.as_ref().unwrap().contains(advice), "{finding:?}");
    }
}

#[test]
fn health_tells_the_agent_and_a_foreign_server_does_not() {
    let npub = keys().npub();
    let body = format!(
        r#"{{"status":"ok","name":"scribe","version":"1.0","npub":"{npub}","job_kinds":[5050,5051,70000]}}"#
    );
    let (finding, found) = health(&answer(200, &[], &body));
    assert_eq!((finding.verdict, found.unwrap().job_kinds), (Verdict::Ok, vec![5050, 5051]));
    let (finding, found) = health(&answer(503, &[], &body.replace("ok", "failing")));
    assert_eq!((finding.verdict, found.unwrap().agent), (Verdict::Fail, Some(keys().public_key())));
    let (finding, found) = health(&answer(200, &[], r#"{"status":"ok","name":"relay","version":"1.0"}"#));
    assert_eq!((finding.verdict, found.unwrap().agent), (Verdict::Ok, None));
    let (finding, found) = health(&answer(200, &[], "<html>It works!</html>"));
    assert!(found.is_none() && finding.detail.contains("It works!"), "{finding:?}");
}

#[test]
fn an_information_document_lists_what_the_deployment_does() {
    let agent = Health { agent: Some(keys().public_key()), job_kinds: vec![5050] };
    let verdict =
        |body: &str, health: &Health| relay_information(&Ok(answer(200, &[], body)), health).verdict;
    assert_eq!(verdict(r#"{"name":"a","supported_nips":[1,11,90]}"#, &agent), Verdict::Ok);
    assert_eq!(verdict(r#"{"name":"a","supported_nips":[1,11]}"#, &agent), Verdict::Warn);
    assert_eq!(verdict(r#"{"name":"a","supported_nips":[1,11]}"#, &Health::default()), Verdict::Ok);
    assert_eq!(verdict("<html>", &agent), Verdict::Fail);
}

#[test]
fn cors_is_for_every_site_and_lets_it_authorize() {
    let any = ("access-control-allow-origin", "*");
    let headers = ("access-control-allow-headers", "Authorization, *");
    for (document, preflight, expected) in [
        (answer(200, &[any], ""), answer(204, &[any, headers], ""), Verdict::Ok),
        (answer(200, &[], ""), answer(204, &[any, headers], ""), Verdict::Fail),
        (answer(200, &[any], ""), answer(204, &[any], ""), Verdict::Fail),
        (answer(200, &[any], ""), answer(405, &[any, headers], ""), Verdict::Fail),
    ] {
        assert_eq!(cors(&Ok(document), &Ok(preflight)).verdict, expected);
    }
}

#[test]
fn a_name_leads_to_the_agent_and_to_nobody_else() {
    let key = keys().public_key();
    let verdict = |body: String| nip05(&Ok(answer(200, &[], &body)), &key).verdict;
    assert_eq!(verdict(format!(r#"{{"names":{{"_":"{key}"}}}}"#)), Verdict::Ok);
    assert_eq!(verdict(format!(r#"{{"names":{{"_":"{}"}}}}"#, "ab".repeat(32))), Verdict::Fail);
    assert_eq!(verdict(r#"{"names":{}}"#.to_owned()), Verdict::Fail);
}

#[test]
fn a_manifest_must_be_signed_by_the_agent() {
    let agent = crate::declaration::AgentDeclaration::new("scribe");
    let signed = crate::manifest::AgentManifest::new(&agent, &[], &keys().public_key()).signed(&keys());
    let json = signed.json().to_string();
    let verdict = |body: &str, key| manifest(&Ok(answer(200, &[], body)), &key).verdict;
    assert_eq!(verdict(&json, keys().public_key()), Verdict::Ok);
    assert_eq!(verdict(&json.replace("scribe", "script"), keys().public_key()), Verdict::Fail);
    assert_eq!(verdict(&json, Keys::from_secret(&[2; 32]).unwrap().public_key()), Verdict::Fail);
}

#[test]
fn metrics_may_be_private() {
    let verdict = |status, body: &str| metrics(&Ok(answer(status, &[], body))).verdict;
    assert_eq!(verdict(200, "# TYPE a gauge\nopenagents_blobs 1\n"), Verdict::Ok);
    assert_eq!(verdict(403, ""), Verdict::Skip);
    assert_eq!(verdict(200, "<html>"), Verdict::Warn);
}
