//! Conformance tests of the host's ports in the runtime itself; natively, the same cases are unit tests.

use openagents_tests::server::Host;

use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Workerd] => {
        a_durable_objects_sql_passes_every_case_of_the_port,
        signatures_are_verified_in_webassembly_as_bip_340_says,
    }
}

async fn a_durable_objects_sql_passes_every_case_of_the_port(servers: &Servers) {
    let server = servers.probe();
    let (_, cases) = server.ask_object("ConformanceDurableObject", "cases", "/cases").unwrap();
    let cases: Vec<&str> = cases.lines().collect();
    assert!(cases.len() >= 10, "only {cases:?}");
    let failures: Vec<String> = cases
        .iter()
        // Every case has an object, and so a database, of its own.
        .map(|case| {
            (case, server.ask_object("ConformanceDurableObject", case, &format!("/case/{case}")).unwrap())
        })
        .filter(|(_, (status, _))| *status != 200)
        .map(|(case, (_, error))| format!("{case}: {error}"))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

async fn signatures_are_verified_in_webassembly_as_bip_340_says(servers: &Servers) {
    let answer = servers.probe().ask_object("ConformanceDurableObject", "schnorr", "/schnorr").unwrap();
    assert_eq!(answer, (200, "passed".to_owned()));
}
