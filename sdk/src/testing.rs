//! Tests of agents, without a network and without waiting.
//!
//! A [`TestAgent`] runs an agent's handlers, schedules and hooks with the engine that runs them in production, beside a relay
//! and on a database in memory. Time is virtual: it passes only when a test says so, and then at once.
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
//! It is there with the feature `testing`, which belongs among the dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! openagents-sdk = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # Time
//!
//! What a test does ([`submit`](TestAgent::submit), [`cancel`](TestAgent::cancel), …) has all consequences that it can have
//! without time passing: a handler is begun, and goes on until it waits for something. [`settle`](TestAgent::settle) lets
//! as much time pass as handlers at work need, [`finish`](TestAgent::finish) as much as a job needs with its retries, and
//! [`advance`](TestAgent::advance) as much as it is told. `tokio::time` is virtual as well; `std::thread::sleep` and the
//! system's clock are not.
//!
//! # What is around the agent
//!
//! * Its own relay is the real one: what handlers [publish](crate::AgentContext::publish) is there for those that
//!   [read](crate::AgentContext::events), and a test can add to it ([`publish`](TestAgent::publish)).
//! * Fetches get what the test [serves](TestAgent::serve).
//! * A [`TestWallet`] makes invoices, which a test [pays](TestAgent::pay).
//! * External relays take everything; a test can put something [there](TestAgent::publish_outside). Customers' lists of
//!   relays (NIP-65) are not followed.
//!
//! Nothing is announced, and there is no network: a handler that opens a connection by itself fails.
//!
//! Methods panic, with a message that says why, where what a test asks for cannot be had; so they are for tests only.

mod agent;
mod builder;
mod clock;
mod failure;
mod handler_host;
mod host;
mod idle;
mod inspect;
mod job;
mod relay;
mod wallet;
mod web;

pub use agent::TestAgent;
pub use builder::TestAgentBuilder;
pub use inspect::JobRecord;
pub use job::{Job, SubmittedJob, customer};
pub use wallet::{TestInvoice, TestWallet};
pub use web::Page;

#[cfg(test)]
mod tests;
