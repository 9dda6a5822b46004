//! The native host: one process with a relay and the agent, a client to try it with, and tools for the relay's database.

mod agent;
mod cli;
mod data_folder;
mod environment;
mod forwarded;
mod mailbox;
mod relays;
mod serve;
mod server;
mod signals;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use openagents_relay::WritePolicy;

use crate::author::agent::Jobs;
use cli::arguments::{Arguments, Command};
use cli::{ask, inspect, relay as relay_commands, terminal};

/// What the `main` of a deployment does: reads the command line, then serves the agent and its relay, submits a job, shows an
/// agent's records, or works on the relay's database. The `policy`, if there is one, decides about each event that a client
/// writes to the relay.
///
/// The exit code is 0 on success, 1 on failure, 2 for a usage error and 130 when interrupted.
#[must_use]
pub fn main<A: Jobs>(policy: Option<Arc<dyn WritePolicy>>) -> ExitCode {
    let declaration = A::DECLARATION;
    let command =
        Arguments::command().name(declaration.name).version(declaration.version).about(declaration.about);
    let arguments = match command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches))
    {
        Ok(arguments) => arguments,
        // Help and the version come this way too.
        Err(message) => {
            let code = u8::try_from(message.exit_code()).unwrap_or(2);
            let _ = message.print();
            return code.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&format!("the runtime could not be started: {error}")),
    };
    let done = runtime.block_on(async {
        match &arguments.command {
            Some(Command::Ask(ask)) => ask::run::<A>(ask).await.map_err(|error| error.to_string()),
            Some(Command::Inspect(inspect)) => {
                inspect::run::<A>(inspect).await.map_err(|error| error.to_string())
            }
            Some(Command::Relay(relay)) => {
                return relay_commands::run::<A>(relay).await.map_err(|error| error.to_string());
            }
            None => serve::run::<A>(&arguments.serve, policy).await.map_err(|error| error.to_string()),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // A handler that blocks its thread must not keep the process from ending.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| failure(&error))
}

fn failure(message: &str) -> ExitCode {
    // It may hold the words of a relay or an agent.
    terminal::tell(format_args!("error: {}", terminal::foreign(message)));
    ExitCode::FAILURE
}
