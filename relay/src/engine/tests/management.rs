//! Relay management (NIP-86).

use std::sync::atomic::{AtomicU64, Ordering};

use openagents_host::nostr::http_auth::TIME_WINDOW;
use openagents_host::sql::Sql as _;
use openagents_host::{Engine as _, Kind, PublicKey, Timestamp};
use serde_json::{Value, json};

use super::{ALICE, BOB, Bench, messages, ok};
use crate::admission::{Admission, Lists, MAX_LISTED};
use crate::engine::{Effect, Input, RelayConfig};
use crate::fixtures;
use crate::management::{Call, List, ManagementReply, SignedCall, Token, UsedToken};
use crate::session::Origin;
use crate::session::Ticket;
use openagents_host::nostr::filter::Filter;

impl Bench {
    fn manage(&mut self, method: &str, params: Value) -> (ManagementReply, Vec<Effect>) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let token = token(&number.to_string(), self.now.as_seconds());
        let (answer, effects) = self.manage_by(token, method, params);
        (answer.unwrap(), effects)
    }

    #[allow(clippy::needless_pass_by_value, reason = "parameters are written where they are said")]
    fn manage_by(
        &mut self,
        token: Token,
        method: &str,
        params: Value,
    ) -> (Result<ManagementReply, UsedToken>, Vec<Effect>) {
        let call = Call::parse(&json!({"method": method, "params": params}).to_string()).unwrap();
        let call = SignedCall { token, call };
        let mut effects = self.handle(Input::Manage { ticket: Ticket(5), call });
        match effects.pop() {
            Some(Effect::Managed { ticket: Ticket(5), answer }) => (answer, effects),
            other => panic!("{other:?}"),
        }
    }

    fn remembered_tokens(&self) -> u64 {
        self.relay.sql().first::<(u64,)>("SELECT count(*) FROM used_token", &[]).unwrap().unwrap().0
    }

    fn done(&mut self, method: &str, params: Value) -> Vec<Effect> {
        let (answer, effects) = self.manage(method, params);
        assert_eq!(answer, Ok(true.into()), "{method}");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::RulesChanged(_))), "{effects:?}");
        effects
    }

    fn shown(&mut self, method: &str) -> Value {
        let (answer, effects) = self.manage(method, json!([]));
        assert_eq!(effects, [], "{method}");
        answer.unwrap()
    }
}

fn token(content: &str, at: u64) -> Token {
    Token::of(&fixtures::signed_by(&fixtures::keys(1), 27_235, at, &[], content))
}

fn key(number: usize) -> PublicKey {
    fixtures::keys(number).public_key()
}

#[test]
fn a_token_changes_something_once() {
    let mut bench = Bench::new();
    let second = bench.now.as_seconds();
    let ban = |bench: &mut Bench, token| bench.manage_by(token, "banpubkey", json!([key(0)]));
    assert_eq!(ban(&mut bench, token("", second)).0, Ok(Ok(true.into())));
    bench.done("unbanpubkey", json!([key(0)]));
    // After losing its memory, the relay still has it in the database.
    bench.relay.forget(bench.now);
    assert_eq!(ban(&mut bench, token("", second)), (Err(UsedToken), Vec::new()));
    assert_eq!(bench.shown("listbannedpubkeys"), json!([]));
    // The same for another call: the HTTP route has checked what was signed.
    assert_eq!(bench.manage_by(token("", second), "unbanpubkey", json!([key(0)])).0, Err(UsedToken));
    assert_eq!(ban(&mut bench, token("another", second)).0, Ok(Ok(true.into())));
}

#[test]
fn a_list_may_be_asked_for_twice_within_a_second() {
    let mut bench = Bench::new();
    for method in ["listbannedpubkeys", "listeventsneedingmoderation", "supportedmethods"] {
        for _ in 0..2 {
            let (answer, effects) = bench.manage_by(token("", bench.now.as_seconds()), method, json!([]));
            assert!(matches!(answer, Ok(Ok(Value::Array(_)))), "{method}: {answer:?}");
            assert_eq!(effects, [], "{method}");
        }
    }
    assert_eq!(bench.remembered_tokens(), 0);
}

