//! Tests the agent in virtual time, without a network.

use {{crate_name}}::MyAgent;
use openagents_sdk::testing::{Job, TestAgent};

#[test]
fn greets_by_name_and_goes_on_counting_after_a_crash() {
    let mut agent = TestAgent::<MyAgent>::start();
    let ada = agent.submit(Job::of(5050).text("Ada"));
    assert_eq!(agent.result(&ada).content, "Hello, Ada! You are number 1.");

    agent.evict(); // the process is lost; the database is not

    let alan = agent.submit(Job::of(5050).text("Alan"));
    assert_eq!(agent.result(&alan).content, "Hello, Alan! You are number 2.");
}
