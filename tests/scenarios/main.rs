//! Tests of an agent and its relay from outside, on every host.
//!
//! `cargo test -p openagents-tests --test scenarios -- native::relay::publish` runs some of them;
//! `OPENAGENTS_TEST_HOSTS=native,workerd` selects the hosts.

mod servers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use openagents_tests::server::Host;

use servers::{Scenario, SharedServers};

/// Declares the modules of each folder and builds `scenarios()` from their lists. `cargo fmt` cannot see these files;
/// `tests/run format` formats them by name.
macro_rules! scenarios_in {
    ($($folder:ident { $($module:ident),* $(,)? })*) => {
        $(mod $folder {
            $(pub(crate) mod $module;)*
        })*

        fn scenarios() -> Vec<Scenario> {
            [$($($folder::$module::list()),*),*].concat()
        }
    };
}

// Slow ones first, so that the end of the run is not one slow scenario alone.
scenarios_in! {
    agent {
        crash,
        restart,
        handlers,
        jobs,
        job_crowds,
        job_features,
        forgotten_customers,
        nip90_rules,
        schedules_and_prices,
        mentions,
        direct_messages,
        external_relays,
        guarded_relays,
        silent_relays,
        variables,
        state,
        logs,
        chat,
        http_requests,
        examples,
    }
    relay {
        durability,
        fanout,
        worker_batching,
        slow_readers,
        fairness,
        publish,
        forgery,
        query,
        completeness,
        counts,
        search,
        reconciliation,
        subscribe,
        replaceable,
        deletion,
        expiry,
        retention,
        vanish,
        malformed_messages,
        malformed_events,
        malformed_filters,
        websocket_frames,
        limits,
        authentication,
        admission,
    }
    http {
        connections,
        health,
        nip11,
        agent_pages,
        agent_routes,
        page,
        operator_records,
        jobs_over_http,
        nip86_management,
        gateway_audit,
        gateway,
    }
    blossom {
        blobs,
        blob_rules,
        blob_faults,
        blob_clients,
        blob_tools,
        job_files,
    }
    payment {
        lnbits,
        lnurl,
        nwc,
    }
    clients {
        foreign_clients,
        nip90_interop,
        job_feedback,
        ask,
        hiring,
    }
    operations {
        missing_bindings,
        doctor,
        old_data,
        newer_data,
        file_permissions,
        relay_tools,
        billed_rows,
        port_conformance,
    }
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
    // Scenarios mostly wait.
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
        && let Err(error) = servers::build_what_is_missing(&hosts)
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    servers::report_panics_to_their_scenario();
    let shared_servers = SharedServers::new();
    // `tests/bin/setup` says so, too.
    let has_wallets = openagents_tests::lnbits::installation().is_some();
    if !has_wallets {
        eprintln!("LNbits is not installed: the scenarios that need it are ignored");
    }
    let trials = hosts
        .iter()
        .flat_map(|host| scenarios().into_iter().map(move |scenario| (*host, scenario)))
        .filter(|(host, scenario)| scenario.hosts.contains(host))
        .map(|(host, scenario)| {
            let shared_servers = shared_servers.clone();
            let is_ignored = !has_wallets && scenario.name().starts_with("payment::ln");
            Trial::test(format!("{}::{}", host.name(), scenario.name()), move || {
                shared_servers.run(host, &scenario).map_err(Into::into)
            })
            .with_ignored_flag(is_ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared_servers.end();
    agent::crash::report();
    let counts: Vec<String> =
        hosts.iter().map(|host| format!("{} on {}", shared_servers.count(*host), host.name())).collect();
    if !counts.is_empty() {
        println!("scenarios: {}", counts.join(", "));
    }
    conclusion.exit_code()
}
