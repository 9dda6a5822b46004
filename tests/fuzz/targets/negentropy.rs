//! Fuzzes messages of a reconciliation (NIP-77), in hex as in `NEG-OPEN` and `NEG-MSG`: each side parses them or
//! reports an error, and the other side can parse its answer. And any two sets of events: both sides learn exactly
//! the difference.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openagents_host::{EventId, Timestamp};
use openagents_relay::nip77::{MAX_MESSAGE_BYTES, Reconciliation, Records, answer};
use openagents_relay::Limits;
use openagents_relay::admission::gate;

type Pairs = BTreeSet<(u64, EventId)>;

/// The protocol version, with which every message begins.
const VERSION: u8 = 0x61;

/// The most messages that two sides need for sets that fit into an input.
const MOST_ROUNDS: usize = 20;

/// Sets without events, with one event, and with so many that they are split into ranges.
static SETS: LazyLock<[Pairs; 3]> = LazyLock::new(|| {
    [0, 1, 300_u32].map(|count| (0..count).map(|number| pair(number / 3, number.to_be_bytes())).collect())
});

/// An id has one second: it is the hash of it. The protocol adds ids up, so they have to look like hashes (this is SplitMix64):
/// of small numbers, different ones often have the same sum. Some share their beginnings.
fn pair(second: u32, [.., high, low]: [u8; 4]) -> (u64, EventId) {
    let mut id = [0; 32];
    let mut state = u64::from(second) << 16 | u64::from(high) << 8 | u64::from(low);
    for part in id.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    id[..2].copy_from_slice(&[high % 4, high]);
    (second.into(), EventId::from_bytes(id))
}

fn records(pairs: &Pairs) -> Records {
    pairs.iter().copied().collect()
}

/// A message from this side.
fn check_sent(message: &[u8]) {
    assert_eq!(message.first(), Some(&VERSION));
    assert!(u64::try_from(message.len()).expect("small") <= MAX_MESSAGE_BYTES);
}

fn read_message(own: &Pairs, message: &[u8]) {
    let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [format!(r#"["NEG-OPEN","s",{{}},"{hex}"]"#), format!(r#"["NEG-MSG","s","{hex}"]"#)] {
        let now = Timestamp::from_seconds(1);
        drop(gate::admit(&text, &Limits::default(), now, |_| Ok(()), |_| Ok(())));
    }

    let (mut client, first) = Reconciliation::open(records(own)).expect("records fit");
    check_sent(&first);
    let replied = answer(&records(own), message);
    assert_eq!(answer(&records(own), message), replied);
    if let Ok(reply) = replied {
        check_sent(&reply);
        client.step(&reply).expect("our own messages can be read");
    }
    if let Ok(difference) = client.step(message) {
        assert!(difference.have.iter().all(|id| own.iter().any(|(_, own)| own == id)));
        assert!(difference.need.len() <= message.len() / 32);
        if let Some(next) = difference.next {
            check_sent(&next);
            answer(&records(own), &next).expect("our own messages can be read");
        }
    }
}

fn reconcile(own: &Pairs, theirs: &Pairs) {
    let relay = records(theirs);
    let (mut client, mut message) = Reconciliation::open(records(own)).expect("records fit");
    let (mut have, mut need) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..MOST_ROUNDS {
        check_sent(&message);
        let reply = answer(&relay, &message).expect("our own messages can be read");
        check_sent(&reply);
        let difference = client.step(&reply).expect("our own messages can be read");
        have.extend(difference.have);
        need.extend(difference.need);
        let Some(next) = difference.next else {
            let only = |one: &Pairs, other: &Pairs| -> BTreeSet<EventId> {
                one.difference(other).map(|(_, id)| *id).collect()
            };
            assert_eq!((have, need), (only(own, theirs), only(theirs, own)));
            return;
        };
        message = next;
    }
    panic!("the two sides come to no end");
}

/// The events of each side: which side has it, its second, and the beginning of its id.
fn sets(bytes: &[u8]) -> [Pairs; 2] {
    let mut sets = [Pairs::new(), Pairs::new()];
    for bytes in bytes.chunks_exact(4) {
        let [whose, second, high, low] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let pair = pair(second.into(), [0, 0, high, low]);
        for (number, set) in sets.iter_mut().enumerate() {
            if usize::from(whose % 3) != number {
                set.insert(pair);
            }
        }
    }
    sets
}

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    match SETS.get(usize::from(*first)) {
        Some(own) => read_message(own, bytes),
        None => {
            let [own, theirs] = sets(bytes);
            reconcile(&own, &theirs);
        }
    }
});
