//! Tests of a connection's outbox: order, placeholders, memory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{
    AnswerSlot, ClientMemory, CloseReason, Outbox, OutboxItem, OutboxState, QueueSize, QueueUsage,
    SharedTexts,
};
use crate::admission::Network;
use openagents_host::nostr::message::{Completeness, RelayMessage, SubscriptionId};

fn event(subscription: &str, text: &str) -> RelayMessage {
    RelayMessage::Event { subscription: SubscriptionId::new(subscription).unwrap(), event: text.into() }
}

fn end(subscription: &str) -> RelayMessage {
    let subscription = SubscriptionId::new(subscription).unwrap();
    RelayMessage::EndOfStoredEvents { subscription, completeness: Completeness::Unknown }
}

fn told(message: RelayMessage, memory: &Arc<ClientMemory>) -> OutboxItem {
    let text = SharedTexts::of(memory).text(&message).unwrap();
    OutboxItem::SharedEvent(message, text)
}

fn awaited(slot: u64, subscription: &str) -> OutboxItem {
    OutboxItem::Awaited {
        slot: AnswerSlot(slot),
        subscription: (!subscription.is_empty()).then(|| SubscriptionId::new(subscription).unwrap()),
        request: 0,
        answer: None,
    }
}

fn state(items: Vec<OutboxItem>) -> OutboxState {
    OutboxState {
        socket: None,
        rest: Vec::new(),
        pong: None,
        awaited: items.iter().filter(|item| item.is_awaited()).count(),
        next_slot: 9,
        usage: {
            let mut usage = QueueUsage::none(Arc::default());
            usage.add(QueueSize::of(items.iter().map(OutboxItem::size)));
            usage
        },
        queue: items.into(),
        requests: 2,
        is_woken: true,
        close_reason: None,
    }
}

/// An outbox memory with this limit in bytes.
pub(in crate::native) fn memory(most: usize) -> Arc<ClientMemory> {
    Arc::new(ClientMemory::with_limit(most))
}

