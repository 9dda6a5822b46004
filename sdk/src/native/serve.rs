//! The default command: serves a relay, a blob server and an agent until interrupted.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use openagents_blossom::native::{BlobServer, BlobServerConfig, BlobServerError, BlobServerThread};
use openagents_host::native::{Durability, open_files};
use openagents_host::nostr::keys::npub;
use openagents_host::{Keys, Kind, PublicKey, VerifiedEvent};
use openagents_relay::native::tools::database::{self, DatabaseError};
use openagents_relay::native::{DeliveryError, HandoverSink, RelayServer, RelayServerConfig};
use openagents_relay::{Limits, WritePolicy, native as relay};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::agent::{AgentConfig, AgentShell, StartError};
use super::audit_folder::AuditFolder;
use super::cli::arguments::{self, Serve};
use super::cli::relay::DATABASE;
use super::cli::terminal::say;
use super::data_folder::{
    AGENT_DATABASE, AUDIT_FOLDER, BLOBS_FOLDER, BLOSSOM_DATABASE, DataFolder, DataFolderError,
};
use super::disk_check::DiskCheck;
use super::environment::{EnvironmentError, EnvironmentVariables};
use super::gateway::NativeGateway;
use super::mailbox::AgentMailbox;
use super::relays::{Listeners, Listening};
use super::server::{AgentServer, Server, ServerConfig};
use super::signals::interruption;
use crate::assemble::{self, deployment_of};
use crate::author::agent::Jobs;
use crate::declaration::{AgentDeclaration, DeploymentDeclaration, JobDeclaration, RouteDeclaration};
use crate::gateway::{Gateway, GatewayService};
use crate::http::jobs::JobAgent;
use crate::http::{AgentRoutes, Authority, BlobAdmission, RelayManagement};
use crate::log::{self, JsonLayer, LevelError, LogFormat};
use crate::price::Price;
use crate::relays::RequestFilter;
use crate::settings::names::{AUMOS_API_KEY, LOG_FORMAT, LOG_LEVEL, NOSTR_PRIVATE_KEY, RELAY_PRIVATE_KEY};
use crate::settings::{self, RelaySettings, SettingError};

/// How long running handlers may take to finish when the process is asked to stop.
const RUNS_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the remaining answers may take to reach the relay.
const DELIVERY_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the deployment cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("cannot listen on {address}: {error}{}", hint(error))]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    LogLevel(#[from] LevelError),
    #[error("`{filter}` is not a log filter: {error}")]
    LogFilter { filter: String, error: tracing_subscriber::filter::ParseError },
    #[error("the variable {LOG_FORMAT} must be text or json")]
    LogFormat,
    #[error("cannot determine the working directory: {0}")]
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
    #[error("the blob server cannot start: {0}")]
    Blobs(#[from] BlobServerError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error(
        "the {0} ended by itself, which is a bug; acknowledged data is safe, and a restart continues from there"
    )]
    Ended(&'static str),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ". Another process is listening there: stop it, or choose another port, for example with --listen 127.0.0.1:0 (0 picks a free port)"
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

/// Passes stored job requests to the agent, and deletion requests that may cancel one. Whoever vanishes (NIP-62) is
/// forgotten by the agent, and their blobs are removed.
struct DeploymentSink {
    agent: Option<AgentMailbox>,
    blobs: BlobServer,
}

#[async_trait]
impl HandoverSink for DeploymentSink {
    async fn deliver(&self, event: VerifiedEvent) -> Result<(), DeliveryError> {
        let (id, kind) = (event.id, event.kind);
        if kind == Kind::VANISH {
            self.blobs.remove_owner(event.pubkey, event.created_at).await?;
        }
        if let Some(agent) = &self.agent {
            let admission = agent.take(event, None).await?;
            tracing::info!(%id, %kind, "handed over: {admission}");
        }
        Ok(())
    }
}

/// Serves an agent and its relay.
pub(super) async fn run<A: Jobs>(
    arguments: &Serve,
    policy: Option<Arc<dyn WritePolicy>>,
    gateway: Option<Gateway>,
) -> Result<(), ServeError> {
    let AgentDeclaration { variables, secrets, .. } = A::DECLARATION;
    let declared: Vec<_> =
        variables.iter().map(|variable| variable.name).chain(secrets.iter().copied()).collect();
    let startup = Startup::prepare(arguments, deployment_of::<A>(), policy, &declared).await?;
    let gateway = gateway.map(|gateway| startup.gateway(gateway)).transpose()?;
    if gateway.is_none() {
        startup.warn_of_unused_gateway_variables();
    }
    startup.check_relay_schema()?;
    let key = startup.agent_key()?;
    let blobs = startup.start_blobs(Some(key.keys.public_key())).await?;
    let agent = ServedAgent::start::<A>(&startup, key, blobs.0.clone()).await?;
    startup.serve(Some(agent), blobs, gateway).await
}

/// Serves a relay without agents.
pub(super) async fn run_relay(
    arguments: &Serve,
    deployment: DeploymentDeclaration,
    policy: Option<Arc<dyn WritePolicy>>,
) -> Result<(), ServeError> {
    let startup = Startup::prepare(arguments, deployment, policy, &[]).await?;
    startup.warn_of_unused_gateway_variables();
    startup.check_relay_schema()?;
    let blobs = startup.start_blobs(None).await?;
    startup.serve(None, blobs, None).await
}

/// A deployment whose settings have been read and whose port is bound, before it is served.
struct Startup<'a> {
    arguments: &'a Serve,
    deployment: DeploymentDeclaration,
    variables: EnvironmentVariables,
    data: DataFolder,
    listener: TcpListener,
    address: SocketAddr,
    relay: RelaySettings,
    trusted_proxies: BTreeSet<IpAddr>,
    durability: Durability,
}

