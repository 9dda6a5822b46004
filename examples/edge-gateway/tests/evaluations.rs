//! Tests the agent beside the gateway.

use edge_gateway::Evaluator;
use openagents_sdk::testing::{Job, TestAgent};

#[test]
fn counts_words_and_characters() {
    let mut agent = TestAgent::<Evaluator>::start();
    let job = agent.submit(Job::of(5050).text("hello, wörld"));
    assert_eq!(agent.result(&job).content, r#"{"words":2,"characters":12}"#);
}
