#![doc = include_str!("../README.md")]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "natively the same types are shared between threads")
)]

mod assemble;
mod author;
pub mod client;
mod clock;
mod declaration;
pub mod discovery;
mod engine;
mod error;
mod host_port;
mod http;
mod log;
pub mod manifest;
pub mod nip90;
mod payment;
mod price;
mod relay_address;
mod relays;
mod runner;
mod send;
mod settings;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
pub mod worker;

mod deployment;

pub use author::agent::{Agent, Jobs, StateField};
pub use author::context::{AgentContext, FromAgent};
pub use author::extract::{Customer, Document, FromInput, FromJob, Inputs, NostrEvent, Text};
pub use author::handler::{Handler, Hooks, Migrate, Quote, Run, Schedule, Work};
pub use author::job::JobContext;
pub use author::memory::{Memory, Session};
pub use author::output::{HandlerReturn, IntoOutput, Json, Markdown, Tags};
pub use author::params::{JobParams, ParamValue, Params, nip90_params, params_schema};
pub use author::return_types::{MigrateReturn, QuoteReturn, RunReturn};
pub use declaration::{
    AgentDeclaration, InputDeclaration, JobDeclaration, ParamDeclaration, Requests, ScheduleDeclaration,
    ScheduleRule,
};
pub use engine::{JobFailure, JobState, Output, Turn};
pub use error::{JobError, JobResult};
pub use nip90::{JobRequest, ParamMap};
pub use payment::wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};
pub use price::Price;
pub use send::{MaybeSend, Shareable};

pub use openagents_host as host;
pub use openagents_host::outgoing::Url;
pub use openagents_macros::{
    JobParams, ParamChoice, agent, deployment, job, jobs, migrate, on_create, on_error, on_sleep, on_wake,
    price, schedule,
};
pub use openagents_relay as relay;
pub use schemars;
pub use serde;
pub use serde_json;

/// What an agent's source needs, in one `use`.
pub mod prelude {
    pub use crate::{
        AgentContext, Customer, Document, Inputs, JobContext, JobError, JobParams, JobRequest, JobResult,
        Json, Markdown, NostrEvent, Output, ParamChoice, Params, Price, Tags, Text, Url, jobs, migrate,
        on_create, on_error, on_sleep, on_wake, price, schedule,
    };
    pub use crate::{agent, job};
    pub use serde::{Deserialize, Serialize};
}

/// What the macros' output names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    /// Fails to compile at the field whose type cannot be kept.
    pub const fn assert_state_field<T: crate::StateField>() {}

    pub use crate::author::params::read::{Param, param};

    /// What a deployment's relay asks about what clients write. Fails to compile at the value that is none.
    #[must_use]
    pub fn policy<P: openagents_relay::WritePolicy>(
        policy: P,
    ) -> std::sync::Arc<dyn openagents_relay::WritePolicy> {
        std::sync::Arc::new(policy)
    }

    /// Fails to compile at the field whose type is no number.
    pub const fn assert_param_number<T: crate::author::params::ParamNumber>() {}

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
