//! When an object's alarm may be set: a minimum delay, and a breaker that slows down alarms that do nothing.
//!
//! An engine that always wants its next alarm immediately, and then does nothing, would keep a Durable Object busy for
//! ever, which would be noticed only on the bill.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// The minimum delay of an alarm that is set by an alarm or at opening.
pub const MIN_ALARM_DELAY: Duration = Duration::from_millis(50);

/// How many alarms may do nothing within [`IDLE_WINDOW`] before alarms are slowed down.
pub const MAX_IDLE_ALARMS: usize = 100;

/// The period over which idle alarms are counted.
pub const IDLE_WINDOW: Duration = Duration::from_secs(60);

/// The delay between alarms after too many have done nothing.
pub const SLOW_ALARM_DELAY: Duration = Duration::from_secs(60);

/// Why an alarm was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlarmCause {
    /// By a request or message, which must be served in time; also if the cause is unknown.
    #[default]
    Request,
    /// By the previous alarm.
    Alarm,
    /// When the object was opened.
    Opening,
}

/// Decides when alarms are set, and detects alarms that do nothing. Lives as long as the object is in memory, where a
/// loop of alarms would keep it.
#[derive(Debug, Default)]
pub struct AlarmGuard {
    cause: AlarmCause,
    /// The times of idle alarms within the last minute.
    idle: VecDeque<Timestamp>,
    is_slowed: bool,
}

impl AlarmGuard {
    /// The guard of an object that was just opened.
    #[must_use]
    pub const fn new() -> Self {
        Self { cause: AlarmCause::Request, idle: VecDeque::new(), is_slowed: false }
    }

    /// The time at which to set an alarm that is wanted at `wanted`. Alarms wanted by requests are never delayed.
    pub fn schedule(&mut self, now: Timestamp, wanted: Timestamp, cause: AlarmCause) -> Timestamp {
        self.cause = cause;
        match cause {
            AlarmCause::Request => wanted,
            AlarmCause::Alarm | AlarmCause::Opening => {
                wanted.max(now + if self.is_slowed { SLOW_ALARM_DELAY } else { MIN_ALARM_DELAY })
            }
        }
    }

    /// The alarm fires. Returns its cause.
    pub fn ring(&mut self) -> AlarmCause {
        std::mem::take(&mut self.cause)
    }

    /// An alarm with this cause has been handled. Returns whether alarms are slowed down from now on, which deserves a
    /// warning. They are slowed down until one of them does something.
    #[must_use]
    pub fn done(&mut self, now: Timestamp, cause: AlarmCause, did_work: bool) -> bool {
        if did_work {
            self.is_slowed = false;
            self.idle.clear();
            return false;
        }
        if cause == AlarmCause::Request {
            return false;
        }
        self.idle.retain(|rang| rang.until(now) < IDLE_WINDOW);
        self.idle.push_back(now);
        let slows_down = !self.is_slowed && self.idle.len() >= MAX_IDLE_ALARMS;
        self.is_slowed |= slows_down;
        slows_down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// An engine that always wants its next alarm immediately, and does nothing.
    struct Loop {
        guard: AlarmGuard,
        now: Timestamp,
        warnings: usize,
    }

    impl Loop {
        fn new() -> Self {
            Self { guard: AlarmGuard::new(), now: Timestamp::from_seconds(1_000), warnings: 0 }
        }

        /// Runs alarms for this long; returns how many there were.
        fn run(&mut self, time: Duration, cause: AlarmCause) -> usize {
            let (end, mut rang) = (self.now + time, 0);
            loop {
                let at = self.guard.schedule(self.now, self.now, cause);
                if at > end {
                    self.now = end;
                    return rang;
                }
                (self.now, rang) = (at, rang.saturating_add(1));
                let cause = self.guard.ring();
                self.warnings =
                    self.warnings.saturating_add(usize::from(self.guard.done(self.now, cause, false)));
            }
        }
    }

    #[test]
    fn slows_down_alarms_that_do_nothing_and_warns_once() {
        let mut idle = Loop::new();
        assert_eq!(idle.run(MINUTE, AlarmCause::Alarm), MAX_IDLE_ALARMS);
        assert_eq!(idle.warnings, 1);
        assert_eq!(idle.run(60 * MINUTE, AlarmCause::Alarm), 60);
        assert_eq!(idle.warnings, 1);
        assert_eq!(Loop::new().run(MINUTE, AlarmCause::Opening), MAX_IDLE_ALARMS);
    }

    #[test]
    fn goes_on_as_before_once_an_alarm_did_something() {
        let mut idle = Loop::new();
        idle.run(2 * MINUTE, AlarmCause::Alarm);
        assert!(!idle.guard.done(idle.now, AlarmCause::Alarm, true));
        let next = idle.guard.schedule(idle.now, idle.now, AlarmCause::Alarm);
        assert_eq!(next, idle.now + MIN_ALARM_DELAY);
        idle.run(MINUTE, AlarmCause::Alarm);
        assert_eq!(idle.warnings, 2);
    }

    #[test]
    fn ordinary_jobs_trip_nothing() {
        let (mut guard, mut now) = (AlarmGuard::new(), Timestamp::from_seconds(1_000));
        // 600 jobs per minute for ten minutes.
        for _ in 0..6_000 {
            assert_eq!(guard.schedule(now, now, AlarmCause::Request), now);
            // The alarm finds that the request has done everything, …
            let cause = guard.ring();
            assert!(!guard.done(now, cause, false));
            // … and sets the next one, for the end of a lease.
            let lease_end = now + Duration::from_secs(30);
            assert_eq!(guard.schedule(now, lease_end, AlarmCause::Alarm), lease_end);
            now = now + Duration::from_millis(100);
        }
    }

    #[test]
    fn alarms_with_much_to_do_are_not_slowed_down() {
        let (mut guard, mut now) = (AlarmGuard::new(), Timestamp::from_seconds(1_000));
        for _ in 0..10_000 {
            let at = guard.schedule(now, now, AlarmCause::Alarm);
            assert_eq!(at, now + MIN_ALARM_DELAY);
            now = at;
            let cause = guard.ring();
            assert!(!guard.done(now, cause, true));
        }
    }

    #[test]
    fn an_alarm_that_is_far_away_stays_where_it_is() {
        let (mut guard, now) = (AlarmGuard::new(), Timestamp::from_seconds(1_000));
        for cause in [AlarmCause::Request, AlarmCause::Alarm, AlarmCause::Opening] {
            assert_eq!(guard.schedule(now, now + MINUTE, cause), now + MINUTE);
        }
        // The minimum delay applies to alarms and opening, not to requests.
        assert_eq!(guard.schedule(now, now, AlarmCause::Opening), now + MIN_ALARM_DELAY);
        assert_eq!(guard.schedule(now, now, AlarmCause::Request), now);
    }
}
