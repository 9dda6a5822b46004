//! HTTP requests to servers that the test plays.

use super::*;

#[test]
fn serves_the_web_that_the_test_makes() {
    let mut agent = start();
    agent.serve("https://example.com/a.txt", "text/plain", "a moon");
    agent.serve_with("https://example.com/gone", |_| Page::status(404));
    for (url, answer) in [("https://example.com/a.txt#b", "200 a moon"), ("https://EXAMPLE.com/gone", "404 ")]
    {
        let job = agent.submit(Job::of(FETCH).text(url));
        assert_eq!(agent.result(&job).content, answer);
    }
    for url in ["https://example.com/other", "https://127.0.0.1/a.txt", "no address"] {
        let job = agent.submit(Job::of(FETCH).text(url));
        assert_eq!(agent.job(&job).state, JobState::Failed, "{url}");
    }
    let requests = agent.http_requests();
    assert_eq!(requests.len(), 5);
    assert_eq!((&*requests[0].method, requests[0].header("Authorization")), ("GET", Some("Bearer key")));
}

#[test]
fn serves_redirects_queries_and_headers_as_the_network_does() {
    let mut agent = start();
    agent.serve_with("https://example.com/old", |_| Page::status(302).header("location", "/new?page=2"));
    agent.serve_with("https://example.com/new", |request| {
        Page::new("text/plain", request.url.clone()).with_status(203)
    });
    agent.serve_with("https://example.com/in", |_| Page::status(307).header("location", "https://10.0.0.1/"));
    let job = agent.submit(Job::of(FETCH).text("https://example.com/old"));
    assert_eq!(agent.result(&job).content, "203 https://example.com/new?page=2");
    let job = agent.submit(Job::of(FETCH).text("https://example.com/in"));
    assert_eq!(agent.error(&job), "`10.0.0.1` is not a public host");
}

#[test]
fn serves_a_stream_with_pauses_which_may_fail() {
    let mut agent = start();
    let page = Page::new("text/plain", "good").delay(SECOND * 2).pause(SECOND * 3).chunk(" day");
    let broken = page.clone().fail("connection reset");
    agent.serve_with("https://example.com/slow", move |_| page.clone());
    agent.serve_with("https://example.com/broken", move |_| broken.clone());
    let job = agent.submit(Job::of(FETCH).text("https://example.com/slow"));
    agent.advance(SECOND);
    assert!(!agent.feedback(&job).iter().any(|feedback| feedback.status == Status::Partial));
    agent.advance(SECOND * 2);
    assert_eq!(agent.feedback(&job).last().unwrap().content, "good");
    agent.settle();
    assert_eq!(agent.result(&job).content, "200 good day");
    let job = agent.submit(Job::of(FETCH).text("https://example.com/broken"));
    agent.settle();
    assert!(agent.error(&job).ends_with("connection reset"), "{}", agent.error(&job));
}

#[test]
fn a_page_that_takes_too_long_is_given_up() {
    let mut agent = start();
    let slow = Page::new("text/plain", "begun").pause(MINUTE).chunk("too late");
    agent.serve_with("https://example.com/slow", move |_| slow.clone());
    agent.serve_with("https://example.com/silent", |_| Page::status(200).delay(MINUTE));
    for url in ["https://example.com/slow", "https://example.com/silent"] {
        let job = agent.submit(Job::of(FETCH).text(url));
        agent.advance(SECOND * 19);
        assert_eq!(agent.job(&job).state, JobState::Running);
        agent.settle();
        assert_eq!(agent.error(&job), "no complete response within 20s");
    }
}

#[test]
fn reaches_a_private_server_only_if_the_operator_allows_it() {
    let model = "http://127.0.0.1:11434/v1";
    let mut agent = start();
    agent.serve(model, "text/plain", "a model");
    let job = agent.submit(Job::of(FETCH).text(model));
    assert_eq!(agent.job(&job).state, JobState::Failed);
    let mut agent = TestAgent::<Probe>::builder().allowed_origins(["http://127.0.0.1:11434"]).start();
    agent.serve(model, "text/plain", "a model");
    let job = agent.submit(Job::of(FETCH).text(model));
    assert_eq!(agent.result(&job).content, "200 a model");
}
