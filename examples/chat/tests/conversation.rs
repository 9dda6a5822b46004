//! Tests the agent with a model that the test plays, in virtual time.

use std::time::Duration;

use chat::Chat;
use openagents_sdk::nip90::Status;
use openagents_sdk::serde_json::{Value, json};
use openagents_sdk::testing::{Job, Page, ReceivedRequest, TestAgent, customer};

const SECOND: Duration = Duration::from_secs(1);
const COMPLETIONS: &str = "https://llm.example.com/v1/chat/completions";

fn start() -> TestAgent<Chat> {
    TestAgent::builder()
        .variable("LLM_BASE_URL", "https://llm.example.com/v1/")
        .variable("LLM_MODEL", "small")
        .secret("LLM_API_KEY", "sk-test")
        .start()
}

/// An event of the model's stream.
fn token(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

/// A model that says these words, ten a second.
fn says(text: &str) -> Page {
    let page = Page::events([]).chunk(": hello\n\n");
    let page = text
        .split_inclusive(' ')
        .fold(page, |page, word| page.pause(Duration::from_millis(100)).chunk(token(word)));
    page.chunk("data: [DONE]\n\n")
}

fn messages(request: &ReceivedRequest) -> Value {
    request.json::<Value>()["messages"].take()
}

#[test]
fn shows_the_answer_as_it_grows_but_no_event_for_each_token() {
    let mut agent = start();
    let text = "one two three four five six seven eight nine ten ".repeat(3);
    let answer = text.clone();
    agent.serve_with(COMPLETIONS, move |_| says(&answer));
    let job = agent.submit(Job::of(5050).text("count"));
    agent.settle();
    assert_eq!(agent.result(&job).content, text);
    let partial: Vec<String> = agent
        .feedback(&job)
        .into_iter()
        .filter(|feedback| feedback.status == Status::Partial)
        .map(|feedback| feedback.content)
        .collect();
    assert!((2..=4).contains(&partial.len()), "{partial:?}");
    assert!(partial.iter().all(|shown| text.starts_with(shown)), "{partial:?}");

    let request = &agent.http_requests()[0];
    assert_eq!(request.header("authorization"), Some("Bearer sk-test"));
    let body: Value = request.json();
    assert_eq!((&body["model"], &body["stream"]), (&json!("small"), &json!(true)));
}

#[test]
fn remembers_what_was_said_to_each_customer() {
    let mut agent = start();
    agent.serve_with(COMPLETIONS, |request| match messages(request)[0]["content"].as_str() {
        Some("I am Ada") => says("Hello, Ada"),
        _ => says("Who are you?"),
    });
    for (who, text) in [(1, "I am Ada"), (2, "What is my name?"), (1, "What is my name?")] {
        agent.submit(Job::of(5050).text(text).from(&customer(who)));
        agent.settle();
    }
    let requests = agent.http_requests();
    assert_eq!(messages(&requests[1]), json!([{ "role": "user", "content": "What is my name?" }]));
    assert_eq!(
        messages(&requests[2]),
        json!([
            { "role": "user", "content": "I am Ada" },
            { "role": "assistant", "content": "Hello, Ada" },
            { "role": "user", "content": "What is my name?" },
        ])
    );
}

#[test]
fn asks_again_after_an_answer_that_was_cut_off_and_remembers_it_once() {
    let mut agent = start();
    let attempts = std::sync::atomic::AtomicU32::new(0);
    agent.serve_with(COMPLETIONS, move |_| {
        match attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Page::events([]).chunk(token("Hel")).fail("connection reset"),
            1 => Page::events([]).chunk(token("Hel")),
            _ => says("Hello"),
        }
    });
    let job = agent.submit(Job::of(5050).text("hi"));
    agent.finish(&job);
    assert_eq!(agent.result(&job).content, "Hello");
    let said: Vec<String> = agent.turns(&customer(1)).into_iter().map(|turn| turn.text).collect();
    assert_eq!(said, ["hi", "Hello"]);
}

#[test]
fn a_request_that_the_model_refuses_fails_at_once_and_tells_no_details() {
    let mut agent = start();
    agent.serve_with(COMPLETIONS, |_| Page::new("text/plain", "bad key sk-test").with_status(401));
    let job = agent.submit(Job::of(5050).text("hi"));
    agent.advance(SECOND);
    assert_eq!(agent.error(&job), "the model refused the request");
    assert_eq!(agent.job(&job).attempts, 1);
}

#[test]
fn a_model_on_the_same_machine_is_reached_only_if_the_operator_allows_it() {
    let local = || {
        TestAgent::<Chat>::builder()
            .variable("LLM_BASE_URL", "http://127.0.0.1:11434/v1")
            .secret("LLM_API_KEY", "unused")
    };
    for (mut agent, reaches) in
        [(local().start(), false), (local().allowed_origins(["http://127.0.0.1:11434"]).start(), true)]
    {
        agent.serve_with("http://127.0.0.1:11434/v1/chat/completions", |_| says("Hello"));
        let job = agent.submit(Job::of(5050).text("hi"));
        agent.finish(&job);
        assert_eq!(agent.find_result(&job).is_some(), reaches);
    }
}
