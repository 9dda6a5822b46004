//! The variables and secrets that a test sets.

use serde::{Deserialize, Serialize};

use super::{ECHO, Job, TestAgent};
use crate::author::agent::{Agent, Jobs, StateJson};
use crate::author::handler::{Handler, Run};
use crate::author::job::JobContext;
use crate::declaration::{AgentDeclaration, JobDeclaration, VariableDeclaration};
use crate::engine::Output;

/// An agent with a variable, a default and a secret.
#[derive(Default, Serialize, Deserialize)]
struct Configured {}

impl Agent for Configured {
    const DECLARATION: AgentDeclaration = AgentDeclaration {
        variables: &[
            VariableDeclaration { name: "MODEL", default: Some("small") },
            VariableDeclaration { name: "BASE_URL", default: None },
        ],
        secrets: &["API_KEY"],
        ..AgentDeclaration::new("configured")
    };
    const STATE: StateJson<Self> = StateJson::by_serde();
}

impl Jobs for Configured {
    const HANDLERS: &'static [Handler<Self>] = &[Handler {
        declaration: JobDeclaration::new(ECHO, "show"),
        quote: None,
        run: Run::Shared(|_: &Self, context: JobContext| {
            Box::pin(async move {
                let [model, url] = [context.variable("MODEL")?, context.variable("BASE_URL")?];
                let key = context.secret("API_KEY")?;
                Ok(Output::new(format!("{model} {url} {}", key.expose())))
            })
        }),
    }];
}

#[test]
fn an_agent_reads_the_variables_and_secrets_of_the_test() {
    let builder =
        TestAgent::<Configured>::builder().variable("BASE_URL", "http://a").secret("API_KEY", "key");
    let mut agent = builder.start();
    let job = agent.submit(Job::of(ECHO));
    assert_eq!(agent.result(&job).content, "small http://a key");
}

#[test]
#[should_panic(expected = "the agent needs the variable BASE_URL and the secret API_KEY, which are not set")]
fn an_agent_without_its_variables_does_not_start() {
    let _ = TestAgent::<Configured>::start();
}

#[test]
#[should_panic(expected = "the secret `MODEL` is not declared")]
fn a_secret_that_is_not_declared_cannot_be_set() {
    let _ = TestAgent::<Configured>::builder().secret("MODEL", "large");
}
