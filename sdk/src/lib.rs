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
mod returns;
mod rhythm;
mod runner;
mod settings;
mod surroundings;
mod wallet;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
pub mod worker;

mod deployment;

pub use agent::{Agent, AgentDeclaration, Jobs, MaybeSend, Requests, Shareable, StateField};
pub use context::{AgentContext, FromAgent, JobFailure};
pub use engine::JobState;
pub use error::{JobError, JobResult};
pub use extract::{Customer, Document, FromInput, FromJob, InputDeclaration, Inputs, NostrEvent, Text};
pub use handler::{
    Handler, Hooks, JobDeclaration, Migrate, Quote, Rhythm, Run, Schedule, ScheduleDeclaration, Work,
};
pub use job::{JobContext, JobRequest};
pub use memory::{Memory, Session, Turn};
pub use output::{HandlerReturn, IntoOutput, Json, Markdown, Output, Tags};
pub use params::{JobParams, ParamDeclaration, ParamMap, ParamValue, Params, nip90_params, params_schema};
pub use price::Price;
pub use returns::{MigrateReturn, QuoteReturn, RunReturn};
pub use wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};

pub use openagents_host as host;
pub use openagents_host::outgoing::Url;
pub use openagents_macros::{
    JobParams, ParamChoice, agent, job, jobs, migrate, on_create, on_error, on_sleep, on_wake, price,
    schedule,
};
pub use openagents_relay as relay;
pub use schemars;
pub use serde;
pub use serde_json;

/// What an agent's source needs, in one `use`.
pub mod prelude {
    pub use crate::{
        AgentContext, Customer, Document, Inputs, JobContext, JobError, JobParams, JobRequest, JobResult,
        Json, Markdown, NostrEvent, Output, ParamChoice, Params, Price, Tags, Text, Url, agent, job, jobs,
        migrate, on_create, on_error, on_sleep, on_wake, price, schedule,
    };
    pub use serde::{Deserialize, Serialize};
}

/// What the macros' output names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    /// Fails to compile at the field whose type cannot be kept.
    pub const fn assert_state_field<T: crate::StateField>() {}

    pub use crate::params::read::{Param, param};

    /// What a deployment's relay asks about what clients write. Fails to compile at the value that is none.
    #[must_use]
    pub fn policy<P: openagents_relay::WritePolicy>(
        policy: P,
    ) -> std::sync::Arc<dyn openagents_relay::WritePolicy> {
        std::sync::Arc::new(policy)
    }

    /// Fails to compile at the field whose type is no number.
    pub const fn assert_param_number<T: crate::params::ParamNumber>() {}

    /// Whether the text is one of the choices, if there are any.
    pub const fn is_choice(choices: &[&str], text: &str) -> bool {
        let mut rest = choices;
        while let [choice, others @ ..] = rest {
            if is_same(choice.as_bytes(), text.as_bytes()) {
                return true;
            }
            rest = others;
        }
        choices.is_empty()
    }

    const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
        while let ([first, rest @ ..], [other_first, other_rest @ ..]) = (one, other) {
            if *first != *other_first {
                return false;
            }
            (one, other) = (rest, other_rest);
        }
        one.is_empty() && other.is_empty()
    }

    /// The one that is there after `#[cfg]`.
    pub const fn first<T: Copy>(alternatives: &[Option<T>]) -> Option<T> {
        match alternatives {
            [first, ..] => *first,
            [] => None,
        }
    }

    #[cfg(target_arch = "wasm32")]
    pub use ::worker;
}
