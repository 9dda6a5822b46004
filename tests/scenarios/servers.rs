//! The servers for scenarios, shared or of their own, and the report of a failing scenario.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openagents_tests::lnbits::LnbitsServer;
use openagents_tests::server::{Host, Server, binary, folder, log_tail, repository};
use openagents_tests::wire::Client;
use tempfile::TempDir;

/// The deployments under test, each a binary crate of this workspace.
const DEPLOYMENTS: [&str; 3] = ["hello-world", "probe", "clock"];

/// The longest time that a scenario may take.
const LIMIT: Duration = Duration::from_secs(240);

/// The same for a [long](runs_long) run.
const LONG_LIMIT: Duration = Duration::from_secs(1_800);

/// Whether scenarios that gain from it take as long as in `tests/run endurance`.
pub(crate) fn runs_long() -> bool {
    std::env::var_os("OPENAGENTS_TEST_LONG").is_some()
}

type Run = for<'servers> fn(&'servers Servers) -> Pin<Box<dyn Future<Output = ()> + 'servers>>;

/// A test, written once for all hosts.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) module: &'static str,
    pub(crate) function: &'static str,
    pub(crate) hosts: &'static [Host],
    pub(crate) run: Run,
}

impl Scenario {
    /// `folder::subject::behaviour`.
    pub(crate) fn name(&self) -> String {
        let (_crate, subject) = self.module.split_once("::").unwrap_or(("", self.module));
        format!("{subject}::{}", self.function)
    }
}

/// Makes a module's `list()` from its functions; `on [hosts]` limits the following ones to these hosts.
macro_rules! scenarios {
    ($(on $hosts:expr => { $($function:ident),* $(,)? })*) => {
        /// The scenarios of this module.
        pub(crate) fn list() -> Vec<crate::servers::Scenario> {
            vec![$($(crate::servers::Scenario {
                module: module_path!(),
                function: stringify!($function),
                hosts: &$hosts,
                run: |servers| Box::pin($function(servers)),
            },)*)*]
        }
    };
    ($($function:ident),* $(,)?) => {
        scenarios! { on openagents_tests::server::Host::ALL => { $($function),* } }
    };
}
pub(crate) use scenarios;

