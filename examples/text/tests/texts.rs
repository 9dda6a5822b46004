//! Tests the agent's summaries and transliterations.

use openagents_sdk::testing::{Job, TestAgent};
use text::TextAgent;

const STORY: &str = "The lighthouse stood on the rock. It was a windy day. The keeper of the lighthouse lit the lamp. \
                     Ships saw the lamp of the lighthouse! Nobody was cold.";

fn summary(job: Job) -> String {
    let mut agent = TestAgent::<TextAgent>::start();
    let job = agent.submit(job);
    agent.result(&job).content
}

#[test]
fn keeps_the_sentences_that_say_most_in_their_order() {
    let two = summary(Job::of(5001).text(STORY).param("length", "2"));
    assert_eq!(two, "The lighthouse stood on the rock. Ships saw the lamp of the lighthouse!");
    assert_eq!(summary(Job::of(5001).text(STORY).param("length", "100")), STORY);
    assert_eq!(summary(Job::of(5001).text("no end")), "no end");
    assert_eq!(summary(Job::of(5001).text(" ")), "");
}

#[test]
fn summarises_the_output_of_another_job() {
    let mut agent = TestAgent::<TextAgent>::start();
    let latin = agent.submit(Job::of(5002).text("Да. Нет.").param("language", "ru-Latn"));
    let job = agent.submit(Job::of(5001).output_of(&latin).param("length", "1"));
    assert_eq!(agent.result(&job).content, "da.");
}

#[test]
fn refuses_parameters_that_it_does_not_know() {
    let mut agent = TestAgent::<TextAgent>::start();
    let english = agent.submit(Job::of(5002).text("да").param("language", "en"));
    assert!(agent.error(&english).contains("el-Latn"), "{}", agent.error(&english));
    let none = agent.submit(Job::of(5001).text(STORY).param("length", "0"));
    assert!(agent.error(&none).contains("length"), "{}", agent.error(&none));
}
