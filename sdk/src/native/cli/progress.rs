//! The progress line on standard error: updated in place on a terminal, repeated every few seconds otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The update interval on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);

/// The interval between lines otherwise.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The maximum length of the line, which fits most terminals.
const WIDTH: usize = 79;

pub(super) struct Progress {
    began: Instant,
    last: Option<Instant>,
    is_terminal: bool,
    is_silent: bool,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), last: None, is_terminal, is_silent: false }
    }

    /// A progress line that stays silent if the command's output goes to the terminal.
    pub(super) fn beside_output() -> Self {
        let is_silent = std::io::stdout().is_terminal();
        Self { is_silent, ..Self::begin() }
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The rate per second since the start.
    pub(super) fn rate(&self, count: u64) -> u64 {
        per_second(count, self.elapsed())
    }

    /// Shows the line if an update is due.
    pub(super) fn show(&mut self, line: impl FnOnce(&Self) -> String) {
        let pause = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        let due = self.last.unwrap_or(self.began).checked_add(pause);
        if self.is_silent || due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        self.last = Some(Instant::now());
        let line: String = line(self).chars().take(WIDTH).collect();
        let mut stderr = std::io::stderr().lock();
        // A closed terminal must not make the command fail.
        let _ = if self.is_terminal {
            write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{line}")
        };
    }

    /// Erases the line, so that the result can be printed.
    pub(super) fn end(&mut self) {
        if self.is_terminal && self.last.take().is_some() {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }

    /// `[#####---------------]  25 %`, and the estimated remaining time.
    pub(super) fn bar(&self, done: u64, total: u64) -> String {
        const CELLS: u64 = 20;
        let share = |of: u64| done.saturating_mul(of).checked_div(total).unwrap_or(of).min(of);
        let cells = usize::try_from(share(CELLS)).unwrap_or(0);
        let rest = usize::try_from(CELLS).unwrap_or(0).saturating_sub(cells);
        let mut bar = format!("[{}{}] {:>3} %", "#".repeat(cells), "-".repeat(rest), share(100));
        if let Some(left) = self.left(done, total) {
            bar.push_str(&format!("  {} left", clock(left)));
        }
        bar
    }

    /// The estimated remaining time at the current rate.
    fn left(&self, done: u64, total: u64) -> Option<Duration> {
        let elapsed = self.elapsed();
        if elapsed < Duration::from_secs(2) || done >= total {
            return None;
        }
        let rest = u128::from(total.saturating_sub(done));
        let millis = elapsed.as_millis().checked_mul(rest)?.checked_div(u128::from(done))?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(count).saturating_mul(1_000).checked_div(elapsed.as_millis().max(1));
    rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// `1,234,567`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(6));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let (tenths, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (bytes / 100, "kB"),
        1_000_000..1_000_000_000 => (bytes / 100_000, "MB"),
        _ => (bytes / 100_000_000, "GB"),
    };
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Progress, bytes, clock, number, per_second};

    #[test]
    fn draws_a_bar() {
        let progress = Progress::begin();
        assert_eq!(progress.bar(0, 4), "[--------------------]   0 %");
        assert_eq!(progress.bar(1, 4), "[#####---------------]  25 %");
        assert_eq!(progress.bar(5, 4), "[####################] 100 %");
        assert_eq!(progress.bar(0, 0), "[####################] 100 %");
        let earlier = Instant::now().checked_sub(Duration::from_secs(30)).unwrap();
        let progress = Progress { began: earlier, ..Progress::begin() };
        assert_eq!(progress.bar(1, 3), "[######--------------]  33 %  1:00 left");
    }

    #[test]
    fn writes_numbers_for_people() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(number(value), text);
        }
        for (value, text) in
            [(999, "999 B"), (1_050, "1.0 kB"), (12_345_678, "12.3 MB"), (9_999_999_999, "9.9 GB")]
        {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(clock(Duration::from_secs(3_725)), "1:02:05");
        assert_eq!(per_second(500, Duration::from_millis(250)), 2_000);
    }
}
