//! How many events go into one call between Durable Objects.

use std::collections::VecDeque;

/// The most events in a call.
pub const MAX_EVENTS: usize = 64;

/// The most bytes of their JSON, of which both objects hold several copies. One event alone may be longer.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Takes the events of the next call from a queue, in its order: at least one, unless it is empty. `length` is the
/// number of bytes of an event's JSON.
pub fn take_batch<T>(waiting: &mut VecDeque<T>, length: impl Fn(&T) -> usize) -> Vec<T> {
    let (mut count, mut bytes) = (0_usize, 0_usize);
    for event in waiting.iter().take(MAX_EVENTS) {
        bytes = bytes.saturating_add(length(event));
        if count > 0 && bytes > MAX_BYTES {
            break;
        }
        count = count.saturating_add(1);
    }
    waiting.drain(..count).collect()
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, MAX_EVENTS, take_batch};

    /// The lengths of the events of each call, for events of these lengths.
    fn calls(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut waiting = lengths.into_iter().collect();
        let next = || Some(take_batch(&mut waiting, |length| *length)).filter(|batch| !batch.is_empty());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_call_has_so_many_events_at_most() {
        let counts: Vec<usize> = calls(vec![500; 150]).iter().map(Vec::len).collect();
        assert_eq!(counts, [MAX_EVENTS, MAX_EVENTS, 22]);
    }

    #[test]
    fn a_call_has_so_many_bytes_at_most_unless_it_is_one_event() {
        let half = MAX_BYTES / 2;
        assert_eq!(calls([half, half, 1]), [vec![half, half], vec![1]]);
        let long = MAX_BYTES + 1;
        assert_eq!(calls([1, long, long, 1]), [vec![1], vec![long], vec![long], vec![1]]);
    }
}
