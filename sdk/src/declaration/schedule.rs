//! When a schedule is due: an interval, or a cron expression in UTC.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use openagents_host::Timestamp;

/// What a scheduled function declares, in `#[schedule]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleDeclaration {
    /// The function's name, under which its next run is stored. A redeployed agent continues where the last one
    /// stopped.
    pub name: &'static str,
    /// What the function does, from its doc comment.
    pub about: &'static str,
    /// When it runs.
    pub rule: ScheduleRule,
    /// How long a run may take.
    pub timeout: Duration,
}

/// When a schedule is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleRule {
    /// This long after it was last due.
    Every(Duration),
    /// At the times given by a cron expression of five fields, in UTC.
    Cron(&'static str),
    /// Only when a handler asks for it: [`AgentContext::schedule`](crate::AgentContext::schedule).
    Once,
}

/// The pause before a cron expression that never matches is evaluated again.
const NEVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The first time after `after` at which the rule is due.
pub(crate) fn next_time(rule: &ScheduleRule, after: Timestamp) -> Timestamp {
    match rule {
        ScheduleRule::Every(duration) => after + (*duration).max(Duration::from_secs(1)),
        // The macro has validated the expression.
        ScheduleRule::Cron(expression) => cron(expression, after).unwrap_or(after + NEVER),
        ScheduleRule::Once => after + NEVER,
    }
}

fn cron(expression: &str, after: Timestamp) -> Option<Timestamp> {
    let after = DateTime::<Utc>::from_timestamp_millis(i64::try_from(after.as_millis()).ok()?)?;
    let next = Cron::from_str(expression).ok()?.find_next_occurrence(&after, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openagents_host::Timestamp;

    use crate::declaration::{ScheduleRule, next_time};

    #[test]
    fn finds_the_next_time_of_a_cron_expression_in_utc() {
        // 2023-11-14 22:13:20
        let now = Timestamp::from_seconds(1_700_000_000);
        let three = next_time(&ScheduleRule::Cron("0 3 * * *"), now);
        assert_eq!(three, Timestamp::from_seconds(1_700_017_200));
        assert_eq!(next_time(&ScheduleRule::Cron("0 3 * * *"), three), three + Duration::from_secs(86_400));
    }

    #[test]
    fn comes_back_after_its_duration() {
        let now = Timestamp::from_seconds(10);
        assert_eq!(next_time(&ScheduleRule::Every(Duration::from_secs(5)), now), Timestamp::from_seconds(15));
    }

    #[test]
    fn puts_off_what_never_comes_true() {
        let now = Timestamp::from_seconds(1_700_000_000);
        assert!(next_time(&ScheduleRule::Cron("0 0 30 2 *"), now) > now);
    }
}
