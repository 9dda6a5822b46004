//! The relays measured side by side: ours and those in `tests/peers`, started one after another.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openagents_tests::server::{Host, Server, binary, repository};
use tempfile::TempDir;

/// The other relays, best known first.
pub(crate) const PEERS: [&str; 2] = ["builder-lmdb", "builder-memory"];

/// Checks that all required programs are built.
pub(crate) fn check(peers: &[String]) -> Result<(), String> {
    let ours = binary("hello-world");
    if !ours.exists() {
        let hint = "cargo build --release -p hello-world -p openagents-tests";
        return Err(format!("{} is missing: {hint}", ours.display()));
    }
    if let Some(unknown) = peers.iter().find(|peer| !PEERS.contains(&peer.as_str())) {
        return Err(format!("unknown relay {unknown}: expected {}", PEERS.join(", ")));
    }
    if peers.is_empty() { Ok(()) } else { peer_binary("peer-builder").map(drop) }
}

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub(crate) enum Running {
    Ours(Box<Server>),
    Peer { child: Child, port: u16, data: TempDir },
}

impl Running {
    /// Our relay with its default settings, durable on power loss.
    pub(crate) fn ours(variables: &[(String, String)]) -> Result<Self, String> {
        // They live as long as this program, which starts only a few servers.
        let name = |name: &String| -> &'static str { Box::leak(name.clone().into_boxed_str()) };
        let mut all = vec![("OPENAGENTS_DURABILITY", "power".to_owned())];
        all.extend(variables.iter().map(|(key, value)| (name(key), value.clone())));
        Server::start_with(Host::Native, "hello-world", &all).map(|server| Self::Ours(Box::new(server)))
    }

    /// Another relay, with an empty database.
    pub(crate) fn peer(name: &str) -> Result<Self, String> {
        let data = TempDir::with_prefix("openagents-peer-").map_err(|error| error.to_string())?;
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| error.to_string())?.port();
        let mut command = match name {
            "builder-lmdb" => {
                let mut command = Command::new(peer_binary("peer-builder")?);
                command.arg(format!("127.0.0.1:{port}")).arg("lmdb").arg(data.path());
                command
            }
            "builder-memory" => {
                let mut command = Command::new(peer_binary("peer-builder")?);
                command.arg(format!("127.0.0.1:{port}")).arg("memory");
                command
            }
            _ => return Err(format!("unknown relay {name}: expected {}", PEERS.join(", "))),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start {name}: {error}"))?;
        let mut running = Self::Peer { child, port, data };
        running.wait_until_it_listens().map_err(|error| format!("{name}: {error}"))?;
        Ok(running)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let Self::Peer { child, port, .. } = self else { return Ok(()) };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", *port)).is_err() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("ended at once: {status}"));
            }
            if Instant::now() > deadline {
                return Err("does not listen after 20 s".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Ours(server) => server.url(),
            Self::Peer { port, .. } => format!("ws://127.0.0.1:{port}"),
        }
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Ours(server) => server.pids(),
            Self::Peer { child, .. } => vec![child.id()],
        }
    }

    /// The path of its database; empty if it has none.
    pub(crate) fn data(&self) -> &Path {
        match self {
            Self::Ours(server) => server.data(),
            Self::Peer { data, .. } => data.path(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Peer { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Next to this program if both were built into one target folder, or in its own.
fn peer_binary(name: &str) -> Result<PathBuf, String> {
    let places = [binary(name), repository().join("tests/peers/target/release").join(name)];
    places.into_iter().find(|path| path.exists()).ok_or_else(|| {
        format!("{name} is not built: cargo build --release --manifest-path tests/peers/Cargo.toml")
    })
}
