#![doc = include_str!("../README.md")]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "natively the same types are shared between threads")
)]

mod agent;
pub mod client;
mod clock;
mod context;
pub mod discovery;
mod door;
mod engine;
mod error;
mod extract;
mod handler;
mod job;
mod log;
pub mod manifest;
mod memory;
pub mod nip90;
mod output;
mod outside;
mod params;
mod price;
mod rhythm;
mod runner;
mod settings;
mod surroundings;
mod wallet;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

mod deployment;

pub use agent::{Agent, AgentDeclaration, Jobs, MaybeSend, Requests, Shareable, StateField};
pub use context::{AgentContext, FromAgent, JobFailure};
pub use error::{JobError, JobResult};
pub use extract::{FromJob, InputDeclaration, Inputs, Text};
pub use handler::{
    Handler, Hooks, JobDeclaration, Migrate, Quote, Rhythm, Run, Schedule, ScheduleDeclaration, Work,
};
pub use job::{JobContext, JobRequest};
pub use memory::{Memory, Session, Turn};
pub use output::{HandlerReturn, IntoOutput, Json, Output};
pub use params::{JobParams, ParamDeclaration, ParamMap, Params};
pub use price::Price;
pub use wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};

pub use openagents_host as host;
pub use openagents_macros::{agent, job, jobs};
pub use openagents_relay as relay;
pub use serde;
pub use serde_json;

/// What an agent's source needs, in one `use`.
pub mod prelude {
    pub use crate::{
        AgentContext, Inputs, JobContext, JobError, JobRequest, JobResult, Json, Output, Params, Price, Text,
        agent, job, jobs,
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
