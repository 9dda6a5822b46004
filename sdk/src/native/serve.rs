//! The default command: serves an agent and its relay until it is interrupted.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::native::Durability;
use openagents_host::nostr::keys::npub;
use openagents_host::{PublicKey, VerifiedEvent};
use openagents_relay::native::{DeliveryError, HandoverSink, RelayServer, RelayServerConfig};
use openagents_relay::{Limits, WritePolicy, native as relay};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::agent::{AgentConfig, AgentShell, StartError};
use super::cli::arguments::{self, Serve};
use super::cli::terminal::say;
use super::data_folder::{DataFolder, DataFolderError};
use super::environment::{EnvironmentError, EnvironmentVariables};
use super::mailbox::AgentMailbox;
use super::relays::{Listeners, Listening};
use super::server::{Server, ServerConfig};
use super::signals::interruption;
use crate::assemble;
use crate::author::agent::Jobs;
use crate::http::RelayManagement;
use crate::relays::RequestFilter;
use crate::settings::{self, RelaySettings, SettingError};

/// How long running handlers may take to finish when the process is asked to end.
const RUNS_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answers that are left may take to reach the relay.
const DELIVERY_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the agent cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("cannot listen on {address}: {error}{}", hint(error))]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("`{level}` is no log level: {error}. Write off, error, warn, info, debug or trace")]
    LogLevel { level: String, error: tracing_subscriber::filter::ParseError },
    #[error("the working directory cannot be found: {0}")]
    WorkingDirectory(std::io::Error),
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("the agent cannot start: {0}")]
    Agent(#[from] StartError),
    #[error("the relay cannot start: {0}")]
    Relay(#[from] relay::StartError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error(
        "the {0} ended by itself, which is a bug; what it acknowledged is safe, and a restart goes on from there"
    )]
    Ended(&'static str),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ". Another process listens there: stop it, or choose another port with --listen 127.0.0.1:0 (0 takes a free one)"
        }
        std::io::ErrorKind::PermissionDenied => {
            ". Ports below 1024 need privileges: choose another with --listen"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address: choose another with --listen"
        }
        _ => "",
    }
}

/// Gives the agent the requests that its relay stores, and the deletions that may be of one.
struct AgentSink(AgentMailbox);

#[async_trait]
impl HandoverSink for AgentSink {
    async fn deliver(&self, event: VerifiedEvent) -> Result<(), DeliveryError> {
        let (id, kind) = (event.id, event.kind);
        let admission = self.0.take(event, None).await?;
        tracing::info!(%id, %kind, ?admission, "handed over");
        Ok(())
    }
}

