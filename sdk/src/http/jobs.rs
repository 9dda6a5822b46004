//! `POST /jobs` and `GET /jobs/{id}`: signed job requests (NIP-90) and their answers over HTTP.
//!
//! A request becomes an event on the deployment's relay, as if its author had sent it there, on a connection of the same
//! client; what the relay then has for it is the response. So a job is one job, whichever way it is asked for.

mod answers;
mod call;
mod event_stream;
mod job_connection;

pub(crate) use call::{JobAgent, JobCall};
pub(crate) use job_connection::refused_connection;
#[cfg(target_arch = "wasm32")]
pub(crate) use job_connection::unreachable_relay;
