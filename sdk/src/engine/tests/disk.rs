//! A database that fails occasionally.

use super::bench::*;
use super::events::*;
use crate::engine::{Changes, Input, Output, RunId, RunOutcome};

/// Runs a job from request to result, with one failure after this many statements. Returns the number of results, and
/// whether the failure occurred.
fn live(kind: u16, failure: u32) -> (usize, bool) {
    let mut bench = Bench::with(|spec| {
        spec.hooks.on_create = Some(true);
        spec.hooks.on_wake = Some(false);
        spec.hooks.on_sleep = Some(false);
    });
    let event = request(kind, 1);
    bench.sql.fail_after(failure);
    let mut failed = false;
    for _ in 0..40 {
        let mut effects = Vec::new();
        let input = Input::Request { event: event.clone(), source: None, ticket: 0 };
        openagents_host::Engine::handle(&mut bench.engine, bench.now, &input, &mut effects);
        failed |= !bench.sql.heal();
        bench.seconds(5);
        if bench.running().iter().any(|run| matches!(run, RunId::Job(_) | RunId::Hook(_))) {
            let run = bench.runs.remove(0);
            let state = matches!(run.lease.run, RunId::Job(_)).then(|| "1".to_owned());
            let changes = Changes { state, ..Changes::default() };
            let input = Input::Finished {
                lease: run.lease,
                outcome: RunOutcome::Done(Output::new("Hello")),
                changes,
            };
            if !failed {
                bench.sql.fail_after(failure);
            }
            openagents_host::Engine::handle(&mut bench.engine, bench.now, &input, &mut effects);
            failed |= !bench.sql.heal();
        }
        bench.seconds(5);
        bench.deliver_all();
    }
    bench.seconds(200);
    assert_eq!(bench.ends().len(), 1);
    assert_eq!(bench.ends()[&event.id].len(), 1);
    assert_eq!(bench.count("outbox"), 0);
    assert!(bench.engine.running.is_empty());
    (bench.results().len(), failed)
}

#[test]
fn a_request_has_its_result_wherever_the_database_failed_once() {
    for kind in [SHARED, EXCLUSIVE] {
        for failure in 0..40 {
            let (results, _) = live(kind, failure);
            assert_eq!(results, 1, "{kind} {failure}");
        }
    }
}

#[test]
fn an_alarm_that_could_not_be_committed_rings_again() {
    let mut failures = 0;
    for failure in 0..60 {
        let mut bench = Bench::with(|spec| spec.hooks.on_wake = Some(false));
        let mut effects = Vec::new();
        let input = Input::Request { event: request(EXCLUSIVE, 1), source: None, ticket: 0 };
        openagents_host::Engine::handle(&mut bench.engine, bench.now, &input, &mut effects);
        bench.sql.fail_after(failure);
        openagents_host::Engine::alarm(&mut bench.engine, bench.now, &mut effects);
        let runs =
            effects.iter().filter(|effect| matches!(effect, crate::engine::Effect::Run { .. })).count();
        if !bench.sql.heal() {
            failures += 1;
            assert!(runs <= 1);
            assert_eq!(runs, bench.engine.running.len(), "what did not begin does not run");
        }
        if runs == 0 {
            bench.seconds(5);
            assert_eq!(bench.running(), [RunId::Hook(crate::engine::Hook::Wake)]);
        }
    }
    assert!(failures > 4, "only {failures}");
}
