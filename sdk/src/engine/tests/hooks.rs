//! Lifecycle hooks.

use openagents_host::Engine;

use super::bench::*;
use super::events::*;
use crate::engine::{AgentSpec, Hook, JobFailure, Lease, RunId, Task};

const CREATE: RunId = RunId::Hook(Hook::Create);
const WAKE: RunId = RunId::Hook(Hook::Wake);
const SLEEP: RunId = RunId::Hook(Hook::Sleep);
const ERROR: RunId = RunId::Hook(Hook::Error);

fn all(spec: &mut AgentSpec) {
    spec.hooks.on_create = Some(true);
    spec.hooks.on_wake = Some(false);
    spec.hooks.on_sleep = Some(false);
    spec.hooks.on_error = Some(false);
}

/// The only run in progress.
fn only(bench: &mut Bench, run: RunId) -> Lease {
    assert_eq!(bench.running(), [run]);
    bench.next_run()
}

fn turn(bench: &mut Bench, run: RunId) {
    let lease = only(bench, run);
    bench.done(lease, "");
}

fn job(number: u64) -> RunId {
    RunId::Job(request(SHARED, number).id)
}

fn told(bench: &Bench) -> JobFailure {
    let Task::Hook(Hook::Error, Some(failure)) = &bench.runs[0].task else { panic!("{:?}", bench.runs) };
    failure.clone()
}

#[test]
fn is_created_and_woken_before_its_first_job_and_sleeps_after_the_last() {
    let mut bench = Bench::with(all);
    bench.seconds(100);
    assert!(bench.runs.is_empty(), "nothing happens before there is work");
    bench.ask(&request(SHARED, 1));
    bench.ask(&request(SHARED, 2));
    turn(&mut bench, CREATE);
    turn(&mut bench, WAKE);
    assert_eq!(bench.running(), [job(1), job(2)]);
    let (first, second) = (bench.next_run(), bench.next_run());
    bench.done(first, "");
    bench.seconds(60);
    assert!(bench.runs.is_empty(), "it does not sleep while it works");
    bench.done(second, "");
    bench.seconds(4);
    assert!(bench.runs.is_empty());
    bench.seconds(1);
    turn(&mut bench, SLEEP);
    bench.seconds(3_600);
    assert!(bench.runs.is_empty(), "it sleeps once");
    bench.ask(&request(SHARED, 3));
    turn(&mut bench, WAKE);
    turn(&mut bench, job(3));
    bench.deliver_all();
    bench.seconds(5);
    turn(&mut bench, SLEEP);
    assert_eq!(bench.engine.next_alarm(), None);
}

#[test]
fn is_created_once_whatever_happens_to_its_process() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    only(&mut bench, CREATE);
    bench.crash();
    turn(&mut bench, CREATE);
    only(&mut bench, WAKE);
    bench.crash();
    turn(&mut bench, WAKE);
    turn(&mut bench, job(1));
}

#[test]
fn tries_to_be_created_again_after_growing_pauses_while_jobs_wait() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    for pause in [1, 2, 4] {
        let lease = only(&mut bench, CREATE);
        bench.fail(lease, "no network", false);
        bench.engine.forget(bench.now);
        bench.seconds(pause - 1);
        assert!(bench.runs.is_empty(), "after {pause} s");
        bench.seconds(1);
    }
    assert!(bench.warnings.iter().all(|warning| warning == "on_create failed: no network"));
    turn(&mut bench, CREATE);
    turn(&mut bench, WAKE);
    turn(&mut bench, job(1));
}

#[test]
fn a_created_agent_keeps_what_its_hook_changed() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    let lease = only(&mut bench, CREATE);
    bench.done_with_state(lease, "", "{\"born\":1}");
    assert_eq!(bench.runs[0].state.as_deref(), Some("{\"born\":1}"));
}

#[test]
fn works_although_it_could_not_be_woken() {
    let mut bench = Bench::with(|spec| spec.hooks.on_wake = Some(false));
    bench.ask(&request(SHARED, 1));
    let lease = only(&mut bench, WAKE);
    bench.fail(lease, "no network", false);
    turn(&mut bench, job(1));
}