impl ClientMemory {
    pub(in crate::native) fn total(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// An outbox whose socket accepts no bytes.
pub(in crate::native) fn stuck(memory: &Arc<ClientMemory>) -> Arc<Outbox> {
    stuck_from(memory, None)
}

/// The same, of a client in this network.
pub(in crate::native) fn stuck_from(memory: &Arc<ClientMemory>, network: Option<Network>) -> Arc<Outbox> {
    let state = OutboxState { usage: QueueUsage::none(Arc::clone(memory)), ..state(Vec::new()) };
    Arc::new(Outbox {
        network,
        state: Mutex::new(state),
        wake: Notify::new(),
        drained: Notify::new(),
        closing: Notify::new(),
    })
}

impl Outbox {
    /// The frames that can be written now.
    pub(in crate::native) fn taken(&self) -> Vec<String> {
        ready(&mut self.state())
    }

    pub(in crate::native) fn close_reason(&self) -> Option<CloseReason> {
        self.state().close_reason
    }
}

fn ready(state: &mut OutboxState) -> Vec<String> {
    let text = |item| match item {
        OutboxItem::Message(message) | OutboxItem::SharedEvent(message, _) => Some(message.to_json()),
        OutboxItem::AnswerBegins(_) => None,
        other => panic!("{other:?}"),
    };
    state.take_ready().into_iter().filter_map(text).collect()
}

#[test]
fn items_behind_an_answer_wait_and_are_not_duplicated() {
    let mut state = state(vec![
        OutboxItem::Message(event("a", "0")),
        awaited(1, "a"),
        OutboxItem::Message(event("b", "1")),
        OutboxItem::Message(event("a", "1")),
        OutboxItem::Message(event("a", "2")),
        awaited(2, "a"),
        OutboxItem::Message(event("a", "1")),
        OutboxItem::Message(event("a", "2")),
    ]);
    assert_eq!(ready(&mut state), [r#"["EVENT","a",0]"#]);
    let later = vec![event("a", "1"), end("a")];
    assert!(state.answer(AnswerSlot(2), later), "a later answer may come first");
    assert_eq!(ready(&mut state), [""; 0]);
    assert!(state.answer(AnswerSlot(1), vec![event("a", "1"), end("a")]));
    assert_eq!(
        ready(&mut state),
        [
            r#"["EVENT","a",1]"#,
            r#"["EOSE","a"]"#,
            r#"["EVENT","b",1]"#,
            r#"["EVENT","a",2]"#,
            r#"["EVENT","a",1]"#,
            r#"["EOSE","a"]"#,
            r#"["EVENT","a",2]"#,
        ]
    );
    assert_eq!((state.awaited, state.requests), (0, 0));
}

#[test]
fn events_of_a_renewed_subscription_are_not_duplicates_of_the_old_one() {
    let mut state = state(vec![awaited(1, "a"), awaited(2, "a"), OutboxItem::Message(event("a", "1"))]);
    assert!(state.answer(AnswerSlot(1), vec![event("a", "1"), end("a")]));
    assert!(state.answer(AnswerSlot(2), vec![end("a")]));
    assert_eq!(
        ready(&mut state),
        [r#"["EVENT","a",1]"#, r#"["EOSE","a"]"#, r#"["EOSE","a"]"#, r#"["EVENT","a",1]"#]
    );
}

#[test]
fn an_answer_behind_one_that_is_awaited_keeps_what_both_have() {
    let begins = || OutboxItem::AnswerBegins(SubscriptionId::new("a").unwrap());
    for (marked, expected) in [(true, 4), (false, 3)] {
        let mut items = vec![
            awaited(1, "a"),
            begins(),
            OutboxItem::Message(event("a", "1")),
            OutboxItem::Message(end("a")),
        ];
        if !marked {
            items.remove(1);
        }
        let mut state = state(items);
        assert!(state.answer(AnswerSlot(1), vec![event("a", "1"), end("a")]));
        assert_eq!(ready(&mut state).len(), expected);
    }
}

#[test]
fn the_answer_to_a_count_stands_between_a_subscription_s_answer_and_its_events() {
    let mut state = state(vec![awaited(1, "a"), awaited(2, ""), OutboxItem::Message(event("a", "1"))]);
    assert!(state.answer(AnswerSlot(1), vec![event("a", "1"), end("a")]));
    assert_eq!(ready(&mut state), [r#"["EVENT","a",1]"#, r#"["EOSE","a"]"#]);
    let notice = RelayMessage::Notice("a count".into());
    assert!(state.answer(AnswerSlot(2), vec![notice]));
    assert_eq!(ready(&mut state), [r#"["NOTICE","a count"]"#]);
}

#[test]
fn an_answer_that_failed_leaves_its_place_and_its_request_to_what_is_said_instead() {
    let mut state = state(vec![awaited(1, "a"), OutboxItem::Message(event("b", "1"))]);
    assert!(state.answer(AnswerSlot(1), Vec::new()));
    assert_eq!(ready(&mut state), [r#"["EVENT","b",1]"#]);
    assert_eq!(state.requests, 2);
}

#[test]
fn counts_what_waits() {
    let mut state = state(vec![awaited(1, "a"), OutboxItem::Message(event("a", "1"))]);
    let answer = vec![event("a", "1"), event("a", "2"), end("a")];
    let size: usize = answer.iter().map(RelayMessage::size).sum();
    assert!(state.answer(AnswerSlot(1), answer));
    assert_eq!(state.usage.waiting, size);
    assert!(
        !self::state(vec![awaited(1, "a")])
            .answer(AnswerSlot(1), vec![event("a", &"x".repeat(super::MAX_QUEUED_BYTES))],)
    );
}

#[test]
fn a_pong_waits_for_no_answer_and_is_only_the_latest() {
    let mut state = state(vec![awaited(1, "a"), OutboxItem::Message(event("b", "1"))]);
    state.pong = Some(b"2".to_vec());
    let taken = state.take_ready();
    assert!(matches!(taken.iter().collect::<Vec<_>>()[..], [OutboxItem::Pong(payload)] if payload == b"2"));
    assert!(state.take_ready().is_empty());
    let waiting = state.usage.waiting;
    assert!(state.answer(AnswerSlot(1), vec![end("a")]));
    state.pong = Some(b"3".to_vec());
    assert!(matches!(state.take_ready().front(), Some(OutboxItem::Pong(_))));
    assert_eq!(waiting + end("a").size(), state.usage.waiting);
}

#[test]
fn what_is_dropped_or_written_is_held_no_longer() {
    let memory = Arc::new(ClientMemory::default());
    let total = || memory.total();
    let mut state = state(Vec::new());
    state.usage = QueueUsage::none(Arc::clone(&memory));
    let told = told(event("c", &"x".repeat(500)), &memory);
    for item in [awaited(1, "a"), awaited(2, "b"), OutboxItem::Message(end("c")), told] {
        state.awaited += usize::from(item.is_awaited());
        state.usage.add(item.size());
        state.queue.push_back(item);
    }
    let before = end("c").size() + super::queue_memory::SHARED_EVENT_BYTES + 500;
    assert_eq!(total(), before);
    let answer = vec![event("a", &"x".repeat(1_000)), end("a")];
    let size: usize = answer.iter().map(RelayMessage::size).sum();
    assert!(state.answer(AnswerSlot(2), answer.clone()) && state.answer(AnswerSlot(1), answer));
    assert_eq!(total(), 2 * size + before);
    state.queue.push_back(awaited(3, "a"));
    assert!(state.answer(AnswerSlot(3), vec![end("a")]));
    state.drop_queue();
    assert_eq!((total(), state.usage.waiting, state.queue.len()), (0, 0, 0));
    state.usage.add(OutboxItem::Message(end("c")).size());
    drop(state);
    assert_eq!(total(), 0);
}

#[test]
fn what_is_being_written_is_held_as_it_is_rendered_until_the_connection_is_given_up() {
    let memory = Arc::new(ClientMemory::default());
    let outbox = stuck(&memory);
    let mut texts = SharedTexts::of(&memory);
    let message = event("a", &"x".repeat(1_000));
    for _ in 0..3 {
        let _ = outbox.push_shared(message.clone(), &mut texts);
    }
    drop(texts);
    assert_eq!(memory.total(), 3 * super::queue_memory::SHARED_EVENT_BYTES + 1_000);
    let queued = outbox.memory();
    assert!(
        (3 * super::queue_memory::SHARED_EVENT_BYTES + 999
            ..=3 * super::queue_memory::SHARED_EVENT_BYTES + 1_000)
            .contains(&queued),
        "{queued}"
    );
    drop(outbox.taken());
    assert_eq!(memory.total(), 3 * message.size());
    outbox.drop_and_close(CloseReason::TOO_SLOW);
    assert_eq!(memory.total(), 0);
    outbox.state().usage.remove(QueueSize::rendered(3 * message.size()));
    assert_eq!(memory.total(), 0, "what was let go is not given back again");
}

#[test]
fn a_long_queue_is_taken_in_pieces_and_the_rest_can_be_dropped() {
    let text = "x".repeat(super::WRITE_CHUNK_BYTES / 2);
    let mut state = state((0..5).map(|_| OutboxItem::Message(event("a", &text))).collect());
    assert_eq!(state.take_ready().len(), 2);
    assert!(state.has_ready());
    state.drop_queue();
    assert!(!state.has_ready() && state.take_ready().is_empty());
    assert_eq!(state.usage.waiting, 2 * event("a", &text).size(), "what is being written");
}
