//! Which alarm an object's runtime has: what it was asked for counts only once it has answered.

use crate::time::Timestamp;

/// What is known of the alarm that the runtime has. An object has one at most, and setting it takes time and can fail.
#[derive(Debug, Default)]
pub struct RuntimeAlarm {
    /// The runtime has an alarm that fires at this time or before.
    set: Option<Timestamp>,
    /// The latest request, if it is not answered.
    unanswered: Option<AlarmRequest>,
    requests: u64,
}

/// A request to the runtime to set the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmRequest {
    number: u64,
    /// When it is to fire.
    pub at: Timestamp,
}

impl RuntimeAlarm {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { set: None, unanswered: None, requests: 0 }
    }

    /// Whether the runtime is known to have an alarm at this time or before.
    #[must_use]
    pub fn is_set_by(&self, wanted: Timestamp) -> bool {
        self.set.is_some_and(|set| set <= wanted)
    }

    /// Whether the runtime may have an alarm.
    #[must_use]
    pub const fn may_be_set(&self) -> bool {
        self.set.is_some() || self.unanswered.is_some()
    }

    /// Requests an alarm at this time, or at the time of an unanswered request if that is earlier: this request would
    /// replace it, and it may also be the only one that succeeds.
    pub fn request_by(&mut self, wanted: Timestamp) -> AlarmRequest {
        let earlier = self.unanswered.map_or(wanted, |request| request.at.min(wanted));
        self.request_at(earlier)
    }

    /// Requests an alarm at this time, whatever was set or requested before.
    pub fn request_at(&mut self, at: Timestamp) -> AlarmRequest {
        // Until the answer, it is unknown which of the two the runtime has; the earlier one is no longer certain.
        self.set = self.set.filter(|set| at <= *set);
        self.requests = self.requests.wrapping_add(1);
        let request = AlarmRequest { number: self.requests, at };
        self.unanswered = Some(request);
        request
    }

    /// The runtime has answered a request.
    pub fn answered(&mut self, request: AlarmRequest, succeeded: bool) {
        let is_latest = self.unanswered == Some(request);
        if is_latest {
            self.unanswered = None;
        }
        // If there is a later request for a later time, it may have replaced this one.
        if succeeded && (is_latest || self.unanswered.is_some_and(|later| later.at <= request.at)) {
            self.set = Some(request.at);
        }
    }

    /// The runtime was queried for its alarm. Requests since then are more recent.
    pub fn found(&mut self, at: Option<Timestamp>) {
        if !self.may_be_set() {
            self.set = at;
        }
    }

    /// The alarm has fired or was removed.
    pub const fn clear(&mut self) {
        self.set = None;
        self.unanswered = None;
    }
}

#[cfg(test)]
mod tests {
    use super::RuntimeAlarm;
    use crate::time::Timestamp;

    const EARLY: Timestamp = Timestamp::from_seconds(1_000);
    const LATE: Timestamp = Timestamp::from_seconds(2_000);

    #[test]
    fn an_alarm_counts_as_set_once_the_runtime_says_so() {
        let mut alarm = RuntimeAlarm::unknown();
        let request = alarm.request_by(EARLY);
        assert!(!alarm.is_set_by(LATE) && alarm.may_be_set());
        alarm.answered(request, true);
        assert!(alarm.is_set_by(EARLY) && alarm.is_set_by(LATE) && !alarm.is_set_by(Timestamp::EPOCH));
        alarm.clear();
        assert!(!alarm.may_be_set());
    }

    #[test]
    fn an_alarm_that_could_not_be_set_does_not_count_for_anybody() {
        let mut alarm = RuntimeAlarm::unknown();
        let first = alarm.request_by(EARLY);
        // Another event of the object, before the answer, must not rely on the first request, nor replace it.
        let second = alarm.request_by(LATE);
        assert_eq!(second.at, EARLY);
        alarm.answered(first, false);
        assert!(!alarm.is_set_by(LATE));
        alarm.answered(second, true);
        assert!(alarm.is_set_by(EARLY));

        // A failure changes nothing about what was set before.
        let earlier = alarm.request_by(Timestamp::EPOCH);
        assert!(alarm.is_set_by(EARLY), "it is replaced by an earlier one or by none");
        alarm.answered(earlier, false);
        assert!(alarm.is_set_by(EARLY) && !alarm.is_set_by(Timestamp::EPOCH));
    }

    #[test]
    fn the_latest_of_several_requests_decides() {
        let mut alarm = RuntimeAlarm::unknown();
        let (early, late) = (alarm.request_at(EARLY), alarm.request_at(LATE));
        alarm.answered(early, true);
        assert!(!alarm.is_set_by(LATE), "the second may have replaced it, and may fail");
        alarm.answered(late, true);
        assert!(alarm.is_set_by(LATE) && !alarm.is_set_by(EARLY));

        let (late, early) = (alarm.request_at(LATE), alarm.request_at(EARLY));
        alarm.answered(late, true);
        assert!(alarm.is_set_by(LATE));
        alarm.answered(early, true);
        assert!(alarm.is_set_by(EARLY));
    }

    #[test]
    fn what_the_runtime_had_before_is_older_than_any_request() {
        let mut alarm = RuntimeAlarm::unknown();
        alarm.found(Some(LATE));
        assert!(alarm.is_set_by(LATE));
        let request = alarm.request_by(EARLY);
        alarm.found(None);
        alarm.answered(request, true);
        alarm.found(Some(LATE));
        assert!(alarm.is_set_by(EARLY));
    }
}