type Shared = HashMap<(Host, &'static str), Result<Arc<Server>, String>>;

/// The LNbits server, once it was needed.
type SharedLnbits = Option<Result<Arc<LnbitsServer>, String>>;

/// The shared servers, started on first use.
#[derive(Clone, Default)]
pub(crate) struct SharedServers {
    shared: Arc<Mutex<Shared>>,
    counts: Arc<Mutex<HashMap<Host, usize>>>,
    lnbits: Arc<tokio::sync::Mutex<SharedLnbits>>,
}

impl SharedServers {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs one scenario. A failure is reported with its location and the output of its servers.
    pub(crate) fn run(&self, host: Host, scenario: &Scenario) -> Result<(), String> {
        let servers = Servers { host, shared_servers: self.clone(), logs: Mutex::default() };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let limit = if runs_long() { LONG_LIMIT } else { LIMIT };
        let run = AssertUnwindSafe(|| {
            runtime.block_on(async { tokio::time::timeout(limit, (scenario.run)(&servers)).await })
        });
        let failure = match catch_unwind(run) {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(format!("did not end within {limit:?}")),
            Err(_) => Some(LAST_PANIC.take()),
        };
        *lock(&self.counts).entry(host).or_default() += 1;
        let Some(failure) = failure else { return Ok(()) };
        let logs = lock(&servers.logs).iter().map(|log| log_tail(log)).collect::<Vec<_>>().join("\n");
        Err(format!("{failure}\n{logs}"))
    }

    /// How many scenarios ran on a host.
    pub(crate) fn count(&self, host: Host) -> usize {
        lock(&self.counts).get(&host).copied().unwrap_or_default()
    }

    /// Stops every shared server.
    pub(crate) fn end(&self) {
        lock(&self.shared).clear();
        drop(self.lnbits.blocking_lock().take());
    }

    async fn lnbits(&self) -> Result<Arc<LnbitsServer>, String> {
        let mut server = self.lnbits.lock().await;
        match &*server {
            Some(started) => started.clone(),
            None => server.insert(LnbitsServer::start().await.map(Arc::new)).clone(),
        }
    }

    fn shared(&self, host: Host, deployment: &'static str) -> Result<Arc<Server>, String> {
        lock(&self.shared)
            .entry((host, deployment))
            .or_insert_with(|| Server::start(host, deployment).map(Arc::new))
            .clone()
    }
}

/// Starts and provides servers for a scenario, on one host.
pub(crate) struct Servers {
    host: Host,
    shared_servers: SharedServers,
    logs: Mutex<Vec<PathBuf>>,
}

impl Servers {
    pub(crate) fn host(&self) -> Host {
        self.host
    }

    /// The shared `hello-world` server; scenarios use fresh keys to stay independent.
    pub(crate) fn hello_world(&self) -> Arc<Server> {
        self.shared("hello-world")
    }

    /// The shared `probe` server.
    pub(crate) fn probe(&self) -> Arc<Server> {
        self.shared("probe")
    }

    /// The shared `clock` server.
    pub(crate) fn clock(&self) -> Arc<Server> {
        self.shared("clock")
    }

    /// The shared server of an example.
    pub(crate) fn example(&self, deployment: &'static str) -> Arc<Server> {
        self.shared(deployment)
    }

    fn shared(&self, deployment: &'static str) -> Arc<Server> {
        let server =
            self.shared_servers.shared(self.host, deployment).unwrap_or_else(|error| panic!("{error}"));
        lock(&self.logs).push(server.log().to_owned());
        server
    }

    /// A server that this scenario may kill.
    pub(crate) fn own(&self, deployment: &'static str) -> Server {
        self.watched(Server::start(self.host, deployment))
    }

    /// A server for this scenario only, with variables.
    pub(crate) fn own_with(&self, deployment: &'static str, variables: &[(&'static str, String)]) -> Server {
        self.watched(Server::start_with(self.host, deployment, variables))
    }

    /// A Worker without one of the bindings in its `wrangler.toml`.
    pub(crate) fn own_without_binding(&self, deployment: &'static str, binding: &'static str) -> Server {
        self.watched(Server::start_without_binding(deployment, binding))
    }

    /// A server without a given key.
    pub(crate) fn own_without_key(&self, deployment: &'static str) -> Server {
        self.watched(Server::start_without_key(self.host, deployment))
    }

    /// A server on data that is there already, with variables.
    pub(crate) fn own_on(
        &self,
        deployment: &'static str,
        data: TempDir,
        variables: &[(&'static str, String)],
    ) -> Server {
        self.watched(Server::start_on(self.host, deployment, data, variables))
    }

    fn watched(&self, started: Result<Server, String>) -> Server {
        let server = started.unwrap_or_else(|error| panic!("{error}"));
        lock(&self.logs).push(server.log().to_owned());
        server
    }

    /// The shared LNbits server; scenarios make wallets of their own.
    pub(crate) async fn lnbits(&self) -> Arc<LnbitsServer> {
        self.shared_servers.lnbits().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A connection to the shared relay.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.hello_world().url()).await
    }
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A scenario runs on one thread, so its panic is stored there until it is reported.
pub(crate) fn report_panics_to_their_scenario() {
    std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string())));
}

/// Builds the binaries and Workers under test, unless `OPENAGENTS_TEST_BUILT` says that they are built.
pub(crate) fn build_what_is_missing(hosts: &[Host]) -> Result<(), String> {
    if std::env::var_os("OPENAGENTS_TEST_BUILT").is_some() {
        return Ok(());
    }
    // The native binaries are always needed: they contain the client.
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.arg("build").current_dir(repository());
    build.args(DEPLOYMENTS.iter().flat_map(|deployment| ["-p", deployment]));
    build.arg("--target-dir").arg(binary(".."));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    succeed(build)?;
    if hosts.contains(&Host::Workerd) {
        for deployment in DEPLOYMENTS {
            let mut build = Command::new(repository().join("tests/bin/build-worker"));
            build.arg(folder(deployment)).current_dir(repository());
            succeed(build)?;
        }
    }
    Ok(())
}

fn succeed(mut command: Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("cannot run {command:?}: {error}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
