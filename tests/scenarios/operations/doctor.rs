//! The command `doctor` of every deployment's program.

use std::collections::BTreeMap;
use std::process::Output;

use openagents_tests::server::{Host, Server, binary};
use serde_json::Value;
use tokio::process::Command;

use crate::clients::foreign_clients::{run, shown};
use crate::servers::{Servers, scenarios};

scenarios! {
    on Host::ALL => {
        a_deployment_that_is_well_passes_every_check,
        a_key_that_may_not_upload_is_a_warning,
        a_deployment_that_does_not_answer_fails_with_what_to_do,
        what_is_wrong_with_announcements_and_reading_is_told,
    }
    on [Host::Native, Host::NativeForgetful] => {
        a_relay_without_an_agent_is_checked_as_well,
    }
}

/// `doctor` for this server, with a key or without.
fn doctor(server: &Server, deployment: &str, key: Option<String>, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary(deployment));
    command.arg("doctor").arg(format!("http://{}", server.address())).args(arguments);
    match key {
        Some(key) => command.env("NOSTR_PRIVATE_KEY", key),
        None => command.env_remove("NOSTR_PRIVATE_KEY").args(["--data", "/nowhere"]),
    };
    command.current_dir(server.data());
    command
}

fn own_key(server: &Server) -> Option<String> {
    server.keys().map(|keys| keys.secret_key().to_secret_hex())
}

/// The verdict and the text of each check.
fn findings(output: &Output) -> BTreeMap<String, (String, String)> {
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(output)));
    let findings = report["findings"].as_array().expect("findings").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .map(|finding| {
            let told = format!("{} {}", text(&finding["detail"]), text(&finding["advice"]));
            (text(&finding["check"]), (text(&finding["verdict"]), told))
        })
        .collect()
}

async fn a_deployment_that_is_well_passes_every_check(servers: &Servers) {
    let server = servers.probe();
    let output = run(doctor(&server, "probe", own_key(&server), &["--json"])).await;
    let found = findings(&output);
    for check in [
        "address",
        "health",
        "page",
        "nip-11",
        "cors",
        "websocket",
        "subscription",
        "nip-89",
        "profile",
        "nip-05",
        "manifest",
        "metrics",
        "blobs",
    ] {
        assert_eq!(found[check].0, "ok", "{check}: {found:#?}");
    }
    // This machine needs no certificate, and announces no address.
    assert_eq!((found["encryption"].0.as_str(), found["nip-65"].0.as_str()), ("skip", "skip"), "{found:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));

    let output = run(doctor(&server, "probe", own_key(&server), &[])).await;
    let text = shown(&output);
    assert!(text.contains("  ok    blobs ") && text.contains("Nothing failed; no warnings."), "{text}");
    assert!(!text.contains(&own_key(&server).expect("a key")), "{text}");
}

async fn a_key_that_may_not_upload_is_a_warning(servers: &Servers) {
    let server = servers.own_with("probe", &[("BLOSSOM_UPLOAD", "agent".to_owned())]);
    let stranger = openagents_tests::events::fresh_author().secret_key().to_secret_hex();
    let output = run(doctor(&server, "probe", Some(stranger), &["--json"])).await;
    let (verdict, told) = &findings(&output)["blobs"];
    assert_eq!((verdict.as_str(), output.status.code()), ("warn", Some(0)), "{told}");
    assert!(told.contains("may not upload") && told.contains("ADMIN_PUBKEYS"), "{told}");

    let output = run(doctor(&server, "probe", None, &["--json"])).await;
    assert_eq!(findings(&output)["blobs"].0, "skip", "{}", shown(&output));
}

async fn a_relay_without_an_agent_is_checked_as_well(servers: &Servers) {
    let server = servers.example("relay");
    let output = run(doctor(&server, "relay", None, &["--json"])).await;
    let found = findings(&output);
    assert_eq!((found["health"].0.as_str(), found["nip-11"].0.as_str()), ("ok", "ok"), "{found:#?}");
    assert!(!found.contains_key("nip-89") && !found.contains_key("manifest"), "{found:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}

async fn a_deployment_that_does_not_answer_fails_with_what_to_do(servers: &Servers) {
    let server = servers.own("probe");
    server.kill();
    let output = run(doctor(&server, "probe", None, &["--json"])).await;
    let (verdict, told) = &findings(&output)["address"];
    assert_eq!((verdict.as_str(), output.status.code()), ("fail", Some(1)), "{told}");
    assert!(told.contains("start the deployment"), "{told}");

    let output = run(doctor(&server, "probe", None, &[])).await;
    assert!(shown(&output).contains("1 failed; no warnings."), "{}", shown(&output));
}

async fn what_is_wrong_with_announcements_and_reading_is_told(servers: &Servers) {
    let variables = [("AGENT_ANNOUNCE", "false".to_owned()), ("SUPPORTED_NIPS", "[1,11]".to_owned())];
    let server = servers.own_with("probe", &variables);
    let output = run(doctor(&server, "probe", None, &["--json"])).await;
    let found = findings(&output);
    for (check, advice) in
        [("nip-89", "AGENT_ANNOUNCE"), ("profile", "AGENT_ANNOUNCE"), ("nip-11", "SUPPORTED_NIPS")]
    {
        let (verdict, told) = &found[check];
        assert!(verdict == "warn" && told.contains(advice), "{check}: {verdict} {told}");
    }
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
}
