//! Synchronization with relays of different behaviour.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openagents_host::native::Sqlite;
use openagents_host::{EventId, PublicKey, Timestamp, VerifiedEvent};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{Direction, Method, Remote, RemoteError, Sink, SyncError, Synchronization, sync};
use crate::admission::access::Access;
use crate::fixtures;
use crate::native::tools::bulk_insert::{ImportCounts, Refusal};
use crate::nip77::{Records, answer};
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::Filter;

/// The behaviour of a test relay.
#[derive(Clone)]
struct RelayBehaviour {
    /// Its answer to `NEG-OPEN` if it does not support reconciliation.
    instead_of_reconciling: Option<fn(&str) -> Value>,
    /// How many events it compares in a reconciliation.
    most_compared: usize,
    /// How many events it returns per request.
    most_given: usize,
    /// Its answer to every second event.
    refusal: Option<&'static str>,
    /// A kind that it never returns.
    withholds: u16,
    /// Whether it alters the events it returns.
    forges: bool,
    /// The only keys that it serves, unless it serves everybody (NIP-42).
    members: Option<Vec<PublicKey>>,
    /// How many requests it answers before it forgets an authentication.
    answers_before_it_forgets: u32,
}

impl Default for RelayBehaviour {
    fn default() -> Self {
        Self {
            instead_of_reconciling: None,
            most_compared: usize::MAX,
            most_given: 100,
            refusal: None,
            withholds: 9_999,
            forges: false,
            members: None,
            answers_before_it_forgets: u32::MAX,
        }
    }
}

type Events = Arc<Mutex<Vec<VerifiedEvent>>>;

/// A test relay on a port of its own.
async fn relay(events: &[VerifiedEvent], manner: RelayBehaviour) -> (String, Events) {
    let events: Events = Arc::new(Mutex::new(events.to_vec()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&events);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let events = Arc::clone(&served);
            let mut server = Server {
                events,
                manner: manner.clone(),
                records: None,
                came: 0,
                is_known: false,
                answered: 0,
            };
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                for answer in server.answer(&serde_json::from_str(text.as_str()).unwrap()) {
                    socket.send(Message::text(answer.to_string())).await.unwrap();
                }
            }
        }
    });
    (url, events)
}

struct Server {
    events: Events,
    manner: RelayBehaviour,
    records: Option<Records>,
    came: u32,
    is_known: bool,
    /// How many requests it has answered since the authentication.
    answered: u32,
}

impl Server {
    fn matching(&self, filter: &Value) -> Vec<VerifiedEvent> {
        let filter = Filter::from_json(&filter.to_string()).unwrap();
        let events = self.events.lock().unwrap();
        let mut found: Vec<_> = events.iter().filter(|event| filter.matches(event)).cloned().collect();
        found.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
        found.truncate(filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
        found
    }

    fn answer(&mut self, message: &Value) -> Vec<Value> {
        let name = message[1].clone();
        let verb = message[0].as_str().unwrap();
        if matches!(verb, "REQ" | "NEG-OPEN") {
            self.is_known &= self.answered < self.manner.answers_before_it_forgets;
            self.answered = self.answered.saturating_add(1);
        }
        if self.manner.members.is_some() && !self.is_known && verb != "AUTH" && verb != "CLOSE" {
            let refused = "auth-required: members only";
            let refusal = match verb {
                "EVENT" => json!(["OK", name["id"], false, refused]),
                "REQ" => json!(["CLOSED", name, refused]),
                _ => json!(["NEG-ERR", name, refused]),
            };
            // The challenge may come before or after the refusal.
            return match self.came.is_multiple_of(2) {
                true => vec![json!(["AUTH", "who are you?"]), refusal],
                false => vec![refusal, json!(["AUTH", "who are you?"])],
            };
        }
        match message[0].as_str().unwrap() {
            "NEG-OPEN" => {
                if let Some(answer) = self.manner.instead_of_reconciling {
                    return vec![answer(name.as_str().unwrap())];
                }
                let found = self.matching(&message[2]);
                if found.len() > self.manner.most_compared {
                    return vec![json!(["NEG-ERR", name, "blocked: this query is too big", 10])];
                }
                self.records = Some(found.iter().map(|event| (event.created_at, event.id)).collect());
                vec![self.step(&name, &message[3])]
            }
            "NEG-MSG" => vec![self.step(&name, &message[2])],
            "REQ" => {
                let mut found = self.matching(&message[2]);
                found.truncate(self.manner.most_given);
                found.retain(|event| event.kind.0 != self.manner.withholds);
                let event = |event: &VerifiedEvent| {
                    let mut json: Value = serde_json::from_str(event.json()).unwrap();
                    if self.manner.forges {
                        json["content"] = json!("forged");
                    }
                    json!(["EVENT", name, json])
                };
                found.iter().map(event).chain([json!(["EOSE", name])]).collect()
            }
            "EVENT" => {
                let event = openagents_host::Event::from_json(&name.to_string()).unwrap().verify().unwrap();
                self.came = self.came.saturating_add(1);
                if let Some(refusal) = self.manner.refusal.filter(|_| self.came.is_multiple_of(2)) {
                    return vec![json!(["OK", event.id, false, refusal])];
                }
                let id = event.id;
                let mut events = self.events.lock().unwrap();
                if events.contains(&event) {
                    return vec![json!(["OK", id, true, "duplicate: known"])];
                }
                events.push(event);
                vec![json!(["OK", id, true, ""])]
            }
            "AUTH" => {
                let event = openagents_host::Event::from_json(&name.to_string()).unwrap().verify().unwrap();
                assert_eq!(
                    (event.kind.0, event.tag_values("challenge").next()),
                    (22_242, Some("who are you?"))
                );
                assert!(event.tag_values("relay").next().unwrap().starts_with("ws://127.0.0.1:"));
                if !self.manner.members.as_ref().is_some_and(|members| members.contains(&event.pubkey)) {
                    return vec![json!(["OK", event.id, false, "restricted: you are no member"])];
                }
                self.is_known = true;
                self.answered = 0;
                vec![json!(["OK", event.id, true, ""])]
            }
            _ => vec![],
        }
    }

    fn step(&self, name: &Value, message: &Value) -> Value {
        let message = base16ct::lower::decode_vec(message.as_str().unwrap()).unwrap();
        let answer = answer(self.records.as_ref().unwrap(), &message).unwrap();
        json!(["NEG-MSG", name, base16ct::lower::encode_string(&answer)])
    }
}

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
    let mut ids = BTreeSet::new();
    let all = Viewer::everything();
    let mut insert = |id: &EventId, _: &_, _| assert!(ids.insert(*id));
    store.each_match(Timestamp::EPOCH, &Filter::new(), &all, 10_000, 10_000, &mut insert).unwrap();
    ids
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
    assert!(done.is_complete);
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
    // Forty have the same second.
    let (url, _) = relay(&events, RelayBehaviour { most_compared: 20, ..RelayBehaviour::default() }).await;
    let error = run(&store(&[]), &url, Direction::Both).await.unwrap_err();
    assert!(
        matches!(&error, SyncError::Remote(RemoteError::Refused(why)) if why.contains("too big")),
        "{error}"
    );
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
    assert_eq!((done.down.accepted, done.withheld), (10, 1));
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
        assert_eq!((done.method, done.is_complete), (method, true));
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
        assert_eq!((done.down.accepted, done.is_complete), (400, true));
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
        assert!(!done.is_complete && done.down.accepted > 0 && done.down.accepted < 400, "{done:?}");
        // The next run transfers the rest.
        let done = run(&store, &url, Direction::Down).await.unwrap();
        assert!(done.is_complete);
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
