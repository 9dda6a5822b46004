//! Servers under test: an agent's binary on this machine, or the same agent in workerd.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Keys, PublicKey};
use tempfile::TempDir;

use crate::process::{PATIENCE, Process};

/// How often an eviction is tried.
const MAX_EVICTION_ATTEMPTS: u32 = 3;

/// Where an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// The agent's own binary.
    Native,
    /// The same binary, which drops its memory after every event, as a Durable Object may.
    NativeForgetful,
    /// The agent's Worker in Cloudflare's runtime, run by Miniflare.
    Workerd,
}

impl Host {
    /// Every host, in the order of testing.
    pub const ALL: [Self; 3] = [Self::Native, Self::NativeForgetful, Self::Workerd];

    /// The name in `OPENAGENTS_TEST_HOSTS` and in front of a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeForgetful => "native-forgetful",
            Self::Workerd => "workerd",
        }
    }
}

/// A Durable Object.
#[derive(Debug, Clone, Copy)]
pub enum Object {
    /// The relay.
    Relay,
    /// The agent.
    Agent,
}

/// A running server with its own data folder and identity.
#[derive(Debug)]
pub struct Server {
    host: Host,
    deployment: &'static str,
    keys: Option<Keys>,
    variables: Vec<(&'static str, String)>,
    /// The binding of `wrangler.toml` that is left out.
    without: Option<&'static str>,
    data: TempDir,
    log: PathBuf,
    process: Mutex<Process>,
    address: String,
}

impl Server {
    /// Starts `deployment` (a binary crate of this workspace) with a fresh identity and no data.
    ///
    /// # Errors
    /// When it does not start; the error has the end of its output.
    pub fn start(host: Host, deployment: &'static str) -> Result<Self, String> {
        Self::start_with(host, deployment, &[])
    }

