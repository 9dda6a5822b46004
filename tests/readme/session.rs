//! What a newcomer has who follows the README: a folder, a running agent, and terminals.
//!
//! The commands run as printed, except that `cargo run` and `npx wrangler` are stand-ins: programs that were built already
//! are not built again, wrangler is the one that `tests/bin/setup` installed, and a deployment is a dry run. The port is not
//! 8787, which may be in use.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use openagents_tests::server::repository;
use tempfile::TempDir;

use crate::blocks::Command;

/// How long an agent may take to start natively; and as a Worker, which is compiled first.
const START: Duration = Duration::from_secs(60);
const START_WORKER: Duration = Duration::from_secs(400);

/// What is not run: it needs an account, a public address, or hours.
const SKIPPED: &[&str] = &["git clone ", "npx wrangler login", "npx wrangler secret ", "npx wrangler tail"];

/// Stands in for cargo: runs what is built, and builds everything else in the target folder of the workspace.
const CARGO: &str = r#"#!/usr/bin/env bash
set -euo pipefail
export CARGO_TARGET_DIR=$README_REPOSITORY/target
if [ "${1-}" = run ]; then
    shift
    name=$(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    if [ "${1-}" = -p ]; then name=$2; shift 2; fi
    [ "${1-}" != -- ] || shift
    exec "$CARGO_TARGET_DIR/debug/$name" "$@"
fi
PATH=$README_PATH exec cargo "$@"
"#;

const NPX: &str = r#"#!/usr/bin/env bash
set -euo pipefail
export PATH=$README_PATH WORKER_PROFILE=worker WORKER_OPT=no
case "$1 $2" in
"wrangler dev") set -- "$@" --port "$README_PORT" --inspector-port 0 ;;
"wrangler deploy") set -- "$@" --dry-run ;;
esac
exec "$README_REPOSITORY/tests/bin/with-tools" npx "$@"
"#;

pub(crate) struct Session {
    folder: TempDir,
    /// The working directory of all terminals.
    current: PathBuf,
    port: u16,
    agent: Option<Child>,
    /// A customer who waits for a result, and where its progress is written.
    customer: Option<(Child, PathBuf)>,
}

impl Session {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let current = folder.path().join("openagents");
        let stand_ins = folder.path().join("bin");
        fs::create_dir(&current).expect("a folder");
        fs::create_dir(&stand_ins).expect("a folder");
        for entry in ["template", "sdk", "examples", "Cargo.toml", "Cargo.lock"] {
            symlink(repository().join(entry), current.join(entry)).expect("a link");
        }
        for (name, text) in [("cargo", CARGO), ("npx", NPX)] {
            fs::write(stand_ins.join(name), text).expect("a script");
            fs::set_permissions(stand_ins.join(name), fs::Permissions::from_mode(0o755)).expect("a script");
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        Self { folder, current, port, agent: None, customer: None }
    }

    pub(crate) fn run(&mut self, command: &Command) {
        let line = command.line.as_str();
        println!("$ {line}");
        if SKIPPED.iter().any(|skipped| line.starts_with(skipped)) || line.contains(".YOU.workers.dev") {
            println!("(not run)");
        } else if let Some(folder) = line.strip_prefix("cd ") {
            self.current =
                self.current.join(folder).canonicalize().unwrap_or_else(|error| panic!("{line}: {error}"));
        } else if line == "npx wrangler dev" {
            self.serve(line, START_WORKER);
        } else if line == "cargo run" || line == "cargo run -p hello-world" {
            self.serve(line, START);
            self.receive();
        } else if line.ends_with("--kind 5051") {
            self.wait_for_a_job(line);
        } else {
            let output = self.terminal(line).output().expect("bash");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{line}: {}", shown(&output));
            for expected in &command.prints {
                assert!(
                    printed.lines().any(|line| line == expected),
                    "{line}: {expected}? {}",
                    shown(&output)
                );
            }
        }
    }

    /// Writes a file in the working directory.
    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.current.join(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    pub(crate) fn end(mut self) {
        assert!(self.customer.is_none(), "a customer still waits");
        self.interrupt();
    }

    /// A command in a terminal of the newcomer.
    fn terminal(&self, line: &str) -> std::process::Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = std::process::Command::new("bash");
        command.args(["-c", line]).current_dir(&self.current).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()));
        command.env("README_PATH", path).env("README_PORT", self.port.to_string());
        command.env("README_REPOSITORY", repository().canonicalize().expect("a folder"));
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command.env("OPENAGENTS_LISTEN", self.port.to_string());
        command.env("OPENAGENTS_RELAY", format!("ws://127.0.0.1:{}", self.port));
        command
    }

    /// Ends the agent that runs, as Ctrl-C would, and starts another.
    fn serve(&mut self, line: &str, within: Duration) {
        self.interrupt();
        let log = self.folder.path().join("agent.log");
        let output = File::create(&log).expect("a log");
        let mut command = self.terminal(&format!("exec {line}"));
        command.stdout(output.try_clone().expect("a log")).stderr(output);
        self.agent = Some(command.spawn().expect("bash"));
        let began = Instant::now();
        while !self.is_healthy() {
            let ended = self.agent.as_mut().is_some_and(|agent| matches!(agent.try_wait(), Ok(Some(_))));
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(!ended && began.elapsed() < within, "{line} does not serve: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn is_healthy(&self) -> bool {
        let ask = || {
            let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            connection.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut answer = [0; 12];
            connection.read_exact(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer == *b"HTTP/1.1 200")
    }

    fn interrupt(&mut self) {
        let Some(mut agent) = self.agent.take() else { return };
        if matches!(agent.try_wait(), Ok(None)) {
            let process = rustix::process::Pid::from_child(&agent);
            let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        }
        agent.wait().expect("it ends");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(began.elapsed() < START, "something still listens on the port");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Submits a job in another terminal, and returns while it runs.
    fn wait_for_a_job(&mut self, line: &str) {
        let progress = self.folder.path().join("customer.log");
        let mut command = self.terminal(line);
        command.stdout(Stdio::piped()).stderr(File::create(&progress).expect("a log"));
        let customer = command.spawn().expect("bash");
        let began = Instant::now();
        while !read(&progress).contains("processing") {
            assert!(began.elapsed() < START, "{line}: {}", read(&progress));
            std::thread::sleep(Duration::from_millis(50));
        }
        self.customer = Some((customer, progress));
    }

    /// The result for the customer who waits, if there is one: the README says what it is.
    fn receive(&mut self) {
        let Some((customer, progress)) = self.customer.take() else { return };
        let output = customer.wait_with_output().expect("it ends");
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "{}{}", shown(&output), read(&progress));
        let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
        assert!(readme.contains(&format!("prints `{printed}`")), "the README does not say: {printed}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for mut child in self.agent.take().into_iter().chain(self.customer.take().map(|(child, _)| child)) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}