#[test]
fn tokens_are_remembered_as_long_as_a_route_may_accept_them() {
    let mut bench = Bench::new();
    let made = bench.now.as_seconds();
    // A client whose clock is ahead.
    let ahead = token("", made + TIME_WINDOW);
    let ban = |bench: &mut Bench| bench.manage_by(ahead, "banpubkey", json!([key(0)])).0;
    assert_eq!(ban(&mut bench), Ok(Ok(true.into())));
    for after in [1, TIME_WINDOW, 2 * TIME_WINDOW + 1] {
        bench.now = Timestamp::from_seconds(made + after);
        assert_eq!(ban(&mut bench), Err(UsedToken), "{after} s later");
    }
    bench.now = Timestamp::from_seconds(made + 4 * TIME_WINDOW);
    bench.done("unbanpubkey", json!([key(0)]));
    assert_eq!(bench.remembered_tokens(), 1, "the old one is gone");
}

#[test]
fn a_call_that_failed_may_be_repeated_with_its_token() {
    let mut bench = Bench::new();
    let token = token("", bench.now.as_seconds());
    let sql = bench.relay.sql().clone();
    sql.execute("ALTER TABLE listed RENAME TO elsewhere", &[]).unwrap();
    let (answer, _) = bench.manage_by(token, "banpubkey", json!([key(0)]));
    assert!(matches!(answer, Ok(Err(_))), "{answer:?}");
    sql.execute("ALTER TABLE elsewhere RENAME TO listed", &[]).unwrap();
    assert_eq!(bench.manage_by(token, "banpubkey", json!([key(0)])).0, Ok(Ok(true.into())));
}

#[test]
fn a_banned_author_is_gone_piece_by_piece() {
    let mut bench = Bench::new();
    let kept = fixtures::signed_by(&fixtures::keys(1), 1, 1, &[], "");
    bench.publish(ALICE, &kept);
    let event = fixtures::signed(1, 1, &[&["t", "a"]]);
    bench.publish(ALICE, &event);
    // More events than are removed at once; stored directly, without verification.
    bench
        .relay
        .sql()
        .transaction(|| {
            for number in 0..1_200_u64 {
                let event = fixtures::signed(1, 2 + number, &[&["t", "a"]]);
                bench.relay.store().insert(bench.now, &event)?;
            }
            Ok::<_, openagents_host::SqlError>(())
        })
        .unwrap();
    bench.done("banpubkey", json!([key(0), "spam"]));
    let mut alarms = 0;
    while let Some(next) = bench.relay.next_alarm() {
        bench.now = bench.now.max(next);
        bench.relay.alarm(bench.now, &mut Vec::new());
        alarms += 1;
        assert!(alarms < 9);
    }
    assert!(alarms > 1);
    assert_eq!(bench.query(vec![Filter::new()]).unwrap(), [kept.json().to_string()]);
    assert!(bench.publish(ALICE, &event)[0].1.contains("blocked: "));
    assert_eq!(bench.shown("listbannedpubkeys"), json!([{"pubkey": key(0), "reason": "spam"}]));
    bench.done("unbanpubkey", json!([key(0)]));
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, ""))]);
}

#[test]
fn a_removal_goes_on_after_a_restart_and_stops_with_the_ban() {
    let mut bench = Bench::new();
    for at in 0..600 {
        bench.relay.store().insert(bench.now, &fixtures::signed(1, at, &[])).unwrap();
    }
    bench.done("banpubkey", json!([key(0)]));
    bench.relay.forget(bench.now);
    assert!(bench.relay.next_alarm().is_some_and(|next| next <= bench.now));
    bench.done("unbanpubkey", json!([key(0)]));
    bench.relay.forget(bench.now);
    assert_eq!(bench.relay.next_alarm(), None);
    assert_eq!(bench.query(vec![Filter::new()]).unwrap().len(), 100);
}

