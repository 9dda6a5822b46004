//! Tests a model call that streams, and a schedule.

use std::time::Duration;

use larger_agent::LargerAgent;
use openagents_sdk::testing::{Job, Page, TestAgent};

#[test]
fn streams_what_the_model_says_and_counts_the_days() {
    let mut agent = TestAgent::<LargerAgent>::start();
    agent.serve_with("https://model.example.com/v1/answers", |request| {
        assert!(String::from_utf8_lossy(&request.body).contains("a moon"));
        Page::events(["Once", " upon"]).pause(Duration::from_secs(2)).chunk("data:  a time\n\n")
    });
    agent.advance(Duration::from_secs(86_400));
    let days = agent.state().days;
    assert!(days >= 1);
    let job = agent.submit(Job::of(5050).text("a moon"));
    agent.settle();
    assert_eq!(agent.result(&job).content, format!("Once upon a time (day {days})"));
    let partial = |content: &str| agent.feedback(&job).iter().any(|event| event.content.starts_with(content));
    assert!(partial("Once"), "{:?}", agent.feedback(&job));
}
