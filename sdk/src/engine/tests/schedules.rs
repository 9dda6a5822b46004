//! Schedules.

use std::time::Duration;

use openagents_host::{Engine, Timestamp};

use super::bench::*;
use super::events::*;
use crate::declaration::{ScheduleDeclaration, ScheduleRule};
use crate::engine::{AgentSpec, RunId, ScheduleSpec};

const MINUTE: Duration = Duration::from_secs(60);
const TICK: RunId = RunId::Schedule(0);

fn schedule(name: &'static str, rule: ScheduleRule, exclusive: bool) -> ScheduleSpec {
    ScheduleSpec { declaration: ScheduleDeclaration { name, about: "", rule, timeout: MINUTE }, exclusive }
}

fn every_minute(spec: &mut AgentSpec) {
    spec.schedules = vec![schedule("tick", ScheduleRule::Every(MINUTE), true)];
}

fn tick(bench: &mut Bench) {
    assert_eq!(bench.running(), [TICK]);
    let lease = bench.next_run();
    bench.done(lease, "");
}

fn due(bench: &Bench) -> Timestamp {
    bench.engine.next_alarm().unwrap()
}

#[test]
fn runs_again_and_again_without_drifting() {
    let mut bench = Bench::with(every_minute);
    for round in 1..=3 {
        bench.pass(MINUTE - Duration::from_secs(1));
        assert!(bench.runs.is_empty(), "round {round}");
        bench.seconds(1);
        let lease = bench.next_run();
        bench.seconds(1);
        bench.done(lease, "");
        bench.now = bench.now - Duration::from_secs(1);
    }
    assert_eq!(due(&bench), START + MINUTE * 4);
}

#[test]
fn has_one_row_for_each_schedule_and_goes_on_after_a_redeploy() {
    let mut bench = Bench::with(every_minute);
    bench.seconds(50);
    for _ in 0..3 {
        bench.crash();
    }
    assert_eq!(bench.count("schedule"), 1);
    assert_eq!(due(&bench), START + MINUTE, "it does not start anew");
}

#[test]
fn starts_anew_with_another_rule_and_drops_what_is_gone() {
    let mut bench = Bench::with(|spec| {
        spec.schedules = vec![
            schedule("tick", ScheduleRule::Every(MINUTE), true),
            schedule("old", ScheduleRule::Every(MINUTE), true),
        ];
    });
    bench.seconds(50);
    bench.spec.schedules = vec![schedule("tick", ScheduleRule::Every(MINUTE * 2), true)];
    bench.crash();
    assert_eq!(due(&bench), START + Duration::from_secs(50) + MINUTE * 2);
    assert_eq!(bench.count("schedule"), 1);
    bench.spec.schedules = vec![schedule("tick", ScheduleRule::Cron("0 3 * * *"), true)];
    bench.crash();
    assert_eq!(due(&bench), Timestamp::from_seconds(1_700_017_200));
}

#[test]
fn catches_up_once_however_long_the_agent_was_away() {
    for rule in [ScheduleRule::Every(MINUTE), ScheduleRule::Cron("* * * * *")] {
        let mut bench = Bench::with(|spec| spec.schedules = vec![schedule("tick", rule, false)]);
        bench.now = bench.now + MINUTE * 90;
        bench.crash();
        tick(&mut bench);
        assert!(bench.runs.is_empty());
        assert!(due(&bench) > bench.now && due(&bench) <= bench.now + MINUTE);
    }
}

#[test]
fn does_not_overlap_with_itself() {
    let mut bench = Bench::with(|spec| {
        spec.schedules = vec![schedule("tick", ScheduleRule::Every(Duration::from_secs(5)), false)];
    });
    bench.seconds(5);
    bench.seconds(30);
    assert_eq!(bench.runs.len(), 1);
    tick(&mut bench);
    assert!(bench.runs.is_empty(), "what it missed is gone");
    bench.seconds(5);
    tick(&mut bench);
}

#[test]
fn runs_again_when_its_run_was_lost_with_the_process() {
    let mut bench = Bench::with(every_minute);
    bench.pass(MINUTE);
    let lost = bench.next_run();
    bench.crash();
    tick(&mut bench);
    let next = due(&bench);
    bench.done_with_state(lost, "", "{}");
    assert_eq!((due(&bench), bench.engine.state().json), (next, None), "the lost run is over");
}

#[test]
fn takes_back_the_lease_of_a_run_that_hangs() {
    let mut bench = Bench::with(every_minute);
    bench.pass(MINUTE);
    let hung = bench.next_run();
    bench.ask(&request(SHARED, 1));
    bench.seconds(69);
    assert!(bench.runs.is_empty());
    bench.seconds(1);
    tick(&mut bench);
    assert_eq!(bench.runs.len(), 1, "and the job comes to its turn");
    bench.done_with_state(hung, "", "{}");
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn a_failed_run_is_told_to_the_operator_and_comes_again_in_its_time() {
    let mut bench = Bench::with(every_minute);
    bench.pass(MINUTE);
    let lease = bench.next_run();
    bench.fail(lease, "no network", true);
    assert_eq!(bench.warnings, ["schedule failed: no network"]);
    assert_eq!(due(&bench), START + MINUTE * 2);
}

#[test]
fn runs_alone_if_it_is_exclusive_and_lets_jobs_run_between() {
    let mut bench = Bench::with(|spec| {
        spec.schedules = vec![schedule("tick", ScheduleRule::Every(Duration::from_secs(1)), true)];
    });
    bench.ask(&request(SHARED, 1));
    let job = bench.next_run();
    bench.seconds(1);
    bench.ask(&request(SHARED, 2));
    assert!(bench.runs.is_empty(), "the schedule waits, and nothing overtakes it");
    bench.done(job, "");
    let tick = bench.next_run();
    assert_eq!((tick.run, bench.runs.len()), (TICK, 0));
    bench.seconds(3);
    bench.done(tick, "");
    assert_eq!(
        bench.running(),
        [RunId::Job(request(SHARED, 2).id)],
        "a schedule that is always late is not always first"
    );
}

#[test]
fn is_due_again_when_its_start_was_undone() {
    let mut bench = Bench::with(every_minute);
    bench.now = bench.now + MINUTE;
    bench.give_and_undo(&[]);
    bench.seconds(0);
    tick(&mut bench);
}

#[test]
fn ran_although_the_first_report_of_it_was_undone() {
    let mut bench = Bench::with(every_minute);
    bench.pass(MINUTE);
    let lease = bench.next_run();
    let outcome = crate::engine::RunOutcome::Done(crate::engine::Output::default());
    let input = crate::engine::Input::Finished { lease, outcome, changes: crate::engine::Changes::default() };
    bench.give_and_undo(std::slice::from_ref(&input));
    bench.give(&input);
    assert_eq!(due(&bench), START + MINUTE * 2);
    assert!(bench.runs.is_empty() && bench.engine.running.is_empty());
}