impl<'a> Startup<'a> {
    async fn prepare(
        arguments: &'a Serve,
        deployment: DeploymentDeclaration,
        policy: Option<Arc<dyn WritePolicy>>,
        declared: &[&'static str],
    ) -> Result<Self, ServeError> {
        let working_directory = std::env::current_dir().map_err(ServeError::WorkingDirectory)?;
        let variables = EnvironmentVariables::read(&working_directory)?;
        log_to_standard_error(arguments, &variables)?;
        variables.check_names(declared)?;
        open_files::raise_limit();
        variables.warn_of_readable_secrets(&[NOSTR_PRIVATE_KEY, RELAY_PRIVATE_KEY]);
        let data = arguments.data.clone().unwrap_or_else(|| DataFolder::default_path(deployment.name));
        let data = DataFolder::take(&data)?;
        let usual = Limits::default();
        let mut relay = RelaySettings::read(&deployment, &usual, |name| variables.variable(name), policy)?;
        warn_of_few_open_files(relay.config.admission.connections.max_connections);
        let trusted_proxies = settings::trusted_proxies(|name| variables.variable(name))?;
        // Bind the port first: nothing that another process may be using is touched before it is clear that this one
        // can serve.
        let address = arguments.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|error| ServeError::Listen { address, error })?;
        let address = listener.local_addr().map_err(|error| ServeError::Listen { address, error })?;
        relay.config.access.hosts.extend(own_hosts(address.ip()));
        let durability = match arguments.durability {
            arguments::Durability::Power => Durability::Full,
            arguments::Durability::Process => Durability::Process,
        };
        Ok(Self {
            arguments,
            deployment,
            variables,
            data,
            listener,
            address,
            relay,
            trusted_proxies,
            durability,
        })
    }

    /// Fails if this program cannot use the relay's database. Checked before the agent starts jobs: a supervisor may start
    /// the program again and again, and each time the running jobs would lose an attempt.
    fn check_relay_schema(&self) -> Result<(), ServeError> {
        match database::open_to_read(&self.data.path().join(DATABASE)) {
            Err(DatabaseError::Schema(error)) => Err(relay::StartError::from(error).into()),
            // Whatever else is wrong is found when the relay starts; a missing database is created then.
            _ => Ok(()),
        }
    }

    /// The agent's key, from a variable or from the data folder, where it is generated if missing.
    fn agent_key(&self) -> Result<AgentKey, ServeError> {
        if let Some(keys) = settings::agent_keys(|name| self.variables.variable(name))? {
            return Ok(AgentKey { keys, note: format!("from the variable {NOSTR_PRIVATE_KEY}") });
        }
        let found = self.data.agent_key()?;
        let note = if found.is_new { " (new: keep it, it is the agent's identity)" } else { "" };
        Ok(AgentKey { keys: found.keys, note: format!("{}{note}", found.path.display()) })
    }

