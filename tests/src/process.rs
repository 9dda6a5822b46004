//! A server process: its output, its end, and its control commands.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long a server may take to start or to carry out a command.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program, running or ended.
#[derive(Debug, Default)]
pub(crate) struct Process {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    group: bool,
}

impl Process {
    /// Starts a program whose output goes to `log`. With `group`, the processes that it starts end with it.
    pub(crate) fn spawn(mut command: Command, log: &Path, group: bool) -> Result<Self, String> {
        if group {
            command.process_group(0);
        }
        let open = || OpenOptions::new().append(true).open(log).map_err(|error| error.to_string());
        let (mut copy, errors) = (open()?, open()?);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = writeln!(copy, "{line}");
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Ok(Self { running: Some(Running { child, stdin, lines, group }) })
    }

    /// The processes that serve requests: itself, or the `workerd` that it started.
    pub(crate) fn serving(&self) -> Vec<u32> {
        let Some(running) = &self.running else { return Vec::new() };
        if running.group { children(running.child.id()) } else { vec![running.child.id()] }
    }

    /// Waits for the line with the server's address.
    pub(crate) fn wait_for_address(&mut self) -> Result<String, String> {
        let running = self.running.as_mut().ok_or("not running")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match running.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(address) = address_in(&line) {
                        return Ok(address);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => return Err("told no address in time".to_owned()),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = running.child.wait().map_err(|error| error.to_string())?;
                    return Err(format!("ended at once: {status}"));
                }
            }
        }
    }

    /// Sends a control command to `tests/bin/serve-worker` and returns its answer.
    pub(crate) fn command(&mut self, command: &str) -> Result<String, String> {
        let running = self.running.as_mut().ok_or("not running")?;
        let stdin = running.stdin.as_mut().ok_or("no control input")?;
        writeln!(stdin, "{command}").map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = running.lines.recv_timeout(left).map_err(|error| format!("{command}: {error}"))?;
            if let Some(answer) = line.strip_prefix("ok") {
                return Ok(answer.trim().to_owned());
            }
            if line.starts_with("error") {
                return Err(format!("{command}: {line}"));
            }
        }
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            if running.group {
                signal("-KILL", &format!("-{}", running.child.id()));
            }
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Interrupts the process (Ctrl-C) and waits until it has ended successfully.
    pub(crate) fn interrupt(&mut self) -> Result<(), String> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        signal("-INT", &running.child.id().to_string());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(Some(status)) = running.child.try_wait() {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("ended badly when asked to: {status}"))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = running.child.kill();
        let _ = running.child.wait();
        Err("did not end within 20 s when asked to".to_owned())
    }
}

/// The `workerd` processes in a process group.
fn children(group: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        // `pid (name) state parent group …`
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((start, rest)) = stat.rsplit_once(')') else { return false };
        start.ends_with("(workerd") && rest.split_whitespace().nth(2) == Some(&group.to_string())
    })
    .collect()
}

fn signal(signal: &str, target: &str) {
    let _ = Command::new("kill").args([signal, "--", target]).stderr(Stdio::null()).status();
}

/// The `127.0.0.1:port` of a `ws://` or `http://` URL in a line.
fn address_in(line: &str) -> Option<String> {
    let start = line.find("://127.0.0.1:")? + "://".len();
    let address: String =
        line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let port = address.rsplit(':').next()?;
    (!port.is_empty()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn finds_the_address_in_a_sentence() {
        assert_eq!(
            address_in("Relay: ws://127.0.0.1:4321/ (Ctrl-C ends)").as_deref(),
            Some("127.0.0.1:4321")
        );
        assert_eq!(address_in("ready http://127.0.0.1:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(address_in("no address here"), None);
    }
}
