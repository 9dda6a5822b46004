//! Synchronization with relays of different behaviour.

mod test_relay;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{EventId, Timestamp, VerifiedEvent};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{Direction, Method, Remote, RemoteError, Sink, SyncError, Synchronization, sync};
use crate::admission::access::Access;
use crate::fixtures;
use crate::native::tools::bulk_insert::{ImportCounts, Refusal};
use crate::store::Store;
use openagents_host::nostr::filter::Filter;
use test_relay::{RelayBehaviour, relay};

fn notes(range: std::ops::Range<u64>) -> Vec<VerifiedEvent> {
    // Several events per second, and many in one.
    let second = |n: u64| if n < 40 { 7 } else { n / 3 };
    range.map(|n| fixtures::signed(1, second(n), &[&["t", &n.to_string()]])).collect()
}

fn store(events: &[VerifiedEvent]) -> Store<Sqlite> {
    let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
    for event in events {
        store.insert(Timestamp::EPOCH, event).unwrap();
    }
    store
}

fn ids(events: &[VerifiedEvent]) -> BTreeSet<EventId> {
    events.iter().map(|event| event.id).collect()
}

fn stored(store: &Store<Sqlite>) -> BTreeSet<EventId> {
    let ids: Vec<(EventId,)> = store.sql().rows("SELECT id FROM event", &[]).unwrap();
    ids.into_iter().map(|(id,)| id).collect()
}

async fn run(store: &Store<Sqlite>, url: &str, direction: Direction) -> Result<Synchronization, SyncError> {
    run_with(Remote::connect(url).await.unwrap(), store, direction).await
}

/// The same with a key.
async fn run_as(
    number: usize,
    store: &Store<Sqlite>,
    url: &str,
    direction: Direction,
) -> Result<Synchronization, SyncError> {
    let remote = Remote::connect(url).await.unwrap();
    run_with(remote.authenticating_as(fixtures::keys(number), url), store, direction).await
}

async fn run_with(
    mut remote: Remote,
    store: &Store<Sqlite>,
    direction: Direction,
) -> Result<Synchronization, SyncError> {
    let stop = AtomicBool::new(false);
    sync(store, Sink::Store(&Access::default()), &mut remote, &Filter::new(), direction, &stop, &mut |_| ())
        .await
}

const NO_NIP_77: [fn(&str) -> Value; 4] = [
    |_| json!(["NOTICE", "ERROR: negentropy disabled"]),
    |_| json!(["NOTICE", "invalid: unknown message type NEG-OPEN"]),
    |name| json!(["NEG-ERR", name, "blocked: this relay does not reconcile"]),
    |name| json!(["CLOSED", name, "unsupported: NEG-OPEN"]),
];

#[tokio::test]
async fn gives_each_side_what_it_lacks() {
    let events = notes(0..400);
    let (store, (url, theirs)) =
        (store(&events[..300]), relay(&events[100..], RelayBehaviour::default()).await);
    let done = run(&store, &url, Direction::Both).await.unwrap();
    assert_eq!((done.method, done.to_fetch, done.to_send), (Method::Reconciliation, Some(100), Some(100)));
    assert_eq!((done.down.accepted, done.up.accepted, done.withheld), (100, 100, 0));
    assert!(done.is_complete());
    assert_eq!(stored(&store), ids(&events));
    assert_eq!(ids(&theirs.lock().unwrap()), ids(&events));
    let done = run(&store, &url, Direction::Both).await.unwrap();
    assert_eq!((done.to_fetch, done.to_send), (Some(0), Some(0)));
}

#[tokio::test]
async fn pages_through_relays_that_do_not_reconcile() {
    for (instead, most_given) in NO_NIP_77.into_iter().zip([100, 50, 45, 1_000]) {
        let events = notes(0..400);
        let manner =
            RelayBehaviour { instead_of_reconciling: Some(instead), most_given, ..RelayBehaviour::default() };
        let (store, (url, theirs)) = (store(&events[..300]), relay(&events[100..], manner).await);
        let done = run(&store, &url, Direction::Both).await.unwrap();
        assert_eq!((done.method, done.looked_at), (Method::Paging, 300));
        assert_eq!((done.down.accepted, done.down.duplicates), (100, 0));
        assert_eq!((done.up.accepted, done.up.duplicates), (100, 0));
        assert!(done.is_complete(), "{:?}", done.unreached);
        assert_eq!(stored(&store), ids(&events));
        assert_eq!(ids(&theirs.lock().unwrap()), ids(&events));
    }
}

