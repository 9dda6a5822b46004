#![doc = include_str!("../README.md")]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "natively the same types are shared between threads")
)]

mod announcement;
mod assemble;
mod author;
pub mod client;
mod clock;
pub mod declaration;
pub mod discovery;
mod engine;
mod error;
mod host_port;
mod http;
mod log;
pub mod manifest;
pub mod nip90;
pub mod payment;
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

pub use author::agent::{Agent, Jobs};
pub use author::context::AgentContext;
pub use author::extract::{Customer, Document, FromInput, FromJob, Inputs, NostrEvent, Text};
pub use author::job::JobContext;
pub use author::memory::{Memory, Session};
pub use author::output::{IntoOutput, Json, Markdown, Tags};
pub use author::params::{JobParams, Params};
pub use engine::{JobState, Output, Turn};
pub use error::{JobError, JobResult};
pub use nip90::JobRequest;
pub use price::Price;

pub use openagents_host::net::{FetchError, FetchRequest, Fetched, Url};
pub use openagents_macros::{
    JobParams, ParamChoice, agent, deployment, job, jobs, migrate, on_create, on_error, on_sleep, on_wake,
    price, schedule,
};
pub use serde;
pub use serde_json;

/// Everything an agent's source needs, in one `use`.
pub mod prelude {
    pub use crate::{
        AgentContext, Customer, Document, FetchRequest, Inputs, IntoOutput, JobContext, JobError, JobParams,
        JobRequest, JobResult, Json, Markdown, Memory, NostrEvent, Output, ParamChoice, Params, Price,
        Session, Tags, Text, Url, jobs, migrate, on_create, on_error, on_sleep, on_wake, price, schedule,
    };
    pub use crate::{agent, job};
    pub use serde::{Deserialize, Serialize};
    pub use std::time::Duration;
}

/// The types of the Nostr protocol that handlers meet: events, keys, filters, encryption.
pub mod nostr {
    pub use openagents_host::nostr::keys::{npub, parse_public_key};
    pub use openagents_host::nostr::{Filter, Signature};
    pub use openagents_host::{
        DecryptError, EncryptError, Encryption, Event, EventId, Keys, Kind, PublicKey, Timestamp,
        UnsignedEvent, VerifiedEvent,
    };
}

/// The policy of a deployment's relay: what may be written to it.
pub mod relay {
    pub use openagents_host::Kind;
    pub use openagents_relay::{Filter, Reason, Submission, WritePolicy};
}

/// The items that the macros' output names. They change without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::assemble::deployment_of;
    pub use crate::author::agent::{Agent, Jobs, StateField};
    pub use crate::author::context::FromAgent;
    pub use crate::author::extract::FromJob;
    pub use crate::author::handler::{Handler, Hooks, Migrate, Quote, Run, Schedule, Work};
    pub use crate::author::output::HandlerReturn;
    pub use crate::author::params::{JobParams, ParamValue, nip90_params, params_schema};
    pub use crate::author::return_types::{MigrateReturn, QuoteReturn, RunReturn};
    pub use crate::declaration::{
        AgentDeclaration, DeploymentDeclaration, InputDeclaration, JobDeclaration, ParamDeclaration,
        Requests, ScheduleDeclaration, ScheduleRule,
    };
    pub use crate::engine::JobFailure;
    pub use crate::nip90::ParamMap;
    pub use crate::send::{MaybeSend, Shareable};
    pub use crate::{JobError, Price};
    pub use {schemars, serde, serde_json};

    /// Fails to compile at the field whose type cannot be kept.
    pub const fn assert_state_field<T: StateField>() {}

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