#[test]
fn a_banned_event_is_removed_and_refused_until_it_is_allowed() {
    let mut bench = Bench::new();
    let event = fixtures::signed(1, 1, &[&["t", "a"]]);
    bench.publish(ALICE, &event);
    bench.done("banevent", json!([event.id, "bad"]));
    assert_eq!(bench.query(vec![Filter::new()]).unwrap().len(), 0);
    assert!(bench.publish(ALICE, &event)[0].1.contains("blocked: this event is banned"));
    assert_eq!(bench.shown("listbannedevents"), json!([{"id": event.id, "reason": "bad"}]));
    bench.done("allowevent", json!([event.id]));
    assert_eq!(bench.shown("listbannedevents"), json!([]));
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, ""))]);
}

#[test]
fn kinds_are_allowed_and_disallowed() {
    let mut bench = Bench::new();
    let taken = |bench: &mut Bench| {
        [1, 7].map(|kind| {
            let at = bench.now.as_seconds();
            bench.now = bench.now + std::time::Duration::from_secs(1);
            bench.publish(ALICE, &fixtures::signed(kind, at, &[]))[0].1.contains(",true,")
        })
    };
    for (method, kind, expected, listed) in [
        ("disallowkind", 7, [true, false], json!([])),
        // Undoing a prohibition does not forbid other kinds.
        ("allowkind", 7, [true, true], json!([])),
        ("allowkind", 1, [true, false], json!([1])),
        ("allowkind", 7, [true, true], json!([1, 7])),
        ("disallowkind", 1, [false, true], json!([7])),
        ("allowkind", 1, [true, true], json!([1, 7])),
    ] {
        bench.done(method, json!([kind]));
        assert_eq!(taken(&mut bench), expected, "{method} {kind}");
        assert_eq!(bench.shown("listallowedkinds"), listed, "{method} {kind}");
    }
}

