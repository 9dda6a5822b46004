//! Tests the agent in virtual time, without a network.

use std::time::Duration;

use hello_world::HelloWorld;
use openagents_sdk::testing::{Job, TestAgent};

#[test]
fn greets_everybody_by_name_and_counts_them() {
    let mut agent = TestAgent::<HelloWorld>::start();
    let ada = agent.submit(Job::of(5050).text("Ada"));
    assert_eq!(agent.result(&ada).content, "Hello, Ada! You are number 1.");

    agent.evict(); // the process is lost; the database is not

    let alan = agent.submit(Job::of(5050).text("Alan"));
    assert_eq!(agent.result(&alan).content, "Hello, Alan! You are number 2.");
    assert_eq!(agent.result(&ada).content, "Hello, Ada! You are number 1.", "nothing is answered twice");
}

#[test]
fn says_what_is_missing_when_there_is_no_name() {
    let mut agent = TestAgent::<HelloWorld>::start();
    let job = agent.submit(Job::of(5050));
    agent.settle();
    assert!(agent.find_result(&job).is_none());
    assert!(agent.error(&job).contains("input"), "{}", agent.error(&job));
}

#[test]
fn a_job_that_a_crash_interrupted_is_done_once() {
    let mut agent = TestAgent::<HelloWorld>::start();
    let ada = agent.submit(Job::of(5051).text("Ada"));
    agent.advance(Duration::from_secs(5));
    agent.evict();
    agent.finish(&ada);
    assert_eq!(agent.result(&ada).content, "Hello, Ada! You are number 1.");
}
