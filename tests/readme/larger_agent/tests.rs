//! Tests a secret, a model call that streams, a schedule, and hiring.

use std::time::Duration;

use larger_agent::LargerAgent;
use openagents_sdk::testing::{Job, Page, Reply, TestAgent, TestProvider};

const MODEL: &str = "https://model.example.com/v1/answers";

#[test]
fn has_what_the_model_streams_translated_and_counts_the_days() {
    let translator = TestProvider::new(5002, |request| {
        assert_eq!(request.text(), Some("Once upon a time"));
        Reply::new().result("Il était une fois")
    });
    let mut agent =
        TestAgent::<LargerAgent>::builder().secret("LLM_API_KEY", "key").hires(translator).start();
    agent.serve_with(MODEL, |request| {
        assert_eq!(request.header("authorization"), Some("Bearer key"));
        assert!(String::from_utf8_lossy(&request.body).contains("a moon"));
        Page::events(["Once", " upon"]).pause(Duration::from_secs(2)).chunk("data:  a time\n\n")
    });
    agent.advance(Duration::from_secs(86_400));
    let days = agent.state().days;
    assert!(days >= 1);
    let job = agent.submit(Job::of(5050).text("a moon"));
    agent.finish(&job);
    assert_eq!(agent.result(&job).content, format!("Il était une fois (day {days})"));
    let partial = |content: &str| agent.feedback(&job).iter().any(|event| event.content.starts_with(content));
    assert!(partial("Once"), "{:?}", agent.feedback(&job));
}
