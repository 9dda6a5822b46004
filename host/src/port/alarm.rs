//! When an object's alarm may ring: a floor, and a breaker for alarms that ring again and again for nothing.
//!
//! An engine that says at each alarm that the next is due at once, and then does nothing, would keep a Durable Object busy
//! for ever, and nobody would see it but on the bill.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// The shortest time ahead that an alarm sets the next one.
pub const MIN_ALARM_DELAY: Duration = Duration::from_millis(50);

/// How many alarms may do nothing within [`IDLE_WINDOW`] before they slow down.
pub const MAX_IDLE_ALARMS: usize = 100;

/// The time over which idle alarms are counted.
pub const IDLE_WINDOW: Duration = Duration::from_secs(60);

/// The time between alarms once too many did nothing.
pub const SLOW_ALARM_DELAY: Duration = Duration::from_secs(60);

/// What an alarm is set by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlarmCause {
    /// A request or a message from outside, which is to be served in time; or nobody knows.
    #[default]
    Request,
    /// The alarm before it.
    Alarm,
    /// The object, when it was opened.
    Opening,
}

/// Decides when alarms are set, and notices when they do nothing. It lives as long as the object is in memory, which a
/// loop of alarms keeps it.
#[derive(Debug, Default)]
pub struct AlarmGuard {
    cause: AlarmCause,
    /// When the idle alarms of the last minute rang.
    idle: VecDeque<Timestamp>,
    is_slowed: bool,
}

impl AlarmGuard {
    /// A guard of an object that was just opened.
    #[must_use]
    pub const fn new() -> Self {
        Self { cause: AlarmCause::Request, idle: VecDeque::new(), is_slowed: false }
    }

    /// The time for which an alarm is set that is wanted for `wanted`. What a request wants is never put off.
    pub fn schedule(&mut self, now: Timestamp, wanted: Timestamp, cause: AlarmCause) -> Timestamp {
        self.cause = cause;
        match cause {
            AlarmCause::Request => wanted,
            AlarmCause::Alarm | AlarmCause::Opening => {
                wanted.max(now + if self.is_slowed { SLOW_ALARM_DELAY } else { MIN_ALARM_DELAY })
            }
        }
    }

    /// An alarm rings. Returns what it was set by.
    pub fn ring(&mut self) -> AlarmCause {
        std::mem::take(&mut self.cause)
    }

    /// An alarm with this cause is done. Returns whether alarms are slowed down from now on, which is worth a warning.
    /// They are until one finds something to do.
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

    /// An engine that always says that its next alarm is due at once, and does nothing.
    struct Loop {
        guard: AlarmGuard,
        now: Timestamp,
        warnings: usize,
    }

    impl Loop {
        fn new() -> Self {
            Self { guard: AlarmGuard::new(), now: Timestamp::from_seconds(1_000), warnings: 0 }
        }

        /// Lets alarms ring for this long, and says how many did.
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
        // 600 jobs a minute, for ten minutes.
        for _ in 0..6_000 {
            assert_eq!(guard.schedule(now, now, AlarmCause::Request), now);
            // Its alarm finds that the request has done everything, …
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
        // The floor is for what an alarm or the opening wants, not for requests.
        assert_eq!(guard.schedule(now, now, AlarmCause::Opening), now + MIN_ALARM_DELAY);
        assert_eq!(guard.schedule(now, now, AlarmCause::Request), now);
    }
}