#[tokio::test]
async fn sends_all_to_a_relay_that_cannot_tell_what_it_lacks() {
    let events = notes(0..100);
    let manner = RelayBehaviour { instead_of_reconciling: Some(NO_NIP_77[0]), ..RelayBehaviour::default() };
    let (url, theirs) = relay(&events[60..], manner).await;
    let done = run(&store(&events[..80]), &url, Direction::Up).await.unwrap();
    assert_eq!((done.up.accepted, done.up.duplicates, done.down.total()), (60, 20, 0));
    assert_eq!(theirs.lock().unwrap().len(), 100);
}

#[tokio::test]
async fn splits_queries_that_are_too_large() {
    let events = notes(0..400);
    for most_compared in [399, 90, 45] {
        let manner = RelayBehaviour { most_compared, ..RelayBehaviour::default() };
        let (store, (url, theirs)) = (store(&events[..300]), relay(&events[100..], manner).await);
        let done = run(&store, &url, Direction::Both).await.unwrap();
        assert_eq!((done.down.accepted, done.up.accepted), (100, 100), "{most_compared}");
        assert_eq!((stored(&store), theirs.lock().unwrap().len()), (ids(&events), 400));
    }
    // Forty have the same second, which is paged.
    let manner = RelayBehaviour { most_compared: 20, ..RelayBehaviour::default() };
    let (store, (url, theirs)) = (store(&events[..300]), relay(&events[10..], manner).await);
    let done = run(&store, &url, Direction::Both).await.unwrap();
    assert_eq!((done.method, done.is_complete()), (Method::Reconciliation, true));
    assert_eq!((stored(&store), ids(&theirs.lock().unwrap())), (ids(&events), ids(&events)));
}

#[tokio::test]
async fn pages_through_a_relay_for_which_every_query_is_too_large() {
    let events = notes(0..400);
    let whatever_it_has = RelayBehaviour { most_compared: 0, ..RelayBehaviour::default() };
    let whatever_it_is_asked = RelayBehaviour {
        instead_of_reconciling: Some(|name| json!(["NEG-ERR", name, "blocked: this query is too big"])),
        ..RelayBehaviour::default()
    };
    for manner in [whatever_it_has, whatever_it_is_asked] {
        let asked = Arc::clone(&manner.asked_to_reconcile);
        let (store, (url, theirs)) = (store(&events[..300]), relay(&events[100..], manner).await);
        let done = run(&store, &url, Direction::Both).await.unwrap();
        assert!(done.is_complete(), "{:?}", done.unreached);
        assert!(asked.load(Ordering::Relaxed) <= 500, "{asked:?}");
        assert_eq!((stored(&store), ids(&theirs.lock().unwrap())), (ids(&events), ids(&events)));
    }
}

#[tokio::test]
async fn pauses_when_there_are_too_many_requests() {
    let events = notes(0..400);
    for (instead_of_reconciling, method) in
        [(None, Method::Reconciliation), (Some(NO_NIP_77[0]), Method::Paging)]
    {
        let manner =
            RelayBehaviour { refused_of_three: 2, instead_of_reconciling, ..RelayBehaviour::default() };
        let asked = Arc::clone(&manner.asked_to_reconcile);
        let (store, (url, _)) = (store(&[]), relay(&events, manner).await);
        let mut remote = Remote::connect(&url).await.unwrap();
        remote.first_pause = Duration::from_millis(1);
        let done = run_with(remote, &store, Direction::Down).await.unwrap();
        assert_eq!((done.method, done.is_complete(), stored(&store)), (method, true, ids(&events)));
        assert!(asked.load(Ordering::Relaxed) <= 3, "{asked:?}");
    }
    // It never serves anything.
    let manner = RelayBehaviour { refused_of_three: 3, ..RelayBehaviour::default() };
    let asked = Arc::clone(&manner.asked_to_reconcile);
    let (url, _) = relay(&events, manner).await;
    let mut remote = Remote::connect(&url).await.unwrap();
    remote.first_pause = Duration::from_millis(1);
    let error = run_with(remote, &store(&[]), Direction::Down).await.unwrap_err();
    assert!(
        matches!(&error, SyncError::Remote(RemoteError::Refused(why)) if why.contains("in a minute")),
        "{error}"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 9);
}

