#![allow(clippy::arithmetic_side_effects)]

use std::time::Duration;

use openagents_host::native::Sqlite;
use openagents_host::{Keys, Kind, Sql, SqlError, Timestamp, VerifiedEvent};
use proptest::prelude::*;

use super::Announcements;
use crate::declaration::{AgentDeclaration, JobDeclaration};
use crate::discovery::{HANDLER_INFORMATION, HEARTBEAT, METADATA, Profile, RELAY_LIST};
use crate::manifest::offer::Offer;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WRITER: AgentDeclaration = AgentDeclaration::new("writer");
const DELETION: Kind = Kind(5);

/// A database in virtual time, used by one release of an agent after another.
struct AnnouncementsBench {
    sql: Sqlite,
    now: Timestamp,
}

fn keys() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

impl AnnouncementsBench {
    fn new() -> Self {
        let sql = Sqlite::in_memory().unwrap();
        sql.batch(include_str!("../../schema/agent_3.sql")).unwrap();
        Self { sql, now: Timestamp::from_seconds(1_700_000_000) }
    }

    /// Starts a release of the agent.
    fn start(&self, agent: AgentDeclaration) -> Announcements<Sqlite> {
        let offers = vec![Offer { job: JobDeclaration::new(5050, "write"), quoted: false }];
        let profile = Profile::new(agent, offers, keys().public_key());
        Announcements::new(self.sql.clone(), profile.announcements())
    }

    /// The events that a running agent announces now.
    fn announced(&self, announcements: &Announcements<Sqlite>) -> Vec<VerifiedEvent> {
        let due = announcements.next_due(self.now).unwrap();
        let events = announcements.take_due(self.now, &keys()).unwrap();
        assert_eq!(due.is_some_and(|due| due <= self.now), !events.is_empty(), "{due:?} {events:?}");
        let next = announcements.next_due(self.now).unwrap();
        assert!(next.is_none_or(|next| next > self.now), "the same thing is due again");
        events
    }

    /// The events that a release announces if it starts now.
    fn release(&self, agent: AgentDeclaration) -> Vec<VerifiedEvent> {
        self.announced(&self.start(agent))
    }
}

