#![doc = include_str!("../README.md")]

mod agent;
mod clock;
mod door;
mod engine;
mod error;
mod extract;
mod handler;
mod job;
mod log;
pub mod manifest;
pub mod nip90;
mod output;
mod runner;
mod settings;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

mod deployment;

pub use agent::{Agent, AgentDeclaration, Jobs, Shareable, StateField};
pub use error::{JobError, JobResult};
pub use extract::{FromJob, InputDeclaration, Inputs, Params, Text};
pub use handler::{Handler, JobDeclaration, JobFuture, Run};
pub use job::{JobContext, JobRequest};
pub use output::{HandlerReturn, IntoOutput, Json, Output};

pub use openagents_host as host;
pub use openagents_macros::{agent, job, jobs};
pub use openagents_relay as relay;
pub use serde;
pub use serde_json;

/// What an agent's source needs, in one `use`.
pub mod prelude {
    pub use crate::{
        Inputs, JobContext, JobError, JobRequest, JobResult, Json, Output, Params, Text, agent, job, jobs,
    };
    pub use serde::{Deserialize, Serialize};
}

/// What the macros' output names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    /// Fails to compile at the field whose type cannot be kept.
    pub const fn assert_state_field<T: crate::StateField>() {}

    #[cfg(target_arch = "wasm32")]
    pub use ::worker;
}