    /// Starts `deployment` with a fresh identity, no data, and these variables.
    ///
    /// # Errors
    /// When it does not start; the error has the end of its output.
    pub fn start_with(
        host: Host,
        deployment: &'static str,
        variables: &[(&'static str, String)],
    ) -> Result<Self, String> {
        Self::start_as(host, deployment, Some(Keys::generate()), variables, empty_folder()?)
    }

    /// As [`start_with`](Self::start_with), for a server that is not well then: it only has to listen.
    ///
    /// # Errors
    /// When it does not listen; the error has the end of its output.
    pub fn start_unwell_with(
        host: Host,
        deployment: &'static str,
        variables: &[(&'static str, String)],
    ) -> Result<Self, String> {
        let mut server = Self::new(host, deployment, Some(Keys::generate()), variables, empty_folder()?)?;
        server.address = server.launch_until(|_| Ok(()))?;
        Ok(server)
    }

    /// Starts the Worker of `deployment` without one of the bindings in its `wrangler.toml`.
    ///
    /// # Errors
    /// When it does not start; the error has the end of its output.
    pub fn start_without_binding(deployment: &'static str, binding: &'static str) -> Result<Self, String> {
        let mut server = Self::new(Host::Workerd, deployment, Some(Keys::generate()), &[], empty_folder()?)?;
        server.without = Some(binding);
        server.address = server.launch()?;
        Ok(server)
    }

    /// Starts `deployment` without a key, so that it generates and keeps one.
    ///
    /// # Errors
    /// When it does not start; the error has the end of its output.
    pub fn start_without_key(host: Host, deployment: &'static str) -> Result<Self, String> {
        Self::start_as(host, deployment, None, &[], empty_folder()?)
    }

    /// Starts `deployment` on data that is there already, the agent's key among it, with these variables.
    ///
    /// # Errors
    /// Says why it did not come up, with the end of its output.
    pub fn start_on(
        host: Host,
        deployment: &'static str,
        data: TempDir,
        variables: &[(&'static str, String)],
    ) -> Result<Self, String> {
        Self::start_as(host, deployment, None, variables, data)
    }

    fn start_as(
        host: Host,
        deployment: &'static str,
        keys: Option<Keys>,
        variables: &[(&'static str, String)],
        data: TempDir,
    ) -> Result<Self, String> {
        let mut server = Self::new(host, deployment, keys, variables, data)?;
        server.address = server.launch()?;
        Ok(server)
    }

    /// A server that is not started yet.
    fn new(
        host: Host,
        deployment: &'static str,
        keys: Option<Keys>,
        variables: &[(&'static str, String)],
        data: TempDir,
    ) -> Result<Self, String> {
        let log = log_path(host, deployment)?;
        Ok(Self {
            host,
            deployment,
            keys,
            variables: [&usual_variables(deployment), variables].concat(),
            without: None,
            data,
            log,
            process: Mutex::new(Process::default()),
            address: "127.0.0.1:0".to_owned(),
        })
    }

    /// The host that it runs on.
    pub fn host(&self) -> Host {
        self.host
    }

    /// The relay's URL.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The agent's keys, if it was given any.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// The agent's public key.
    ///
    /// # Panics
    /// When it was started without a key.
    pub fn agent(&self) -> PublicKey {
        self.keys.as_ref().expect("started with a key").public_key()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The output of all its processes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The output of all its processes, once it has this text: what a Worker logs is written after its response.
    pub async fn log_with(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
            if log.contains(text) || Instant::now() > deadline {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last `npub1…` in its output.
    pub fn printed_npub(&self) -> Option<String> {
        let log = fs::read_to_string(&self.log).ok()?;
        let start = log.rfind("npub1")?;
        Some(log[start..].chars().take_while(char::is_ascii_alphanumeric).collect())
    }

    /// Kills it, and starts it again on the same port with the same data.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn kill_and_restart(&self) -> Result<(), String> {
        self.process().kill();
        self.launch().map(|_| ())
    }

    /// Kills it for good.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Stops it, and starts it again on the same port with the same data.
    ///
    /// # Errors
    /// When it does not stop by itself or does not start again.
    pub fn stop_and_restart(&self) -> Result<(), String> {
        if self.host == Host::Workerd {
            return self.process().command("restart").map(|_| ());
        }
        self.process().interrupt()?;
        self.launch().map(|_| ())
    }

    /// Stops it, calls `change` with the data folder, and starts it again on the same port.
    ///
    /// # Errors
    /// When it does not stop by itself, `change` fails, or it does not start again.
    pub fn while_stopped(&self, change: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        self.stop()?;
        change(self.data.path())?;
        self.launch().map(|_| ())
    }

    /// As [`while_stopped`](Self::while_stopped), for a server that is then not well: it only has to listen.
    ///
    /// # Errors
    /// Says why it did not stop by itself, what `change` said, or why it does not listen.
    pub fn while_stopped_and_unwell(
        &self,
        change: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        self.stop()?;
        change(self.data.path())?;
        self.launch_until(|_| Ok(())).map(|_| ())
    }

    fn stop(&self) -> Result<(), String> {
        if self.host == Host::Workerd {
            self.process().command("stop")?;
            self.process().kill();
            Ok(())
        } else {
            self.process().interrupt()
        }
    }

    /// The processes whose memory is the server's.
    pub fn pids(&self) -> Vec<u32> {
        self.process().serving()
    }

    /// Evicts an object from memory; its sockets stay open and hibernate.
    ///
    /// # Errors
    /// When the runtime refuses, or the host has no objects.
    pub fn hibernate(&self, object: Object) -> Result<(), String> {
        self.evict(object, "hibernate")
    }

    /// Evicts an object from memory and closes its sockets.
    ///
    /// # Errors
    /// When the runtime refuses, or the host has no objects.
    pub fn evict_and_close(&self, object: Object) -> Result<(), String> {
        self.evict(object, "close")
    }

    /// Ends all objects at once, in the middle of their work; an eviction would wait for that.
    ///
    /// # Errors
    /// When the host has no objects.
    pub fn abort_objects(&self) -> Result<(), String> {
        if self.host != Host::Workerd {
            return Err("only workerd has objects".to_owned());
        }
        self.process().command("abort").map(|_| ())
    }

    fn evict(&self, object: Object, sockets: &str) -> Result<(), String> {
        if self.host != Host::Workerd {
            return Err("only workerd evicts".to_owned());
        }
        let class = match object {
            Object::Relay => "RelayDurableObject",
            Object::Agent => "AgentDurableObject",
        };
        // An object that the runtime has evicted by itself cannot be evicted again, which is just as good.
        let command = format!("evict {class} * {sockets}");
        // A shared server's object is busy with the messages of other scenarios: the runtime waits ten seconds, then gives up.
        // Or the connection for commands was closed just as this one was sent.
        let is_busy = |error: &String| error.contains("active references") || error.contains("fetch failed");
        for _ in 1..MAX_EVICTION_ATTEMPTS {
            match self.process().command(&command) {
                Err(error) if is_busy(&error) => {}
                evicted => return evicted.map(|_| ()),
            }
        }
        self.process().command(&command).map(|_| ())
    }

    /// Calls an object directly, as no client can. Returns the status and the body of the response.
    ///
    /// # Errors
    /// When the host has no such object.
    pub fn ask_object(&self, class: &str, name: &str, path: &str) -> Result<(u64, String), String> {
        let answer = self.process().command(&format!("fetch {class} {name} {path}"))?;
        let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let status = answer["status"].as_u64().ok_or("an answer without a status")?;
        Ok((status, answer["body"].as_str().unwrap_or_default().to_owned()))
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self) -> Result<String, String> {
        self.launch_until(wait_for_health)
    }

    fn launch_until(&self, is_up: impl FnOnce(&str) -> Result<(), String>) -> Result<String, String> {
        let command = match self.host {
            Host::Native | Host::NativeForgetful => self.native_command(),
            Host::Workerd => self.workerd_command(),
        };
        let mut process = Process::spawn(command, &self.log, self.host == Host::Workerd)?;
        let started =
            process.wait_for_address().and_then(|address| is_up(&address).map(|()| address)).map_err(
                |error| format!("{} on {}: {error}\n{}", self.deployment, self.host.name(), self.log_tail()),
            );
        *self.process() = process;
        started
    }

    fn native_command(&self) -> Command {
        let mut command = Command::new(binary(self.deployment));
        command.args(["--listen", &self.address, "--data"]).arg(self.data.path());
        if self.host == Host::NativeForgetful {
            command.arg("--forget-memory");
        }
        match &self.keys {
            Some(keys) => command.env("NOSTR_PRIVATE_KEY", keys.secret_key().to_secret_hex()),
            None => command.env_remove("NOSTR_PRIVATE_KEY"),
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // So that it does not find a .dev.vars of this checkout.
        command.current_dir(self.data.path());
        command
    }

    fn workerd_command(&self) -> Command {
        let port = self.address.rsplit(':').next().unwrap_or("0");
        let tests = repository().join("tests");
        // What tests/bin/serve-worker runs after building, which has been done already.
        let mut command = Command::new(tests.join("bin/with-tools"));
        command.arg("node").arg(tests.join("worker/serve.mjs")).arg(folder(self.deployment));
        command.args(["--port", port, "--control", "--data"]).arg(self.data.path());
        if let Some(keys) = &self.keys {
            command.arg("--var").arg(format!("NOSTR_PRIVATE_KEY={}", keys.secret_key().to_secret_hex()));
        }
        for (name, value) in &self.variables {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        if let Some(binding) = self.without {
            command.args(["--without", binding]);
        }
        command
    }

    /// The end of the output, for a failure message.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

/// A new folder for a server's data, which is removed with the server.
///
/// # Errors
/// When it cannot be made.
pub fn empty_folder() -> Result<TempDir, String> {
    TempDir::with_prefix("openagents-scenario-").map_err(|error| error.to_string())
}

/// The last lines of a log file.
pub fn log_tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(25)..];
    format!("--- end of {}:\n{}", log.display(), tail.join("\n"))
}

/// Raises this process's limit of open files to the allowed maximum, also for the servers that it starts: the default
/// is often 1,024. Errors are ignored.
pub fn raise_open_files() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1));
    let Some(most) = most else { return };
    let process = std::process::id().to_string();
    let _ = Command::new("prlimit").args(["--pid", &process, &format!("--nofile={most}:{most}")]).status();
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a folder")
}

/// The folder of a deployment's crate.
pub fn folder(deployment: &str) -> PathBuf {
    match deployment {
        "probe" | "clock" => repository().join("tests").join(deployment),
        example => repository().join("examples").join(example),
    }
}

/// The variables that a deployment has if a scenario does not set them.
fn usual_variables(deployment: &str) -> Vec<(&'static str, String)> {
    let of_probe = [("PROBE_SHAPE", "round"), ("PROBE_PASSWORD", "open sesame"), ("BLOSSOM_UPLOAD", "any")];
    let required = if deployment == "probe" { &of_probe[..] } else { &[] };
    let usual = [("LOG_LEVEL", "warn")].iter().chain(required);
    usual.map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// A binary of this workspace, built with the same profile as this process.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a path of this process");
    // target/<profile>/deps/<test> and target/<profile>/<binary> are both possible.
    let folder = here.parent().expect("a folder");
    let profile = if folder.ends_with("deps") { folder.parent().expect("a profile folder") } else { folder };
    profile.join(name)
}

fn log_path(host: Host, deployment: &str) -> Result<PathBuf, String> {
    scenario_log(&format!("{}-{deployment}", host.name()))
}

/// A new file for the output of a process.
pub(crate) fn scenario_log(name: &str) -> Result<PathBuf, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let folder = binary("scenario-logs");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let log = folder.join(format!("{name}-{number}.log"));
    File::create(&log).map_err(|error| error.to_string())?;
    Ok(log)
}

fn wait_for_health(address: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = address.to_owned();
    // Scenarios call this inside their own runtime, and runtimes do not nest.
    let health = std::thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = runtime.block_on(crate::http::request(&address, "GET", "/health", &[]));
            match answer {
                Ok(response) if response.status == 200 => return Ok(()),
                other if Instant::now() > deadline => return Err(format!("/health: {other:?}")),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    });
    health.join().map_err(|_| "the health check panicked".to_owned())?
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process().kill();
    }
}