    /// A declared gateway with its settings.
    fn gateway(&self, gateway: Gateway) -> Result<GatewayService, SettingError> {
        let config = settings::gateway_config(|name| self.variables.variable(name))?;
        self.variables.warn_of_readable_secrets(&[AUMOS_API_KEY]);
        Ok(GatewayService { gateway, config })
    }

    fn warn_of_unused_gateway_variables(&self) {
        if let Some(warning) = settings::unused_gateway_variables(|name| self.variables.variable(name)) {
            tracing::warn!("{warning}");
        }
    }

    /// Starts the blob server. Before the agent: like the relay's, its data may be of another release.
    async fn start_blobs(
        &self,
        agent: Option<PublicKey>,
    ) -> Result<(BlobServer, BlobServerThread), ServeError> {
        let variable = |name: &str| self.variables.variable(name);
        let hosts = own_hosts(self.address.ip());
        let mut blossom = settings::blossom_config(variable, &self.relay.operators, agent, hosts)?;
        blossom.accepts_expected &= self.deployment.takes_uploads();
        Ok(BlobServer::start(BlobServerConfig {
            database: self.data.path().join(BLOSSOM_DATABASE),
            folder: self.data.path().join(BLOBS_FOLDER),
            durability: self.durability,
            forget_memory: self.arguments.forget_memory,
            blossom,
        })
        .await?)
    }

    /// The hosts and ports at which clients reach this relay.
    fn own_authorities(&self) -> BTreeSet<Authority> {
        let public = self.variables.variable(settings::names::RELAY_URL);
        let listening = own_hosts(self.address.ip()).into_iter();
        listening
            .map(|host| Authority::new(host, Some(self.address.port())))
            .chain(public.as_deref().and_then(Authority::of))
            .collect()
    }

    /// Serves until interrupted, then stops in order: connections first, databases last.
    async fn serve(
        self,
        agent: Option<ServedAgent>,
        (blobs, mut blob_index): (BlobServer, BlobServerThread),
        gateway: Option<GatewayService>,
    ) -> Result<(), ServeError> {
        let interrupted = interruption().map_err(ServeError::Signals)?;
        let own = self.own_authorities();
        let management = RelayManagement::new(self.relay.operators, own, self.relay.url);
        let limits_loopback = self.relay.config.admission.connections.limits_loopback;
        let relay_rates = self.relay.config.admission.rates.clone();
        let max_message_bytes = self.relay.config.limits.max_message_length;
        let mut relay_config = self.relay.config;
        relay_config.handover.addressed.to = agent.as_ref().map(|agent| agent.greeting.key);
        let config = RelayServerConfig {
            durability: self.durability,
            relay: relay_config,
            information: self.relay.information.clone(),
            forget_memory: self.arguments.forget_memory,
            ..RelayServerConfig::new(self.data.path().join(DATABASE))
        };
        let sink = Arc::new(DeploymentSink {
            agent: agent.as_ref().map(|agent| agent.shell.mailbox.clone()),
            blobs: blobs.clone(),
        });
        let mut relay = RelayServer::start(config, sink).await?;
        let (mut shell, mut listeners, mut server_of_agent, mut greeting) = (None, None, None, None);
        if let Some(mut agent) = agent {
            agent.shell.answer_through(relay.handle());
            let mailbox = agent.shell.mailbox.clone();
            listeners = Some(Listeners::start(agent.external_relays, agent.listening, &mailbox));
            let audit = agent.audit;
            let gateway = gateway.map(|gateway| NativeGateway::new(gateway, mailbox.clone(), audit.clone()));
            let jobs = JobAgent::new(agent.routes.access().clone(), &self.deployment, max_message_bytes);
            server_of_agent = Some(AgentServer { mailbox, routes: agent.routes, gateway, audit, jobs });
            greeting = Some(agent.greeting);
            shell = Some(agent.shell);
        }
        let config = ServerConfig {
            deployment: self.deployment.clone(),
            relay: relay.handle(),
            information: self.relay.information,
            agent: server_of_agent,
            management,
            blobs,
            blob_admission: BlobAdmission::new(relay_rates),
            trusted_proxies: self.trusted_proxies,
            has_warned_of_proxy: AtomicBool::new(false),
            limits_loopback,
            disk: DiskCheck::of(self.data.path()),
        };
        let server = Server::start(self.listener, config);
        greet(&self.deployment, self.arguments, self.address, self.data.path(), greeting.as_ref());

        tokio::select! {
            () = interrupted => {}
            () = ended(shell.as_mut()) => return Err(ServeError::Ended("agent")),
            () = relay.ended() => return Err(ServeError::Ended("relay")),
            () = blob_index.ended() => return Err(ServeError::Ended("blob server")),
        }
        match shell {
            Some(_) => say(format_args!(
                "\nStopping: running jobs get {} s to finish; interrupt again to end at once.",
                RUNS_SHUTDOWN_TIMEOUT.as_secs()
            )),
            None => say(format_args!("\nStopping; interrupt again to end at once.")),
        }
        let again = interruption().map_err(ServeError::Signals)?;
        let stopping = async {
            server.stop_accepting();
            if let Some(listeners) = listeners {
                listeners.stop().await;
            }
            if let Some(mut agent) = shell {
                if !agent.finish_running(RUNS_SHUTDOWN_TIMEOUT).await {
                    tracing::warn!("some jobs did not finish; they run again after the next start");
                }
                agent.stop(DELIVERY_SHUTDOWN_TIMEOUT).await;
            }
            relay.shutdown().await;
            server.stop().await;
            blob_index.stop().await;
        };
        tokio::select! {
            () = stopping => say(format_args!("Stopped.")),
            () = again => say(format_args!("Stopped at once.")),
        }
        Ok(())
    }
}