fn kinds(events: &[VerifiedEvent]) -> Vec<Kind> {
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn announces_everything_at_the_first_start() {
    let bench = AnnouncementsBench::new();
    let agent = AgentDeclaration {
        relays: &["wss://relay.example.com"],
        heartbeat: Some(Duration::from_secs(300)),
        ..WRITER
    };
    let events = bench.release(agent);
    assert_eq!(kinds(&events), [HANDLER_INFORMATION, METADATA, RELAY_LIST, HEARTBEAT]);
    for event in events {
        assert_eq!(event.created_at, bench.now.as_seconds());
    }
}

#[test]
fn says_nothing_when_it_starts_again_and_nothing_changed() {
    let mut bench = AnnouncementsBench::new();
    bench.release(WRITER);
    assert_eq!(bench.release(WRITER), []);
    bench.now = bench.now + DAY;
    assert_eq!(bench.release(WRITER), []);
}

#[test]
fn announces_a_change_at_once_and_only_that() {
    let bench = AnnouncementsBench::new();
    bench.release(WRITER);
    let events = bench.release(AgentDeclaration { relays: &["ws://relay.local"], ..WRITER });
    // There is a new relay on which both are announced; the relay list is not, since that relay is not public.
    assert_eq!(kinds(&events), [HANDLER_INFORMATION, METADATA]);
    let events = bench.release(AgentDeclaration {
        relays: &["ws://relay.local"],
        heartbeat: Some(Duration::from_secs(60)),
        ..WRITER
    });
    assert_eq!(kinds(&events), [HEARTBEAT]);
}

#[test]
fn makes_a_change_within_the_same_second_later_than_what_it_replaces() {
    let bench = AnnouncementsBench::new();
    for (seconds, about) in ["one", "two", "three"].into_iter().enumerate() {
        let events = bench.release(AgentDeclaration { about, ..WRITER });
        assert_eq!(kinds(&events), [HANDLER_INFORMATION, METADATA]);
        let expected = (bench.now + Duration::from_secs(u64::try_from(seconds).unwrap())).as_seconds();
        assert!(events.iter().all(|event| event.created_at == expected), "{events:?}");
    }
}

#[test]
fn announces_again_what_stands_for_a_week() {
    let mut bench = AnnouncementsBench::new();
    let writer = bench.start(WRITER);
    bench.announced(&writer);
    assert_eq!(writer.next_due(bench.now).unwrap(), Some(bench.now + 7 * DAY));
    bench.now = bench.now + 7 * DAY - Duration::from_millis(1);
    assert_eq!(bench.announced(&writer), []);
    bench.now = bench.now + Duration::from_millis(1);
    assert_eq!(kinds(&bench.announced(&writer)), [HANDLER_INFORMATION, METADATA]);
}

#[test]
fn beats_by_its_interval_and_through_restarts() {
    let mut bench = AnnouncementsBench::new();
    let agent = AgentDeclaration { heartbeat: Some(Duration::from_secs(300)), ..WRITER };
    bench.release(agent);
    for restart in 1..=5 {
        bench.now = bench.now + Duration::from_secs(299);
        assert_eq!(bench.release(agent), [], "restart {restart}");
        bench.now = bench.now + Duration::from_secs(1);
        let beats = bench.release(agent);
        assert_eq!(kinds(&beats), [HEARTBEAT]);
        let expiration = (bench.now + Duration::from_secs(900)).as_seconds().to_string();
        assert_eq!(beats[0].tag_values("expiration").collect::<Vec<_>>(), [expiration]);
    }
}

#[test]
fn deletes_what_was_announced_under_a_former_name() {
    let mut bench = AnnouncementsBench::new();
    bench.release(WRITER);
    bench.now = bench.now + DAY;
    let events = bench.release(AgentDeclaration::new("author"));
    assert_eq!(kinds(&events), [DELETION, HANDLER_INFORMATION, METADATA]);
    let address = format!("31990:{}:writer", keys().public_key());
    assert_eq!(events[0].tag_values("a").collect::<Vec<_>>(), [address]);
    assert_eq!(events[0].tag_values("k").collect::<Vec<_>>(), ["31990"]);
    assert_eq!(events[1].identifier(), "author");
    assert_eq!(bench.release(AgentDeclaration::new("author")), []);
}

#[test]
fn announces_under_a_deleted_name_later_than_its_deletion() {
    let bench = AnnouncementsBench::new();
    bench.release(WRITER);
    let deleted = bench.release(AgentDeclaration::new("author"))[0].created_at;
    let events = bench.release(WRITER);
    assert_eq!(kinds(&events), [DELETION, HANDLER_INFORMATION, METADATA]);
    assert_eq!(events[1].identifier(), "writer");
    // A deletion covers all versions up to its own time (NIP-09).
    assert!(events[1].created_at > deleted);
}

#[test]
fn deletes_a_relay_list_that_became_empty_and_a_heartbeat_that_stopped() {
    let bench = AnnouncementsBench::new();
    bench.release(AgentDeclaration {
        relays: &["wss://relay.example.com"],
        heartbeat: Some(Duration::from_secs(300)),
        ..WRITER
    });
    let events = bench.release(WRITER);
    let key = keys().public_key();
    assert_eq!(events[0].kind, DELETION);
    assert_eq!(
        events[0].tag_values("a").collect::<Vec<_>>(),
        [format!("10002:{key}:"), format!("11998:{key}:")]
    );
}

#[test]
fn deletes_everything_when_it_announces_no_more_and_comes_back_when_it_does_again() {
    let bench = AnnouncementsBench::new();
    let writer = bench.start(WRITER);
    let announced = bench.announced(&writer);
    let silent = Announcements::new(bench.sql.clone(), Vec::new());
    let deletion = silent.take_due(bench.now, &keys()).unwrap().remove(0);
    assert_eq!(deletion.kind, DELETION);
    let key = keys().public_key();
    assert_eq!(
        deletion.tag_values("a").collect::<Vec<_>>(),
        [format!("0:{key}:"), format!("31990:{key}:writer")]
    );
    assert!(announced.iter().all(|event| event.created_at <= deletion.created_at));
    assert_eq!(silent.next_due(bench.now).unwrap(), None);
    assert!(silent.take_due(bench.now, &keys()).unwrap().is_empty());
    let again = bench.release(WRITER);
    assert_eq!(kinds(&again), [HANDLER_INFORMATION, METADATA]);
    assert!(again.iter().all(|event| event.created_at > deletion.created_at));
}

#[test]
fn announces_with_a_new_key_what_another_key_announced() {
    let bench = AnnouncementsBench::new();
    bench.release(WRITER);
    let other = Keys::from_secret(&[5; 32]).unwrap();
    let profile = Profile::new(WRITER, vec![], other.public_key());
    let announcements = Announcements::new(bench.sql.clone(), profile.announcements());
    let events = announcements.take_due(bench.now, &other).unwrap();
    assert_eq!(kinds(&events), [HANDLER_INFORMATION, METADATA]);
}

#[test]
fn finds_its_way_back_from_a_clock_that_was_wrong() {
    let mut bench = AnnouncementsBench::new();
    let right = bench.now;
    bench.now = right + 3_650 * DAY;
    bench.release(WRITER);
    bench.now = right;
    let events = bench.release(WRITER);
    assert!(!events.is_empty() && events.iter().all(|event| event.created_at == right.as_seconds()));
}

#[test]
fn forgets_an_announcement_whose_transaction_failed() {
    let bench = AnnouncementsBench::new();
    let writer = bench.start(WRITER);
    let undone = bench.sql.transaction(|| {
        writer.take_due(bench.now, &keys())?;
        Err::<(), _>(SqlError::Statement("the outbox is full".into()))
    });
    assert!(undone.is_err());
    assert_eq!(kinds(&bench.announced(&writer)), [HANDLER_INFORMATION, METADATA]);
}

proptest! {
    /// The state of a relay after any sequence of releases: it has the last release's announcements, and nothing
    /// else.
    #[test]
    fn a_relay_shows_what_the_last_release_announced(
        releases in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>(), 0..700_000_u64), 1..12),
    ) {
        let mut bench = AnnouncementsBench::new();
        let mut shown: std::collections::BTreeMap<String, VerifiedEvent> = std::collections::BTreeMap::new();
        let mut deleted: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        let key = keys().public_key();
        for (name, about, beats, pause) in releases {
            bench.now = bench.now + Duration::from_secs(pause / 2);
            let agent = AgentDeclaration {
                about: ["a", "b", "c"][about],
                heartbeat: beats.then_some(Duration::from_secs(300)),
                ..AgentDeclaration::new(["x", "y", "z"][name])
            };
            let release = bench.start(agent);
            for event in bench.announced(&release) {
                if event.kind == DELETION {
                    for address in event.tag_values("a") {
                        let gone = shown.remove(address);
                        prop_assert!(gone.is_some_and(|gone| gone.created_at <= event.created_at));
                        deleted.insert(address.to_owned(), event.created_at);
                    }
                } else {
                    let d = if event.kind == HANDLER_INFORMATION { event.identifier() } else { "" };
                    let address = format!("{}:{key}:{d}", event.kind);
                    let before = shown.get(&address).map(|event| event.created_at).max(deleted.get(&address).copied());
                    prop_assert!(before.is_none_or(|before| before < event.created_at));
                    shown.insert(address, event);
                }
            }
            let said: Vec<_> = shown.values().map(|event| (event.kind, event.content.clone())).collect();
            let mut expected: Vec<_> = release
                .wanted
                .iter()
                .map(|wanted| {
                    let event = wanted.announcement.event(bench.now).sign(&keys(), bench.now);
                    (event.kind, event.content.clone())
                })
                .collect();
            expected.sort_by_key(|(kind, _)| kind.to_string());
            prop_assert_eq!(said, expected);
        }
    }
}