#[tokio::test]
async fn pages_through_a_relay_that_is_silent_about_reconciliation() {
    let events = notes(0..400);
    let manner =
        RelayBehaviour { instead_of_reconciling: Some(|_| Value::Null), ..RelayBehaviour::default() };
    let (store, (url, _)) = (store(&[]), relay(&events, manner).await);
    let mut remote = Remote::connect(&url).await.unwrap();
    remote.reconciliation_timeout = Duration::from_millis(10);
    let done = run_with(remote, &store, Direction::Down).await.unwrap();
    assert_eq!((done.method, done.is_complete()), (Method::Paging, true));
    assert_eq!(stored(&store), ids(&events));
}

/// `count` notes of the same second.
fn of_second(second: u64, count: u64) -> impl Iterator<Item = VerifiedEvent> {
    (0..count).map(move |n| fixtures::signed(1, second, &[&["t", &n.to_string()]]))
}

/// A relay that has to be paged.
fn without_nip_77(most_given: usize) -> RelayBehaviour {
    RelayBehaviour { instead_of_reconciling: Some(NO_NIP_77[0]), most_given, ..RelayBehaviour::default() }
}

#[tokio::test]
async fn says_which_seconds_have_more_events_than_a_page() {
    let of = |seconds: &[(u64, u64)]| -> Vec<VerifiedEvent> {
        seconds.iter().flat_map(|(second, count)| of_second(*second, *count)).collect()
    };
    for (seconds, most_given, unreached, came) in [
        // In the middle, at the end, at second 0, and nothing else.
        (vec![(9, 5), (7, 30), (5, 5)], 20, vec![7..=7], 30),
        (vec![(9, 30), (7, 30)], 20, vec![9..=9, 7..=7], 40),
        (vec![(9, 5), (0, 30)], 20, vec![0..=0], 25),
        (vec![(0, 70)], 60, vec![0..=0], 60),
        (vec![(7, 70)], 60, vec![7..=7], 60),
        // All of it.
        (vec![(9, 5), (7, 19), (5, 5)], 20, vec![], 29),
        (vec![(9, 30), (0, 19)], 40, vec![], 49),
        (vec![(0, 30)], 40, vec![], 30),
        (vec![(9, 5), (7, 520), (5, 5)], 1_000, vec![], 530),
    ] {
        let (empty, (url, _)) = (store(&[]), relay(&of(&seconds), without_nip_77(most_given)).await);
        let done = run(&empty, &url, Direction::Down).await.unwrap();
        assert_eq!((&done.unreached, done.down.accepted), (&unreached, came), "{seconds:?}");
        assert_eq!(done.is_complete(), unreached.is_empty());
    }
}

#[tokio::test]
async fn says_what_a_relay_did_not_return_that_ignores_until() {
    let events = notes(0..400);
    let (store, (url, _)) =
        (store(&[]), relay(&events, RelayBehaviour { ignores_until: true, ..without_nip_77(100) }).await);
    let done = run(&store, &url, Direction::Down).await.unwrap();
    let oldest = events[300].created_at;
    assert_eq!((done.unreached.as_slice(), done.down.accepted), ([0..=oldest].as_slice(), 100));
    assert!(!done.is_complete());
}

#[tokio::test]
async fn ignores_invalid_events_and_does_not_wait_for_withheld_ones() {
    let mut events = notes(0..10);
    events.push(fixtures::signed(7, 2_000, &[]));
    let (url, _) = relay(&events, RelayBehaviour { forges: true, ..RelayBehaviour::default() }).await;
    let empty = store(&[]);
    let done = run(&empty, &url, Direction::Down).await.unwrap();
    assert_eq!((done.down.accepted, done.down.refused[&Refusal::Invalid]), (0, 11));
    assert!(stored(&empty).is_empty());
    let (url, _) = relay(&events, RelayBehaviour { withholds: 7, ..RelayBehaviour::default() }).await;
    let done = run(&empty, &url, Direction::Down).await.unwrap();
    assert_eq!((done.down.accepted, done.withheld, done.is_complete()), (10, 1, false));
}