/// Completes when the agent has ended without being stopped.
async fn ended(agent: Option<&mut AgentShell>) {
    match agent {
        Some(agent) => agent.ended().await,
        None => std::future::pending().await,
    }
}

/// The agent's key.
struct AgentKey {
    keys: Keys,
    /// Where it comes from.
    note: String,
}

/// A started agent, and what its server and its listeners need.
struct ServedAgent {
    shell: AgentShell,
    routes: AgentRoutes,
    listening: Listening,
    external_relays: Vec<String>,
    audit: AuditFolder,
    greeting: AgentGreeting,
}

/// What is printed about an agent when it starts.
struct AgentGreeting {
    key: PublicKey,
    /// Where its key comes from.
    key_note: String,
    /// One line for each of its jobs.
    jobs: Vec<String>,
    /// One line for each of its HTTP routes.
    routes: Vec<String>,
}

impl ServedAgent {
    async fn start<A: Jobs>(
        startup: &Startup<'_>,
        key: AgentKey,
        blobs: BlobServer,
    ) -> Result<Self, ServeError> {
        let AgentKey { keys, note: key_note } = key;
        let variable = |name: &str| startup.variables.variable(name);
        let settings = settings::agent_settings::<A>(variable)?;
        startup.variables.warn_of_readable_secrets(A::DECLARATION.secrets);
        let key = keys.public_key();
        let operators = startup.relay.operators.clone();
        // Without `RELAY_URL`, the agent accepts any host.
        let own = if startup.relay.url.is_some() { startup.own_authorities() } else { BTreeSet::new() };
        let rates = startup.relay.config.admission.rates.clone();
        let routes = assemble::agent_routes::<A>(&settings, operators, &keys, own, rates);
        let listening = Listening {
            filter: RequestFilter::of::<A>(key),
            reach: settings.reach,
            keys: keys.clone(),
            max_age: A::DECLARATION.max_age,
        };
        let external_relays = settings.external_relays();
        let has_wallet = settings.wallet.wallet().is_some();
        let line = |job: &JobDeclaration| {
            let price = match job.price {
                Price::FREE => String::new(),
                price if has_wallet => format!(" ({price})"),
                price => format!(" ({price}, but refused: the variable WALLET is not set)"),
            };
            format!("{} {}{price}: {}", job.kind, job.name, job.about)
        };
        let jobs = A::HANDLERS.iter().map(|handler| line(&handler.declaration)).collect();
        let audit = AuditFolder::open(startup.data.path().join(AUDIT_FOLDER), startup.durability);
        let shell = AgentShell::start::<A>(AgentConfig {
            database: startup.data.path().join(AGENT_DATABASE),
            durability: startup.durability,
            keys,
            forget_memory: startup.arguments.forget_memory,
            settings,
            blobs,
            audit: audit.clone(),
            own_relay: startup.address,
        })
        .await?;
        let line = |route: &RouteDeclaration| format!("{} {}  {}", route.method, route.path, route.about);
        let routes_told =
            A::ROUTES.iter().map(|route| line(&route.declaration).trim_end().to_owned()).collect();
        let greeting = AgentGreeting { key, key_note, jobs, routes: routes_told };
        Ok(Self { shell, routes, listening, external_relays, audit, greeting })
    }
}

