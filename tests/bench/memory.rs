//! The memory of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Resident memory of some processes, in KB, sampled by a thread of its own.
pub(crate) struct Watched {
    pids: Vec<u32>,
    before: u64,
    peak: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

/// Resident memory in KB: before, at most, and after.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) peak: u64,
    pub(crate) after: u64,
}

impl Watched {
    pub(crate) fn start(pids: Vec<u32>) -> Self {
        let before = resident(&pids);
        let (peak, over) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let watched = Self { pids: pids.clone(), before, peak: Arc::clone(&peak), over: Arc::clone(&over) };
        if !pids.is_empty() {
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    peak.fetch_max(resident(&pids), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        watched
    }

    pub(crate) fn stop(self) -> Memory {
        self.over.store(true, Ordering::Relaxed);
        let after = resident(&self.pids);
        Memory { before: self.before, peak: self.peak.load(Ordering::Relaxed).max(after), after }
    }
}

/// The sum of their `VmRSS`, in KB; 0 without `/proc`.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    status(pids, "VmRSS:")
}

/// The same without mapped files, whose pages the system can reclaim.
pub(crate) fn anonymous(pids: &[u32]) -> u64 {
    status(pids, "RssAnon:")
}

fn status(pids: &[u32], field: &str) -> u64 {
    let of = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with(field))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::Watched;

    #[test]
    fn sees_memory_that_was_taken_and_given_back() {
        let watched = Watched::start(vec![std::process::id()]);
        let mut taken = vec![1_u8; 64 * 1024 * 1024];
        taken.fill(2);
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(taken);
        let memory = watched.stop();
        assert!(memory.before > 0 && memory.peak > memory.before + 50_000, "{memory:?}");
    }
}
