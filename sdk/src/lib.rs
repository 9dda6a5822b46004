#![doc = include_str!("../README.md")]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "natively the same types are shared between threads")
)]

mod announcement;
mod assemble;
mod audit;
mod author;
pub mod client;
mod clock;
pub mod declaration;
mod declared_variables;
pub mod discovery;
mod engine;
mod error;
pub mod gateway;
mod host_port;
mod http;
mod input_blobs;
mod iso_8601;
mod log;
pub mod manifest;
pub mod nip90;
pub mod payment;
mod price;
mod relay_address;
mod relays;
mod route;
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

// The code in the authors' guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/authors.md")]
mod authors_guide {}

pub use author::agent::{Agent, Jobs};
pub use author::context::{AgentContext, Blobs, ExternalRelay, ScheduledRun};
pub use author::direct_message::{DirectMessage, DirectMessageContext, FromDirectMessage, IntoReply};
pub use author::event::{EventContext, FromEvent};
pub use author::extract::{Blob, Customer, Document, FromInput, FromJob, Inputs, NostrEvent, Text};
pub use author::http::{HttpClient, HttpRequestBuilder};
pub use author::job::JobContext;
pub use author::memory::{Memory, Session};
pub use author::output::{IntoOutput, Json, Markdown, Tags};
pub use author::params::{JobParams, ParamValue, Params};
pub use author::route::{FromRequest, IntoResponse, RouteContext};
pub use declared_variables::Secret;
pub use engine::{EventToPublish, JobFailure, JobState, Output, Turn};
pub use error::{JobError, JobResult, JobResultExt};
pub use nip90::JobRequest;
pub use price::Price;
pub use route::{ResponseHeaderError, RouteRequest, RouteResponse};

pub use openagents_blossom::BlobDescriptor;
pub use openagents_host::BlobHash;
pub use openagents_host::http::{Body, ByteStream, Bytes, HeaderMap, Method, StatusCode};
pub use openagents_host::net::{HttpError, HttpResponse, ServerSentEvent, ServerSentEvents, Url};
pub use openagents_macros::{
    JobParams, ParamChoice, agent, deployment, direct_message, event, job, jobs, migrate, on_create,
    on_error, on_sleep, on_wake, price, route, schedule,
};
pub use serde;
pub use serde_json;
pub use tracing;

/// Everything that an agent usually needs, in one `use`: the macros, the arguments and outputs of handlers, and errors.
///
/// ```
/// use openagents_sdk::prelude::*;
/// ```
pub mod prelude {
    pub use crate::{
        AgentContext, Blob, Customer, Document, Inputs, IntoOutput, JobContext, JobError, JobParams,
        JobRequest, JobResult, JobResultExt as _, Json, Markdown, Memory, NostrEvent, Output, ParamChoice,
        Params, Price, Session, Tags, Text, Url, jobs, migrate, on_create, on_error, on_sleep, on_wake,
        price, route, schedule,
    };
    pub use crate::{DirectMessage, agent, direct_message, event, job};
    pub use openagents_macros::{Deserialize, Serialize};
    pub use serde::de::Deserialize;
    pub use serde::ser::Serialize;
    pub use std::time::Duration;
    pub use tracing;
}

/// The Nostr protocol: events, keys, filters and encryption.
///
/// ```
/// use openagents_sdk::nostr::{Filter, Keys, Kind, Timestamp, UnsignedEvent};
///
/// let keys = Keys::generate()?;
/// let note = UnsignedEvent::new(Kind(1), "hello").tag(["t", "greeting"]).sign(&keys, Timestamp::from_seconds(1_700_000_000));
/// assert!(Filter::new().kinds([1]).matches(&note));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod nostr {
    pub use openagents_host::nostr::keys::{npub, parse_public_key};
    pub use openagents_host::nostr::{Filter, Signature};
    pub use openagents_host::{
        DecryptError, EncryptError, Encryption, Event, EventId, Keys, Kind, PublicKey, Timestamp,
        UnsignedEvent, VerifiedEvent,
    };
}