#[test]
fn sleeps_after_work_without_a_hook_that_wakes_it() {
    let mut bench = Bench::with(|spec| spec.hooks.on_sleep = Some(false));
    bench.seconds(60);
    assert!(bench.runs.is_empty(), "it was not awake");
    bench.ask(&request(SHARED, 1));
    turn(&mut bench, job(1));
    bench.seconds(5);
    turn(&mut bench, SLEEP);
    bench.ask(&request(SHARED, 2));
    turn(&mut bench, job(2));
    bench.seconds(5);
    turn(&mut bench, SLEEP);
}

#[test]
fn is_not_woken_before_it_has_gone_to_sleep() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    turn(&mut bench, CREATE);
    turn(&mut bench, WAKE);
    turn(&mut bench, job(1));
    bench.seconds(5);
    bench.ask(&request(SHARED, 2));
    turn(&mut bench, SLEEP);
    turn(&mut bench, WAKE);
    turn(&mut bench, job(2));
}

#[test]
fn a_hook_that_hangs_is_given_up() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    let hung = only(&mut bench, CREATE);
    bench.seconds(70);
    let again = only(&mut bench, CREATE);
    bench.done(hung, "");
    assert_eq!(bench.count("life"), 0, "its outcome comes too late");
    bench.done(again, "");
    turn(&mut bench, WAKE);
    turn(&mut bench, job(1));
}

#[test]
fn is_told_of_each_failed_job_once() {
    let mut bench = Bench::with(|spec| spec.hooks.on_error = Some(false));
    for number in [1, 2] {
        bench.ask(&request(SHARED, number));
        let lease = bench.next_run();
        bench.fail(lease, "later", true);
        assert!(bench.runs.is_empty(), "it has not failed yet");
        bench.seconds(1);
        let lease = bench.next_run();
        bench.fail(lease, "no", false);
        let failure = told(&bench);
        assert_eq!(
            (failure.request, failure.kind.0, failure.message.as_str()),
            (request(SHARED, number).id, SHARED, "no")
        );
        assert_eq!(failure.customer, customer().public_key());
        if number == 1 {
            turn(&mut bench, ERROR);
        } else {
            let lease = only(&mut bench, ERROR);
            bench.fail(lease, "no either", true);
        }
        bench.seconds(3_600);
        assert!(bench.runs.is_empty());
    }
}

#[test]
fn is_told_of_failures_one_after_another_and_of_a_hundred_at_most() {
    let mut bench = Bench::with(|spec| {
        spec.hooks.on_error = Some(false);
        spec.declaration.concurrency = 200;
    });
    for number in 0..150 {
        bench.ask(&request(SHARED, number));
    }
    for run in std::mem::take(&mut bench.runs) {
        bench.fail(run.lease, "no", false);
    }
    let mut told = 0;
    while !bench.runs.is_empty() {
        turn(&mut bench, ERROR);
        told += 1;
    }
    assert_eq!(told, 101, "the first, and the last hundred of the others");
}

#[test]
fn is_not_told_of_a_cancelled_or_refused_job() {
    let mut bench = Bench::with(|spec| spec.hooks.on_error = Some(false));
    let event = request(SHARED, 1);
    bench.ask(&event);
    bench.cancel(&event, &customer());
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"]]));
    assert!(bench.runs.is_empty());
}

#[test]
fn takes_its_turn_again_when_its_start_was_undone() {
    let mut bench = Bench::with(all);
    bench.ask(&request(SHARED, 1));
    turn(&mut bench, CREATE);
    turn(&mut bench, WAKE);
    let lease = only(&mut bench, job(1));
    let failed = crate::engine::Input::Finished {
        lease,
        outcome: failed("no", false),
        changes: crate::engine::Changes::default(),
    };
    // The failure is committed, the start of `on_error` is not.
    let mut effects = Vec::new();
    bench.engine.handle(bench.now, &failed, &mut effects);
    bench.give_and_undo(&[]);
    bench.seconds(0);
    assert_eq!(told(&bench).message, "no");
    turn(&mut bench, ERROR);
    // The same with `on_sleep`.
    bench.now = bench.now + std::time::Duration::from_secs(5);
    bench.give_and_undo(&[]);
    bench.seconds(0);
    turn(&mut bench, SLEEP);
}