#[test]
fn a_blocked_address_is_disconnected() {
    let mut bench = Bench::new();
    let address = Some("192.0.2.1".parse().unwrap());
    let origin = Origin { challenge: "c".into(), address, ..Origin::default() };
    bench.handle(Input::Open { connection: BOB, origin });
    assert_eq!(bench.relay.may_connect(address), Ok(()));
    let effects = bench.done("blockip", json!(["192.0.2.1"]));
    assert!(effects.contains(&Effect::Disconnect(BOB)) && !effects.contains(&Effect::Disconnect(ALICE)));
    assert_eq!(messages(effects), [(BOB, r#"["NOTICE","blocked: your address is blocked here"]"#.into())]);
    assert!(bench.relay.may_connect(address).is_err());
    assert_eq!(bench.shown("listblockedips"), json!([{"ip": "192.0.2.1"}]));
    // Unblocking another address of the same network unblocks it as well.
    bench.done("blockip", json!(["2001:db8::1"]));
    bench.done("unblockip", json!(["2001:db8::2"]));
    bench.done("unblockip", json!(["192.0.2.1"]));
    assert_eq!(bench.shown("listblockedips"), json!([]));
    assert_eq!(bench.relay.may_connect(address), Ok(()));
}

#[test]
fn configured_entries_are_shown_but_not_changed() {
    let lists = Lists {
        allowed_pubkeys: [key(0)].into(),
        blocked_pubkeys: [key(1)].into(),
        blocked_kinds: [Kind(4)].into(),
        ..Lists::default()
    };
    let mut bench = Bench::empty(RelayConfig {
        admission: Admission { lists, ..Admission::default() },
        ..RelayConfig::default()
    });
    assert_eq!(
        bench.shown("listbannedpubkeys"),
        json!([{"pubkey": key(1), "reason": "in the configuration"}])
    );
    for (method, param) in
        [("unbanpubkey", json!(key(1))), ("unallowpubkey", json!(key(0))), ("allowkind", json!(4))]
    {
        let (answer, effects) = bench.manage(method, json!([param]));
        assert!(answer.unwrap_err().contains("configuration") && effects.is_empty(), "{method}");
    }
    bench.done("allowpubkey", json!([key(2), "pays"]));
    let allowed = bench.shown("listallowedpubkeys");
    assert_eq!(allowed.as_array().unwrap().len(), 2, "{allowed}");
}

#[test]
fn changes_outlive_the_memory_and_an_undone_transaction_takes_them_back() {
    let mut bench = Bench::new();
    bench.done("changerelayname", json!(["Ada's"]));
    bench.done("allowpubkey", json!([key(2)]));
    let rules = bench.relay.rules().clone();
    assert_eq!((rules.name.as_deref(), rules.lists.allowed_pubkeys.len()), (Some("Ada's"), 1));
    bench.relay.forget(bench.now);
    assert_eq!(bench.relay.rules(), &rules);
    let sql = bench.relay.sql().clone();
    let undone: Result<(), openagents_host::SqlError> = sql.transaction(|| {
        bench.done("changerelayname", json!(["Bob's"]));
        Err(openagents_host::SqlError::Statement("the disk is full".into()))
    });
    assert!(undone.is_err());
    bench.relay.rolled_back();
    assert_eq!(bench.relay.rules(), &rules);
}

#[test]
fn reports_wait_until_somebody_decides() {
    let mut bench = Bench::new();
    let [bad, fine] = [1, 2].map(|at| fixtures::signed(1, at, &[]));
    for event in [&bad, &fine] {
        bench.publish(ALICE, event);
    }
    let unknown = "ab".repeat(32);
    for (at, id, why) in [(3, bad.id.to_string(), "spam"), (4, fine.id.to_string(), ""), (5, unknown, "spam")]
    {
        let tags: &[&[&str]] = &[&["e", &id, why], &["e", "no id"]];
        let report = fixtures::signed_by(&fixtures::keys(1), 1_984, at, tags, "see there");
        bench.publish(ALICE, &report);
    }
    let waiting = bench.shown("listeventsneedingmoderation");
    let expected =
        [json!({"id": fine.id, "reason": "see there"}), json!({"id": bad.id, "reason": "spam: see there"})];
    assert_eq!(waiting, json!(expected));
    bench.done("banevent", json!([bad.id]));
    bench.done("allowevent", json!([fine.id]));
    assert_eq!(bench.shown("listeventsneedingmoderation"), json!([]));
}

#[test]
fn a_list_has_room_for_so_many() {
    let mut bench = Bench::new();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO listed (list, subject) SELECT 'banned pubkey', printf('%064x', i) FROM n";
    bench.relay.sql().batch(fill).unwrap();
    let (answer, _) = bench.manage("banpubkey", json!([key(0)]));
    assert!(answer.unwrap_err().contains("20000 entries"));
    // Another list still has room, and an existing entry can get another reason.
    bench.done("allowpubkey", json!([key(0)]));
    bench.done("banpubkey", json!([format!("{:064x}", 7), "again"]));
}

#[test]
fn a_database_failure_is_reported_without_its_message() {
    let mut bench = Bench::new();
    bench.relay.sql().batch("DROP TABLE listed").unwrap();
    let (answer, effects) = bench.manage("banpubkey", json!([key(0)]));
    assert_eq!(answer.unwrap_err(), "the relay could not reach its storage; try again");
    assert!(matches!(effects[..], [Effect::Failed(_)]));
}

#[test]
fn what_finds_no_room_on_its_list_changes_nothing() {
    let mut bench = Bench::new();
    let event = fixtures::signed(1, 1, &[]);
    bench.publish(ALICE, &event);
    let store = bench.relay.store();
    let filled = store.sql().transaction(|| {
        for number in 0..MAX_LISTED {
            for list in [List::BannedPubkeys, List::BannedEvents] {
                store.list(list, &format!("{number:064x}"), None)?;
            }
        }
        Ok::<_, openagents_host::SqlError>(())
    });
    filled.unwrap();
    for (method, subject) in [("banpubkey", event.pubkey.to_hex()), ("banevent", event.id.to_string())] {
        let (answer, effects) = bench.manage(method, json!([subject]));
        assert!(answer.unwrap_err().contains("this list is full"), "{method}");
        assert_eq!(effects, []);
    }
    assert!(!bench.relay.store().has_to_purge().unwrap());
    assert_eq!(
        bench.publish(ALICE, &event),
        [(ALICE, ok(&event, true, "duplicate: already have this event"))]
    );
}
