//! Query plans: how SQLite executes the engine's frequent statements.

use openagents_host::{Engine, Kind, Sql, UnsignedEvent};

use super::bench::*;
use super::events::*;
use super::probe::Probe;
use crate::engine::{Input, Report};

/// Tables that grow with the number of jobs. They are searched by index, never scanned.
const GROWING: [&str; 9] =
    ["job", "job_input", "invoice", "outbox", "cancellation", "memory", "turn", "conversation", "vanished"];

/// What happens in every agent's life: runs, failures, retries, schedules.
fn live() -> Probe {
    let mut bench = Bench::with(|spec| spec.hooks.on_error = Some(false));
    for (number, kind) in (1..).zip([SHARED, EXCLUSIVE, PAID, QUOTED]) {
        bench.ask_from(&request(kind, number), Some(EXTERNAL));
    }
    bench.ask(&chained(SHARED, 9, &[stranger_request().id, request(SHARED, 1).id]));
    let lease = bench.next_run();
    bench.give(&Input::Reported { lease, report: Report::Progress("half".into()) });
    bench.done(lease, "1");
    bench.ask_from(&request(SHARED, 1), Some(EXTERNAL));
    let (job, ..) = bench.resolves.remove(0);
    bench.give(&Input::Resolved { job, events: vec![], blobs: vec![] });
    let (job, _) = bench.invoices.remove(0);
    let invoice = crate::payment::wallet::Invoice {
        bolt11: "ln".into(),
        payment_hash: job.to_hex(),
        verify_url: None,
        expires_at: START,
    };
    bench.give(&Input::Invoiced { job, invoice: Ok(invoice) });
    bench.give(&Input::Settled { job, settlement: Ok(crate::payment::wallet::Settlement::Paid) });
    let lease = bench.next_run();
    let turn = crate::engine::Turn { role: "user".into(), text: "hi".into() };
    let changes = crate::engine::Changes {
        state: Some("1".into()),
        memory: [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)].into(),
        turns: vec![crate::engine::NewTurn { customer: customer().public_key(), turn }],
        events: vec![],
        schedules: vec![],
        reply: None,
        response: None,
    };
    bench.finish(lease, crate::engine::RunOutcome::Done(crate::engine::Output::new("2")), changes);
    bench.cancel(&request(QUOTED, 4), &customer());
    bench.cancel(&request(SHARED, 50), &customer());
    bench.ask(&UnsignedEvent::new(Kind::VANISH, "").sign(&stranger(), START));
    bench.ask(&UnsignedEvent::new(Kind(PAID), "").tag(["bid", "1"]).sign(&stranger(), START));
    bench.ask(&UnsignedEvent::new(Kind::VANISH, "").sign(&stranger(), START));
    let entry = bench.delivering.remove(0);
    bench.give(&Input::Delivered { entry, delivery: crate::engine::Delivery::Unreachable("away".into()) });
    let entry = bench.delivering.remove(0);
    bench.give(&Input::Delivered { entry, delivery: crate::engine::Delivery::Refused("no".into()) });
    bench.deliver_all();
    // Its lease expires.
    bench.ask(&request(SHARED, 70));
    bench.seconds(100);
    bench.engine.rolled_back();
    bench.sql
}

#[test]
fn no_table_that_grows_is_read_from_end_to_end() {
    let probe = live();
    let statements: Vec<String> = probe
        .statements()
        .into_iter()
        .filter(|statement| {
            ["SELECT", "UPDATE", "DELETE", "INSERT"].iter().any(|verb| statement.starts_with(verb))
        })
        // Events that wait to be sent are few, and are searched only for a customer who vanishes.
        .filter(|statement| !statement.contains("instr(event"))
        // Statements of the test itself.
        .filter(|statement| !statement.ends_with("FROM job") && !statement.contains("max(entry)"))
        .collect();
    assert!(statements.len() > 45, "only {} statements were seen", statements.len());
    for statement in statements {
        let plan = probe
            .rows::<(i64, i64, i64, String)>(&format!("EXPLAIN QUERY PLAN {statement}"), &[])
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        for (_, _, _, step) in plan {
            let scans = GROWING.iter().any(|table| step == format!("SCAN {table}"));
            assert!(!scans, "{statement}\n{step}");
            // Results are read in index order, never sorted.
            assert!(!step.contains("USE TEMP B-TREE"), "{statement}\n{step}");
        }
    }
}

#[test]
fn finds_what_is_due_by_an_index() {
    let probe = live();
    let statements = probe.statements();
    for (part, index) in [
        ("SELECT min(due) FROM job WHERE state = 'running'", "job_running_due"),
        ("SELECT min(due) FROM job WHERE state = 'queued' AND attempt > 0 AND due > ?", "job_queued_again"),
        ("SELECT min(due) FROM job WHERE state IN", "job_waiting_due"),
        ("SELECT id, attempt FROM job WHERE state = 'running' AND due <= ?", "job_running_due"),
        ("FROM job INDEXED BY job_kept", "job_kept"),
        ("FROM job INDEXED BY job_stripped", "job_stripped"),
        ("SELECT id, finished_at IS NULL FROM job WHERE customer", "job_customer"),
        ("relay IS NULL AND attempt > 0 AND due <= ?", "outbox_postponed"),
        ("relay IS NULL AND attempt = 0 ORDER BY entry", "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("WHERE relay IS NOT NULL AND due <= ?", "outbox_outside"),
        ("DELETE FROM cancellation WHERE noted_at < ?", "cancellation_noted"),
        ("WHERE event = ? AND result IS NULL", "job_input_missing"),
    ] {
        let statement = statements.iter().find(|statement| statement.contains(part)).expect(part);
        let plan =
            probe.rows::<(i64, i64, i64, String)>(&format!("EXPLAIN QUERY PLAN {statement}"), &[]).unwrap();
        assert!(plan.iter().any(|(_, _, _, step)| step.contains(index)), "{statement}\n{plan:?}");
    }
}