pub(super) async fn run<A: Jobs>(
    arguments: &Serve,
    policy: Option<Arc<dyn WritePolicy>>,
) -> Result<(), ServeError> {
    log_to_standard_error(&arguments.log_level)?;
    let working_directory = std::env::current_dir().map_err(ServeError::WorkingDirectory)?;
    let variables = EnvironmentVariables::read(&working_directory)?;
    let data = arguments.data.clone().unwrap_or_else(|| PathBuf::from("data").join(A::DECLARATION.name));
    let data = DataFolder::take(&data)?;
    let given_keys = settings::agent_keys(|name| variables.variable(name))?;
    let (keys, key_note) = match given_keys {
        Some(keys) => (keys, format!("from the variable {}", settings::names::NOSTR_PRIVATE_KEY)),
        None => {
            let found = data.agent_key()?;
            let note = if found.is_new { " (new: keep it, it is the agent's identity)" } else { "" };
            (found.keys, format!("{}{note}", found.path.display()))
        }
    };
    let agent_settings = settings::agent_settings::<A>(|name| variables.variable(name))?;
    let mut relay_settings =
        RelaySettings::read::<A>(&Limits::default(), |name| variables.variable(name), policy)?;
    let trusted_proxies = settings::trusted_proxies(|name| variables.variable(name))?;
    // Nothing is touched that another process might be using before it is clear that this one can serve.
    let address = arguments.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen { address, error })?;
    let hosts = &mut relay_settings.config.access.hosts;
    let is_public = !hosts.is_empty();
    hosts.extend(own_hosts(address.ip()));
    // Whoever has given it no address reaches it by any that this machine has.
    let operator_hosts = if is_public { hosts.clone() } else { BTreeSet::new() };
    let operators = relay_settings.operators;
    let management = RelayManagement::new(operators.clone(), relay_settings.config.access.clone());
    let interrupted = interruption().map_err(ServeError::Signals)?;

    let durability = match arguments.durability {
        arguments::Durability::Power => Durability::Full,
        arguments::Durability::Process => Durability::Process,
    };
    let public_key = keys.public_key();
    let routes = assemble::agent_routes::<A>(&agent_settings, operators, &keys, operator_hosts);
    let reach = agent_settings.reach;
    let external_relays = agent_settings.external_relays();
    let mut agent = AgentShell::start::<A>(AgentConfig {
        database: data.path().join("agent.sqlite"),
        durability,
        keys,
        forget_memory: arguments.forget_memory,
        wallet: None,
        settings: agent_settings,
        own_relay: address,
    })
    .await?;
    let relay = RelayServerConfig {
        durability,
        relay: relay_settings.config,
        information: relay_settings.information,
        forget_memory: arguments.forget_memory,
        ..RelayServerConfig::new(data.path().join("relay.sqlite"))
    };
    let mut relay = RelayServer::start(relay, Arc::new(AgentSink(agent.mailbox.clone()))).await?;
    agent.answer_through(relay.handle());
    let listening =
        Listening { filter: RequestFilter::of::<A>(public_key), reach, max_age: A::DECLARATION.max_age };
    let listeners = Listeners::start(external_relays, listening, &agent.mailbox);
    let config = ServerConfig {
        relay: relay.handle(),
        agent: agent.mailbox.clone(),
        routes,
        management,
        trusted_proxies,
    };
    let server = Server::start(listener, config);
    greet::<A>(arguments, address, &public_key, data.path(), &key_note);

    tokio::select! {
        () = interrupted => {}
        () = agent.ended() => return Err(ServeError::Ended("agent")),
        () = relay.ended() => return Err(ServeError::Ended("relay")),
    }
    say(format_args!(
        "\nStopping: running jobs get {} s to finish; interrupt again to end at once.",
        RUNS_SHUTDOWN_TIMEOUT.as_secs()
    ));
    let again = interruption().map_err(ServeError::Signals)?;
    let stopping = async {
        server.stop_accepting();
        listeners.stop().await;
        if !agent.finish_running(RUNS_SHUTDOWN_TIMEOUT).await {
            tracing::warn!("some jobs did not finish; they are done again at the next start");
        }
        agent.stop(DELIVERY_SHUTDOWN_TIMEOUT).await;
        relay.shutdown().await;
        server.stop().await;
    };
    tokio::select! {
        () = stopping => say(format_args!("Stopped.")),
        () = again => say(format_args!("Ended at once.")),
    }
    Ok(())
}

/// Under which hosts this relay is reached beside the one of its URL: what its clients sign has to name one of them
/// (NIP-42). On this machine it has the names of this machine.
fn own_hosts(listening: IpAddr) -> Vec<String> {
    let mut hosts = vec![listening.to_string()];
    if listening.is_loopback() || listening.is_unspecified() {
        hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    }
    hosts
}

fn log_to_standard_error(level: &str) -> Result<(), ServeError> {
    let filter =
        EnvFilter::try_new(level).map_err(|error| ServeError::LogLevel { level: level.to_owned(), error })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A program that embeds this one may have set its own.
    let _ = subscriber.try_init();
    Ok(())
}

fn greet<A: Jobs>(arguments: &Serve, address: SocketAddr, key: &PublicKey, data: &Path, key_note: &str) {
    let declaration = A::DECLARATION;
    let npub = npub(key);
    say(format_args!("{} {} — {}\n", declaration.name, declaration.version, declaration.about));
    say(format_args!("  agent     {npub}"));
    say(format_args!("  relay     ws://{address}"));
    say(format_args!("  manifest  http://{address}/agent/{npub}/manifest.json"));
    for job in A::HANDLERS {
        let job = job.declaration;
        say(format_args!("  job       {} {}: {}", job.kind, job.name, job.about));
    }
    say(format_args!("  data      {}", data.display()));
    say(format_args!("  key       {key_note}\n"));
    let elsewhere = if arguments.listen.port() == 8787 && arguments.listen.ip().is_loopback() {
        String::new()
    } else {
        format!(" --relay ws://{address}")
    };
    say(format_args!("Try it:     {} ask Ada{elsewhere}", own_command()));
    say(format_args!("Stop it:    Ctrl-C\n"));
}

/// How this program was started, so that the line to try it can be copied.
fn own_command() -> String {
    if let Ok(package) = std::env::var("CARGO_PKG_NAME") {
        return format!("cargo run -p {package} --");
    }
    std::env::args().next().unwrap_or_else(|| "openagents".to_owned())
}
