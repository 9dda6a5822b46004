//! The cost of a measurement: processor time of generator and server, and the server's memory and disk usage.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::memory::{anonymous, resident};

/// The unit of process times in the kernel (`USER_HZ`, the same on every Linux): hundredths of a second.
const TICKS: f64 = 100.0;

/// The server under measurement, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) pids: Vec<u32>,
}

impl Watched {
    /// Processor time so far, in seconds; `None` if no process is known.
    fn seconds(&self) -> Option<f64> {
        let of = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // `pid (name) state …`; user and system time are the 14th and the 15th field.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
            Some((ticks(11)? + ticks(12)?) / TICKS)
        };
        let seconds: Option<Vec<f64>> = self.pids.iter().map(of).collect();
        seconds.filter(|seconds| !seconds.is_empty()).map(|seconds| seconds.iter().sum())
    }

    /// Resident memory in KB; `None` if no process is known.
    pub(crate) fn resident(&self) -> Option<u64> {
        Some(resident(&self.pids)).filter(|kilobytes| *kilobytes > 0)
    }

    /// The same without mapped files, in KB.
    pub(crate) fn anonymous(&self) -> u64 {
        anonymous(&self.pids)
    }
}

/// A running measurement.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    server: &'a Watched,
    began: Instant,
    own: Duration,
    servers: Option<f64>,
}

/// The cost of a finished measurement.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) elapsed: f64,
    /// Processor time of this process and of the server, in seconds.
    pub(crate) generator: f64,
    pub(crate) server: Option<f64>,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Watched) -> Self {
        Self { server, servers: server.seconds(), own: own(), began: Instant::now() }
    }

    pub(crate) fn stop(self) -> Cost {
        let elapsed = self.began.elapsed().as_secs_f64();
        let generator = own().saturating_sub(self.own).as_secs_f64();
        let server = self.servers.and_then(|before| Some(self.server.seconds()? - before));
        Cost { elapsed, generator, server }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.generator += other.generator;
        self.server = self.server.zip(other.server).map(|(one, two)| one + two).or(other.server);
    }
}

/// Processor time of this process.
fn own() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processor time of this thread, in seconds.
pub(crate) fn of_this_thread() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number of processors of this machine.
pub(crate) fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

/// The disk usage of a file or folder, in bytes; less than its length if it has holes, as LMDB's has.
pub(crate) fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    let inside: u64 = if metadata.is_dir() { inside.map(|entry| on_disk(&entry.path())).sum() } else { 0 };
    metadata.blocks() * 512 + inside
}

/// Raises the limit of open files for this process, and for servers that it starts.
pub(crate) fn allow_sockets(count: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = count + 200;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    // As high as allowed: the server may need more than this process.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let maximum = limit.maximum.unwrap_or_default();
        return Err(format!(
            "{count} connections need `ulimit -n {wanted}`; {maximum} is the most allowed here"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Meter, Watched};

    #[test]
    fn work_is_seen_from_inside_and_from_outside() {
        let server = Watched { pids: vec![std::process::id()] };
        let meter = Meter::start(&server);
        let mut sum = 0_u64;
        while meter.began.elapsed().as_millis() < 300 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        let cost = meter.stop();
        assert!(std::hint::black_box(sum) > 0 && cost.generator > 0.02, "{cost:?}");
        assert!(cost.server.is_some_and(|seconds| seconds > 0.01), "{cost:?}");
    }
}
