//! What an agent and its relay have to do, checked from outside on every host.
//!
//! `cargo test -p openagents-tests --test scenarios -- native::publish` runs a part;
//! `OPENAGENTS_TEST_HOSTS=native,workerd` chooses the hosts.

mod acknowledged;
mod admission;
mod authentication;
mod billing;
mod clients;
mod completeness;
mod conformance;
mod counts;
mod crash;
mod crowd;
mod customers;
mod deletion;
mod doors;
mod engine;
mod examples;
mod expiry;
mod feedback;
mod forgery;
mod frames;
mod gathered;
mod handlers;
mod hiring;
mod information;
mod inspection;
mod jobs;
mod lifecycle;
mod limits;
mod malformed;
mod malformed_events;
mod malformed_filters;
mod management;
mod nip90;
mod outside;
mod publish;
mod query;
mod reconciliation;
mod relay_tools;
mod replaceable;
mod restart;
mod retention;
mod search;
mod slow_readers;
mod stage;
mod subscribe;
mod vanish;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use openagents_tests::server::Host;

use stage::{Scenario, Stages};

fn scenarios() -> Vec<Scenario> {
    [
        publish::list(),
        forgery::list(),
        query::list(),
        completeness::list(),
        counts::list(),
        search::list(),
        reconciliation::list(),
        subscribe::list(),
        replaceable::list(),
        deletion::list(),
        expiry::list(),
        retention::list(),
        vanish::list(),
        relay_tools::list(),
        malformed::list(),
        malformed_events::list(),
        malformed_filters::list(),
        frames::list(),
        billing::list(),
        information::list(),
        doors::list(),
        inspection::list(),
        limits::list(),
        authentication::list(),
        admission::list(),
        management::list(),
        jobs::list(),
        handlers::list(),
        hiring::list(),
        lifecycle::list(),
        restart::list(),
        acknowledged::list(),
        crowd::list(),
        gathered::list(),
        slow_readers::list(),
        outside::list(),
        engine::list(),
        nip90::list(),
        feedback::list(),
        crash::list(),
        clients::list(),
        customers::list(),
        examples::list(),
        conformance::list(),
    ]
    .concat()
}

fn chosen_hosts() -> Result<Vec<Host>, String> {
    let Ok(names) = std::env::var("OPENAGENTS_TEST_HOSTS") else { return Ok(Host::ALL.to_vec()) };
    let host = |name: &str| {
        Host::ALL
            .into_iter()
            .find(|host| host.name() == name)
            .ok_or_else(|| format!("OPENAGENTS_TEST_HOSTS: no host is named {name:?}"))
    };
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(host).collect()
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Scenarios wait far more than they compute.
    arguments.test_threads.get_or_insert(4);
    let hosts = match chosen_hosts() {
        Ok(hosts) => hosts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if !arguments.list
        && !hosts.is_empty()
        && let Err(error) = stage::build_what_is_missing(&hosts)
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    stage::report_panics_to_their_scenario();
    let stages = Stages::new();
    let trials = hosts
        .iter()
        .flat_map(|host| scenarios().into_iter().map(move |scenario| (*host, scenario)))
        .filter(|(host, scenario)| scenario.hosts.contains(host))
        .map(|(host, scenario)| {
            let stages = stages.clone();
            Trial::test(format!("{}::{}", host.name(), scenario.name()), move || {
                stages.run(host, &scenario).map_err(Into::into)
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    stages.end();
    crash::report();
    let counts: Vec<String> =
        hosts.iter().map(|host| format!("{} on {}", stages.count(*host), host.name())).collect();
    if !counts.is_empty() {
        println!("scenarios: {}", counts.join(", "));
    }
    conclusion.exit_code()
}