/// The hosts of this relay besides that of its URL. The URL that clients sign must name one of them (NIP-42). On a
/// loopback address these include the usual names.
fn own_hosts(listening: IpAddr) -> Vec<String> {
    let mut hosts = vec![listening.to_string()];
    if listening.is_loopback() || listening.is_unspecified() {
        hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    }
    hosts
}

/// Logs a warning if the system lets this process have fewer connections than its settings.
fn warn_of_few_open_files(max_connections: usize) {
    if let Some(limit) = open_files::limit()
        && usize::try_from(limit).is_ok_and(|limit| limit < max_connections)
    {
        tracing::warn!(
            limit,
            max_connections,
            "the system's limit of open files allows fewer connections than {}; `ulimit -Hn` shows it",
            settings::names::RELAY_MAX_CONNECTIONS
        );
    }
}

fn log_to_standard_error(arguments: &Serve, variables: &EnvironmentVariables) -> Result<(), ServeError> {
    let set = |name| variables.variable(name).filter(|value| !value.is_empty());
    let filter = arguments.log_level.clone().or_else(|| set(LOG_LEVEL)).unwrap_or_else(|| "info".to_owned());
    log::check_filter(&filter)?;
    let parsed = EnvFilter::try_new(&filter);
    let parsed = parsed.map_err(|error| ServeError::LogFilter { filter, error })?;
    let format = match (arguments.log_format, set(LOG_FORMAT)) {
        (Some(format), _) => format.into(),
        (None, Some(text)) => text.parse::<LogFormat>().map_err(|_| ServeError::LogFormat)?,
        (None, None) => LogFormat::default(),
    };
    // A program that embeds this one may have set its own.
    let _ = match format {
        LogFormat::Json => tracing_subscriber::registry().with(parsed).with(JsonLayer).try_init(),
        LogFormat::Text => tracing_subscriber::fmt()
            .with_env_filter(parsed)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .finish()
            .try_init(),
    };
    Ok(())
}

fn greet(
    deployment: &DeploymentDeclaration,
    arguments: &Serve,
    address: SocketAddr,
    data: &Path,
    agent: Option<&AgentGreeting>,
) {
    say(format_args!("{} {} — {}\n", deployment.name, deployment.version, deployment.about));
    let npub = agent.map(|agent| npub(&agent.key));
    if let Some(npub) = &npub {
        say(format_args!("  agent     {npub}"));
    }
    say(format_args!("  page      http://{address}/"));
    say(format_args!("  relay     ws://{address}"));
    say(format_args!("  blobs     http://{address}"));
    if let Some(npub) = &npub {
        say(format_args!("  manifest  http://{address}/agent/{npub}/manifest.json"));
    }
    for job in agent.iter().flat_map(|agent| &agent.jobs) {
        say(format_args!("  job       {job}"));
    }
    for route in agent.iter().flat_map(|agent| &agent.routes) {
        say(format_args!("  route     {route}"));
    }
    say(format_args!("  data      {}", data.display()));
    if let Some(agent) = agent {
        say(format_args!("  key       {}", agent.key_note));
        let is_default = arguments.listen.port() == 8787 && arguments.listen.ip().is_loopback();
        let relay = if is_default { String::new() } else { format!(" --relay ws://{address}") };
        say(format_args!("\nTry it:     {} ask Ada{relay}", own_command()));
    } else {
        say(format_args!("  health    http://{address}/health\n"));
    }
    say(format_args!("Stop it:    Ctrl-C\n"));
}

/// The command that started this program, for the line that shows how to try it.
fn own_command() -> String {
    if let Ok(package) = std::env::var("CARGO_PKG_NAME") {
        return format!("cargo run -p {package} --");
    }
    std::env::args().next().unwrap_or_else(|| "openagents".to_owned())
}
