//! The blobs that an agent under test stores, and the files that it is given.

use serde::{Deserialize, Serialize};

use super::{ECHO, Job, Page, TestAgent};
use crate::author::agent::{Agent, Jobs, StateJson};
use crate::author::extract::{Blob, FromJob};
use crate::author::handler::{Handler, Run};
use crate::author::job::JobContext;
use crate::author::output::IntoOutput as _;
use crate::declaration::{AgentDeclaration, JobDeclaration};
use crate::error::JobError;

/// An agent that stores what it is given, reads it, and deletes it if that is `secret`.
#[derive(Default, Serialize, Deserialize)]
struct Archivist {}

impl Agent for Archivist {
    const DECLARATION: AgentDeclaration = AgentDeclaration::new("archivist");
    const STATE: StateJson<Self> = StateJson::by_serde();
}

impl Jobs for Archivist {
    const HANDLERS: &'static [Handler<Self>] = &[Handler {
        declaration: JobDeclaration::new(ECHO, "archive"),
        quote: None,
        run: Run::Shared(|_: &Self, context: JobContext| {
            Box::pin(async move {
                let text = context.request().text().unwrap_or_default().to_owned();
                let media_type = if text == "no type" { "text" } else { "text/plain" };
                let stored = context.blobs().store(text.clone(), media_type).await?;
                if context.blobs().read(&stored.sha256).await?.as_deref() != Some(text.as_bytes()) {
                    return Err(JobError::failed("it is another"));
                }
                if text == "secret" {
                    context.blobs().delete(&stored.sha256).await?;
                }
                stored.into_output()
            })
        }),
    }];
}

#[test]
fn a_test_sees_the_blobs_that_its_agent_keeps() {
    let mut agent = TestAgent::<Archivist>::start();
    for text in ["kept", "secret", "kept"] {
        let job = agent.submit(Job::of(ECHO).text(text));
        let result = agent.result(&job);
        assert!(
            result.content.starts_with("blossom:") && result.content.ends_with(".txt"),
            "{}",
            result.content
        );
    }
    let blobs = agent.blobs();
    let [(descriptor, bytes)] = blobs.as_slice() else { panic!("{blobs:?}") };
    assert_eq!((bytes.as_ref(), descriptor.size), (b"kept".as_slice(), 4));
}

#[test]
fn what_is_no_media_type_fails_the_job_for_good() {
    let mut agent = TestAgent::<Archivist>::start();
    let job = agent.submit(Job::of(ECHO).text("no type"));
    assert_eq!(agent.error(&job), "the agent could not store a file");
    assert!(agent.blobs().is_empty());
}

/// An agent that tells what it is given.
#[derive(Default, Serialize, Deserialize)]
struct Scale {}

impl Agent for Scale {
    const DECLARATION: AgentDeclaration = AgentDeclaration::new("scale");
    const STATE: StateJson<Self> = StateJson::by_serde();
}

impl Jobs for Scale {
    const HANDLERS: &'static [Handler<Self>] = &[Handler {
        declaration: JobDeclaration {
            inputs: &[<Vec<Blob> as FromJob>::INPUT],
            ..JobDeclaration::new(ECHO, "weigh")
        },
        quote: None,
        run: Run::Shared(|_: &Self, context: JobContext| {
            Box::pin(async move {
                let files = Vec::<Blob>::from_job(&context).await?;
                let told = files.iter().map(|file| format!("{} {}", file.media_type(), file.bytes().len()));
                told.collect::<Vec<_>>().join(", ").into_output()
            })
        }),
    }];
}

/// What the agent tells of this job.
fn told(agent: &mut TestAgent<Scale>, job: Job) -> Result<String, String> {
    let job = agent.submit(job);
    agent.finish(&job);
    agent.find_result(&job).map(|result| result.content).ok_or_else(|| agent.error(&job))
}

#[test]
fn a_handler_takes_the_files_that_customers_upload() {
    let mut agent = TestAgent::<Scale>::start();
    let job = Job::of(ECHO).file("hello", "text/plain").file(vec![0; 70_000], "image/png");
    assert_eq!(told(&mut agent, job).unwrap(), "text/plain 5, image/png 70000");
    assert!(agent.blobs().is_empty(), "they are the customer's");
}

#[test]
fn files_of_other_servers_are_fetched_and_have_the_hash_of_their_url() {
    let mut agent = TestAgent::<Scale>::start();
    // The SHA-256 of `hello`.
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let named = format!("https://cdn.example.com/{hash}.txt");
    let other = format!("https://cdn.example.com/{}.txt", "ab".repeat(32));
    for (url, served, expected) in [
        ("https://a.example/x.pdf".to_owned(), "https://a.example/x.pdf", Ok("application/pdf 5")),
        (named.clone(), named.as_str(), Ok("application/pdf 5")),
        (format!("blossom:{hash}.txt?xs=cdn.example.com"), named.as_str(), Ok("application/pdf 5")),
        (other.clone(), other.as_str(), Err("another SHA-256")),
    ] {
        agent.serve(served, "application/pdf; x=y", "hello");
        match (told(&mut agent, Job::of(ECHO).url(&url)), expected) {
            (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{url}"),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{url}: {told}"),
            (told, expected) => panic!("{url}: {told:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_had_fails_the_job_with_the_reason() {
    let mut agent = TestAgent::<Scale>::start();
    agent.serve("https://a.example/large", "image/png", vec![0; 26 * 1024 * 1024]);
    agent.serve_with("https://a.example/gone", |_| Page::status(404));
    let missing = format!("blossom:{}.png", "cd".repeat(32));
    for (url, reason) in [
        (missing.as_str(), "not uploaded here"),
        ("https://a.example/large", "larger than 26214400 bytes"),
        ("https://a.example/gone", "HTTP status 404"),
        ("http://127.0.0.1/x", "cannot be fetched"),
        ("blossom:x", "cannot be fetched"),
    ] {
        let told = told(&mut agent, Job::of(ECHO).url(url)).unwrap_err();
        assert!(told.contains(reason), "{url}: {told}");
    }
    let nine = (0..9).fold(Job::of(ECHO), |job, number| job.url(format!("https://a.example/{number}")));
    assert!(told(&mut agent, nine).unwrap_err().contains("at most 8 files, not 9"));
    let more = Job::of(ECHO).file(vec![0; 20_000_000], "image/png").file(vec![1; 20_000_000], "image/png");
    assert!(told(&mut agent, more).unwrap_err().contains("too large"));
}
