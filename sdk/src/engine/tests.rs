#![allow(clippy::arithmetic_side_effects)]

mod admission;
mod bench;
mod cancellation;
mod chaining;
mod changes;
mod disk;
mod events;
mod hooks;
mod migration;
mod outbox;
mod paid_jobs;
mod payment;
mod payment_properties;
mod price;
mod probe;
mod processing;
mod properties;
mod queries;
mod records;
mod reports;
mod routes;
mod runs;
mod scheduled_runs;
mod schedules;
mod state_queries;
