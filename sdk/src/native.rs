//! The native host: one process with a relay and its agent, a client to try it, and tools for the relay's database.
//!
//! A deployment's `src/main.rs` calls the `main` that [`deployment!`](crate::deployment) generates, which calls
//! [`main`] here.

mod agent;
mod audit_folder;
mod cli;
mod data_folder;
mod disk_check;
mod environment;
mod forwarded;
mod gateway;
mod job_uploads;
mod jobs;
mod key_file;
mod mailbox;
mod relays;
mod serve;
mod server;
mod signals;
mod tcp_connections;
mod transfers;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use openagents_relay::WritePolicy;

use crate::author::agent::Jobs;
use crate::declaration::DeploymentDeclaration;
use crate::gateway::Gateway;
use cli::arguments::{Arguments, Command, RelayOnlyArguments, RelayOnlyCommand};
use cli::{
    ask, audit, blobs, doctor, inspect, new, relay as relay_commands, schedules, state, terminal, variables,
};

/// The `main` of a deployment: reads the command line, then serves the agent and its relay, submits a job, shows an
/// agent's records, or works on the relay's database. The `policy`, if there is one, decides which events clients may
/// write to the relay; the `gateway`, if there is one, answers `POST /`.
///
/// The exit code is 0 on success, 1 on failure, 2 for a usage error and 130 when interrupted; `ask --help` lists more.
#[must_use]
pub fn main<A: Jobs>(policy: Option<Arc<dyn WritePolicy>>, gateway: Option<Gateway>) -> ExitCode {
    let agent = &A::DECLARATION;
    let arguments: Arguments = match read(agent.name, agent.version, agent.about, variables::of_agent(agent))
    {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    run(async {
        match &arguments.command {
            Some(Command::Ask(ask)) => return Ok(ask::run::<A>(ask).await),
            Some(Command::Doctor(arguments)) => {
                return doctor::run(agent.name, arguments).await.map_err(|error| error.to_string());
            }
            Some(Command::Inspect(inspect)) => {
                inspect::run::<A>(inspect).await.map_err(|error| error.to_string())
            }
            Some(Command::Schedules(arguments)) => {
                schedules::run::<A>(arguments).await.map_err(|error| error.to_string())
            }
            Some(Command::Audit(arguments)) => {
                audit::run::<A>(arguments).await.map_err(|error| error.to_string())
            }
            Some(Command::State(state)) => state::run::<A>(state).await.map_err(|error| error.to_string()),
            Some(Command::Relay(relay)) => {
                let done = relay_commands::run(relay, A::DECLARATION.name).await;
                return done.map_err(|error| error.to_string());
            }
            Some(Command::Blobs(arguments)) => {
                let done = blobs::run(arguments, A::DECLARATION.name).await;
                return done.map_err(|error| error.to_string());
            }
            Some(Command::New(made)) => new::run(made).map_err(|error| error.to_string()),
            Some(Command::Variables) => {
                terminal::say(format_args!("{}", variables::of_agent(agent)));
                Ok(())
            }
            None => {
                let served = serve::run::<A>(&arguments.serve, policy, gateway).await;
                served.map_err(|error| error.to_string())
            }
        }
        .map(|()| ExitCode::SUCCESS)
    })
}

/// The `main` of a deployment without agents: serves the relay, or works on its database. See [`main`].
#[must_use]
pub fn main_of_relay(deployment: DeploymentDeclaration, policy: Option<Arc<dyn WritePolicy>>) -> ExitCode {
    let arguments: RelayOnlyArguments =
        match read(deployment.name, deployment.version, deployment.about, variables::OF_A_RELAY.to_owned()) {
            Ok(arguments) => arguments,
            Err(code) => return code,
        };
    run(async {
        match &arguments.command {
            Some(RelayOnlyCommand::Relay(relay)) => {
                relay_commands::run(relay, deployment.name).await.map_err(|error| error.to_string())
            }
            Some(RelayOnlyCommand::Blobs(arguments)) => {
                blobs::run(arguments, deployment.name).await.map_err(|error| error.to_string())
            }
            Some(RelayOnlyCommand::Doctor(arguments)) => {
                doctor::run(deployment.name, arguments).await.map_err(|error| error.to_string())
            }
            Some(RelayOnlyCommand::New(made)) => {
                new::run(made).map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
            }
            Some(RelayOnlyCommand::Variables) => {
                terminal::say(format_args!("{}", variables::OF_A_RELAY));
                Ok(ExitCode::SUCCESS)
            }
            None => {
                let served = serve::run_relay(&arguments.serve, deployment, policy).await;
                served.map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
            }
        }
    })
}

/// Parses the command line. `help variables` shows these `variables`. Help, version and usage errors are printed and end
/// the program with an exit code.
fn read<T: CommandFactory + FromArgMatches>(
    name: &'static str,
    version: &'static str,
    about: &'static str,
    variables: String,
) -> Result<T, ExitCode> {
    let command = T::command().name(name).version(version).about(about);
    let command = command.mut_subcommand("variables", |command| command.override_help(variables));
    command.try_get_matches().and_then(|matches| T::from_arg_matches(&matches)).map_err(|message| {
        let _ = message.print();
        u8::try_from(message.exit_code()).unwrap_or(2).into()
    })
}

/// Runs a command on a runtime of its own.
fn run(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&format!("the runtime could not be started: {error}")),
    };
    let done = runtime.block_on(command);
    // A handler that blocks its thread must not keep the process alive.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| failure(&error))
}

fn failure(message: &str) -> ExitCode {
    // It may contain text from a relay or an agent.
    terminal::tell(format_args!("error: {}", terminal::foreign(message)));
    ExitCode::FAILURE
}
