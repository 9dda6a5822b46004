//! What agents, job handlers and schedules declare about themselves: name, limits, price, inputs, parameters.
//!
//! The macros generate these constants from attributes and signatures; the engine, the manifest and the announcements
//! read them. An agent's own are [`Agent::DECLARATION`](crate::Agent::DECLARATION) and, for each handler, in
//! [`Jobs::HANDLERS`](crate::Jobs::HANDLERS):
//!
//! ```
//! use openagents_sdk::prelude::*;
//! use openagents_sdk::Agent;
//!
//! #[agent(name = "poet", concurrency = 8)]
//! #[derive(Default, Serialize, Deserialize)]
//! struct Poet;
//!
//! assert_eq!(Poet::DECLARATION.concurrency, 8);
//! ```
//! manifest read.

mod agent;
mod deployment;
mod direct_message;
mod event;
mod job;
mod route;
mod schedule;

pub use agent::{AgentDeclaration, Requests, VariableDeclaration};
pub use deployment::{DeployedAgent, DeploymentDeclaration};
pub use direct_message::DirectMessageDeclaration;
pub use event::EventDeclaration;
pub use job::{InputDeclaration, JobDeclaration, ParamDeclaration, PaymentTiming};
pub use route::{RouteDeclaration, RouteMethod};
pub(crate) use schedule::next_time;
pub use schedule::{ScheduleDeclaration, ScheduleRule};
