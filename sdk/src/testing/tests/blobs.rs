//! The blobs that an agent under test stores.

use serde::{Deserialize, Serialize};

use super::{ECHO, Job, TestAgent};
use crate::author::agent::{Agent, Jobs, StateJson};
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