#[tokio::test]
async fn pages_only_by_valid_events() {
    let manner = RelayBehaviour {
        forges: true,
        instead_of_reconciling: Some(NO_NIP_77[0]),
        ..RelayBehaviour::default()
    };
    let (url, _) = relay(&notes(0..10), manner).await;
    let empty = store(&[]);
    let error = run(&empty, &url, Direction::Down).await.unwrap_err();
    assert!(matches!(error, SyncError::Remote(RemoteError::Invalid)), "{error}");
    assert!(stored(&empty).is_empty());
}

#[tokio::test]
async fn counts_refusals_and_repeats_rate_limited_events() {
    let events = notes(0..10);
    let refusing = |refusal| RelayBehaviour { refusal: Some(refusal), ..RelayBehaviour::default() };
    let (url, theirs) = relay(&[], refusing("blocked: not yours")).await;
    let done = run(&store(&events), &url, Direction::Up).await.unwrap();
    assert_eq!(done.up.accepted, 5);
    assert_eq!(done.up.refused[&Refusal::ByRelay("blocked".to_owned())], 5);
    assert_eq!(done.up.reasons, ["blocked: not yours"]);
    assert_eq!(theirs.lock().unwrap().len(), 5);
    let (url, theirs) = relay(&[], refusing("rate-limited: slow down")).await;
    let done = run(&store(&events[..3]), &url, Direction::Up).await.unwrap();
    assert_eq!((done.up.accepted, done.up.all_refused()), (3, 0));
    assert_eq!(theirs.lock().unwrap().len(), 3);
}

/// A relay that speaks only to the owner of key 1.
fn closed() -> RelayBehaviour {
    RelayBehaviour { members: Some(vec![fixtures::keys(1).public_key()]), ..RelayBehaviour::default() }
}

#[tokio::test]
async fn authenticates_and_repeats_the_request() {
    let events = notes(0..400);
    let paging = RelayBehaviour { instead_of_reconciling: Some(NO_NIP_77[0]), ..closed() };
    for (manner, method) in [(closed(), Method::Reconciliation), (paging, Method::Paging)] {
        let (store, (url, theirs)) = (store(&events[..300]), relay(&events[100..], manner).await);
        let done = run_as(1, &store, &url, Direction::Both).await.unwrap();
        assert_eq!((done.method, done.is_complete()), (method, true));
        assert_eq!((done.down.accepted, done.up.accepted, done.up.all_refused()), (100, 100, 0));
        assert_eq!((stored(&store), theirs.lock().unwrap().len()), (ids(&events), 400));
    }
}

#[tokio::test]
async fn authenticates_if_only_writing_requires_it() {
    let events = notes(0..300);
    let (url, theirs) = relay(&[], closed()).await;
    let mut remote = Remote::connect(&url).await.unwrap().authenticating_as(fixtures::keys(1), &url);
    let (mut counts, stop) = (ImportCounts::default(), AtomicBool::new(false));
    // More events than are sent before the first acknowledgement.
    remote.publish(&events, &stop, &mut counts).await.unwrap();
    remote.close().await;
    assert_eq!((counts.accepted, counts.total()), (300, 300), "{counts:?}");
    assert_eq!(ids(&theirs.lock().unwrap()), ids(&events));
    let mut stranger = Remote::connect(&url).await.unwrap();
    for identity in [None, Some(0)] {
        if let Some(number) = identity {
            stranger = stranger.authenticating_as(fixtures::keys(number), &url);
        }
        let mut counts = ImportCounts::default();
        stranger.publish(&events[..200], &stop, &mut counts).await.unwrap();
        assert_eq!(counts.refused[&Refusal::ByRelay("auth-required".to_owned())], 200, "{counts:?}");
        let says = if identity.is_some() { "you are no member" } else { "members only" };
        assert!(counts.reasons[0].contains(says), "{counts:?}");
    }
}