/// The write policy of a deployment's relay: which events clients may write to it.
///
/// ```
/// use openagents_sdk::relay::{Kind, Reason, Submission, WritePolicy};
///
/// struct NoReactions;
///
/// impl WritePolicy for NoReactions {
///     fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
///         if submission.event.kind == Kind::REACTION { Err(Reason::restricted("no reactions here")) } else { Ok(()) }
///     }
/// }
/// ```
///
/// It is set with [`deployment! { agents: […], policy: NoReactions }`](crate::deployment).
pub mod relay {
    pub use openagents_host::Kind;
    pub use openagents_relay::{Filter, Reason, Submission, WritePolicy};
}

/// The traits that the macros require of the types in an agent's code. Compile errors mention them; agents seldom name them.
pub mod traits {
    pub use crate::author::agent::StateField;
    pub use crate::author::context::FromAgent;
    pub use crate::author::direct_message::ReplyReturn;
    pub use crate::author::output::HandlerReturn;
    pub use crate::author::params::ParamNumber;
    pub use crate::author::return_types::{HandlerError, MigrateReturn, QuoteReturn, RunReturn};
    pub use crate::author::route::RouteReturn;
    pub use crate::send::Shareable;
}

/// What the generated code of the macros refers to. It may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use crate::assemble::deployment_of;
    pub use crate::author::agent::{Agent, Jobs, StateField, StateJson};
    pub use crate::author::context::FromAgent;
    pub use crate::author::direct_message::{FromDirectMessage, ReplyReturn};
    pub use crate::author::event::FromEvent;
    pub use crate::author::extract::FromJob;
    pub use crate::author::handler::{
        DirectMessageHandler, EventHandler, Handler, Hooks, Migrate, Quote, RouteHandler, Run, Schedule, Work,
    };
    pub use crate::author::output::HandlerReturn;
    pub use crate::author::params::{JobParams, ParamValue, nip90_params, params_schema};
    pub use crate::author::return_types::{HandlerError, MigrateReturn, QuoteReturn, RunReturn};
    pub use crate::author::route::{FromRequest, RouteReturn};
    pub use crate::declaration::{
        AgentDeclaration, DeploymentDeclaration, DirectMessageDeclaration, EventDeclaration,
        InputDeclaration, JobDeclaration, ParamDeclaration, PaymentTiming, Requests, RouteDeclaration,
        RouteMethod, ScheduleDeclaration, ScheduleRule, VariableDeclaration,
    };

    pub use crate::nip90::ParamMap;
    pub use crate::send::{MaybeSend, Shareable};
    pub use crate::{JobError, Price};
    pub use {schemars, serde, serde_json};

    pub use crate::author::params::read::{Param, param};

    /// The write policy of a deployment's relay. Fails to compile if the value is not a `WritePolicy`.
    #[must_use]
    pub fn policy<P: openagents_relay::WritePolicy>(
        policy: P,
    ) -> std::sync::Arc<dyn openagents_relay::WritePolicy> {
        std::sync::Arc::new(policy)
    }

    /// The gateway of a deployment. Fails to compile if the value is not a `Gateway`.
    #[must_use]
    pub const fn gateway(gateway: crate::gateway::Gateway) -> crate::gateway::Gateway {
        gateway
    }

    /// Fails to compile if a field's type is not a number.
    pub const fn assert_param_number<T: crate::author::params::ParamNumber>() {}

    /// Whether the text is one of the choices; true if there are none.
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

    /// Fails to compile if the constant is not the kind of a job request.
    #[must_use]
    #[track_caller]
    pub const fn job_kind(kind: u16) -> u16 {
        assert!(5000 <= kind && kind <= 5999, "`kind` must be a job request kind, 5000 to 5999 (NIP-90)");
        kind
    }

    /// Fails to compile if two handlers have the same kind.
    #[track_caller]
    pub const fn distinct_kinds<A>(handlers: &'static [Handler<A>]) -> &'static [Handler<A>] {
        let mut rest = handlers;
        while let [first, others @ ..] = rest {
            let mut compared = others;
            while let [other, more @ ..] = compared {
                assert!(
                    first.declaration.kind != other.declaration.kind,
                    "two handlers of this agent have the same `kind`"
                );
                compared = more;
            }
            rest = others;
        }
        handlers
    }

    /// The alternative that remains after `#[cfg]`.
    pub const fn first<T: Copy>(alternatives: &[Option<T>]) -> Option<T> {
        match alternatives {
            [first, ..] => *first,
            [] => None,
        }
    }

    #[cfg(target_arch = "wasm32")]
    pub use ::worker;
}
