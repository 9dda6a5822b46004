//! Test kit: tests agents in virtual time, without a network.
//!
//! A [`TestAgent`] runs an agent's handlers, schedules and hooks with the same engine as in production, next to a
//! relay and on a database in memory. Time is virtual: it passes only when a test says so, and without delay.
//!
//! ```
//! use openagents_sdk::prelude::*;
//! use openagents_sdk::testing::{Job, TestAgent};
//!
//! #[agent(name = "greeter")]
//! #[derive(Default, Serialize, Deserialize)]
//! pub struct Greeter {
//!     greeted: u64,
//! }
//!
//! #[jobs]
//! impl Greeter {
//!     /// Say hello to the name given as input.
//!     #[job(kind = 5050)]
//!     async fn hello(&mut self, name: Text) -> JobResult<String> {
//!         self.greeted += 1;
//!         Ok(format!("Hello, {name}!"))
//!     }
//! }
//!
//! let mut agent = TestAgent::<Greeter>::start();
//! let job = agent.submit(Job::of(5050).text("Ada"));
//! agent.settle();
//! assert_eq!(agent.result(&job).content, "Hello, Ada!");
//!
//! agent.evict(); // the process is lost; the database is not
//! assert_eq!(agent.state().greeted, 1);
//! ```
//!
//! To use it, enable the feature `testing` in the dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! openagents-sdk = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # Time
//!
//! A method such as [`submit`](TestAgent::submit) or [`cancel`](TestAgent::cancel) has all consequences that need no
//! time: a handler starts, and runs until it waits for something. [`settle`](TestAgent::settle) then lets as much
//! time pass as the running handlers need, [`finish`](TestAgent::finish) as much as a job needs including its
//! retries, and [`advance`](TestAgent::advance) a given duration. `tokio::time` is virtual as well;
//! `std::thread::sleep` and the system clock are not.
//!
//! # What the agent can reach
//!
//! * Its own relay is the real relay engine. It stores what handlers [publish](crate::AgentContext::publish), for
//!   handlers that [read](crate::AgentContext::events); a test can [publish](TestAgent::publish) there too.
//! * Handlers hire [other agents](TestProvider), which the test plays.
//! * Blobs that it [stores](crate::AgentContext::blobs) are [there](TestAgent::blobs), without limits.
//! * Requests to its [routes](macro@crate::route) are [sent](TestAgent::request) by the test, without limits on their rate.
//! * HTTP requests get what the test [serves](TestAgent::serve): [pages](Page) with pauses and failures, too.
//! * A [`TestWallet`] creates invoices, which the test [pays](TestAgent::pay).
//! * External relays accept every event; a test can [publish](TestAgent::publish_external) there too. Customers'
//!   relay lists (NIP-65) are ignored.
//!
//! The agent is not announced, and there is no network: a handler that opens a connection by itself fails.
//!
//! Methods panic with an explanation if they cannot do what the test wants, so they are for tests only.

mod agent;
mod blobs;
mod builder;
mod clock;
mod failure;
mod handler_host;
mod host;
mod idle;
mod inspect;
mod job;
mod provider;
mod relay;
mod request;
mod wallet;
mod web;

pub use agent::TestAgent;
pub use builder::TestAgentBuilder;
pub use inspect::JobRecord;
pub use job::{Job, SubmittedJob, customer};
pub use provider::{Reply, TestProvider};
pub use request::TestRequest;
pub use wallet::{TestInvoice, TestWallet};
pub use web::{Page, ReceivedRequest};

#[cfg(test)]
mod tests;