#[tokio::test]
async fn reports_why_a_relay_refuses() {
    for instead_of_reconciling in [None, Some(NO_NIP_77[0])] {
        let manner = RelayBehaviour { instead_of_reconciling, ..closed() };
        let (url, _) = relay(&notes(0..10), manner.clone()).await;
        let empty = store(&[]);
        let error = run(&empty, &url, Direction::Both).await.unwrap_err();
        assert!(
            matches!(&error, SyncError::Remote(RemoteError::NoKey(why)) if why.contains("members only")),
            "{error}"
        );
        let error = run_as(0, &empty, &url, Direction::Both).await.unwrap_err();
        assert!(
            matches!(&error, SyncError::Remote(RemoteError::AuthRejected { who, reason })
                if who.starts_with("npub1") && reason.contains("no member")),
            "{error}"
        );
        let (url, _) = relay(&notes(0..10), RelayBehaviour { answers_before_it_forgets: 0, ..manner }).await;
        let error = run_as(1, &empty, &url, Direction::Both).await.unwrap_err();
        assert!(
            matches!(&error, SyncError::Remote(RemoteError::Restricted { reason, .. }) if reason.contains("only")),
            "{error}"
        );
        assert!(stored(&empty).is_empty());
    }
}

#[tokio::test]
async fn authenticates_again_if_the_relay_forgets() {
    let events = notes(0..400);
    for instead_of_reconciling in [None, Some(NO_NIP_77[0])] {
        let manner = RelayBehaviour { instead_of_reconciling, answers_before_it_forgets: 1, ..closed() };
        let (store, (url, _)) = (store(&[]), relay(&events, manner).await);
        let done = run_as(1, &store, &url, Direction::Down).await.unwrap();
        assert_eq!((done.down.accepted, done.is_complete()), (400, true));
        assert_eq!(stored(&store), ids(&events));
    }
}

#[tokio::test]
async fn repeats_each_request_at_most_once() {
    // It accepts every authentication, immediately sends another challenge, and answers nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(0_u32));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut challenges = 0..1_000_u32;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(text.as_str()).unwrap();
            let challenge = json!(["AUTH", challenges.next().unwrap().to_string()]);
            let refused = "auth-required: say it again";
            let answers = match message[0].as_str().unwrap() {
                "AUTH" => vec![json!(["OK", message[1]["id"], true, ""])],
                "NEG-OPEN" => vec![challenge, json!(["NEG-ERR", message[1], refused])],
                "REQ" => vec![challenge, json!(["CLOSED", message[1], refused])],
                _ => continue,
            };
            *counted.lock().unwrap() += u32::from(message[0] != "AUTH");
            for answer in answers {
                if socket.send(Message::text(answer.to_string())).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut remote = Remote::connect(&url).await.unwrap().authenticating_as(fixtures::keys(1), &url);
    let stop = AtomicBool::new(false);
    let error = remote.fetch(&Filter::new(), &stop).await.map(drop).unwrap_err();
    assert!(matches!(&error, RemoteError::Restricted { reason, .. } if reason.contains("again")), "{error}");
    assert_eq!(*asked.lock().unwrap(), 2);
    // Another request may authenticate again.
    let error = run_with(remote, &store(&[]), Direction::Down).await.unwrap_err();
    assert!(matches!(error, SyncError::Remote(RemoteError::Restricted { .. })), "{error}");
    assert_eq!(*asked.lock().unwrap(), 4);
}

#[tokio::test]
async fn stops_when_told() {
    let events = notes(0..400);
    for instead_of_reconciling in [None, Some(NO_NIP_77[0])] {
        let (url, _) =
            relay(&events, RelayBehaviour { instead_of_reconciling, ..RelayBehaviour::default() }).await;
        let mut remote = Remote::connect(&url).await.unwrap();
        let (store, stop, access) = (store(&[]), AtomicBool::new(false), Access::default());
        let mut after_the_first =
            |sync: &Synchronization| stop.store(sync.down.total() > 0, Ordering::Relaxed);
        let down = Direction::Down;
        let done = sync(
            &store,
            Sink::Store(&access),
            &mut remote,
            &Filter::new(),
            down,
            &stop,
            &mut after_the_first,
        )
        .await;
        let done = done.unwrap();
        remote.close().await;
        assert!(!done.is_complete() && done.down.accepted > 0 && done.down.accepted < 400, "{done:?}");
        // The next run transfers the rest.
        let done = run(&store, &url, Direction::Down).await.unwrap();
        assert!(done.is_complete());
        assert_eq!(stored(&store), ids(&events));
    }
}

#[tokio::test]
async fn says_that_the_other_side_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.next().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    assert!(matches!(run(&store(&[]), &url, Direction::Both).await, Err(SyncError::Remote(_))));
    assert!(matches!(Remote::connect(&url).await, Err(RemoteError::Connect { .. })));
}
