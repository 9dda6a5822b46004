//! The author API: the agent and its handlers, their arguments, contexts and outputs.

pub(crate) mod agent;
pub(crate) mod context;
pub(crate) mod direct_message;
pub(crate) mod event;
pub(crate) mod extract;
pub(crate) mod handler;
pub(crate) mod http;
pub(crate) mod job;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod params;
pub(crate) mod return_types;
pub(crate) mod route;
