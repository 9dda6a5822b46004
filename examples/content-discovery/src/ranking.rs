//! Ranks notes.

use std::collections::{HashMap, HashSet};

use openagents_sdk::nostr::{Event, EventId, PublicKey};

/// The notes that start a conversation, best first: ranked by how many people reacted or replied, and by age.
pub(crate) fn ranked(notes: &[Event], echo: &[Event], now: u64) -> Vec<EventId> {
    let people = people_by_note(notes, echo);
    let score = |note: &Event| {
        let people = people.get(&note.id).map_or(0, HashSet::len);
        let hours = now.saturating_sub(note.created_at) as f64 / 3_600.0;
        (1 + people) as f64 / (hours + 2.0).powf(1.5)
    };
    let conversations = notes.iter().filter(|note| note.tags_named("e").next().is_none());
    let mut scored: Vec<(f64, EventId)> = conversations.map(|note| (score(note), note.id)).collect();
    scored.sort_by(|(one, one_id), (other, other_id)| other.total_cmp(one).then(one_id.cmp(other_id)));
    scored.into_iter().map(|(_, id)| id).collect()
}

/// The people who responded to each note, without its author; each counts once.
fn people_by_note(notes: &[Event], echo: &[Event]) -> HashMap<EventId, HashSet<PublicKey>> {
    let authors: HashMap<EventId, PublicKey> = notes.iter().map(|note| (note.id, note.pubkey)).collect();
    let mut people: HashMap<EventId, HashSet<PublicKey>> = HashMap::new();
    for event in echo.iter().filter(|event| !is_dislike(event)) {
        for id in event.tag_values("e").filter_map(|id| EventId::from_hex(id).ok()) {
            if authors.get(&id).is_some_and(|author| *author != event.pubkey) {
                people.entry(id).or_default().insert(event.pubkey);
            }
        }
    }
    people
}

/// A reaction of `-` (NIP-25).
fn is_dislike(event: &Event) -> bool {
    event.kind.0 == 7 && event.content == "-"
}

#[cfg(test)]
mod tests {
    use openagents_sdk::nostr::{Event, Keys, Kind, Timestamp, UnsignedEvent};

    use super::ranked;

    const NOW: u64 = 1_000_000;
    const HOUR: u64 = 3_600;

    fn event(author: u8, kind: u16, about: Option<&Event>, content: &str, age: u64) -> Event {
        let keys = Keys::from_secret(&[author; 32]).unwrap();
        let event = UnsignedEvent::new(Kind(kind), content);
        let tags = about.map(|about| vec!["e".to_owned(), about.id.to_hex()]);
        (*event.tags(tags).sign(&keys, Timestamp::from_seconds(NOW - age))).clone()
    }

    #[test]
    fn puts_new_notes_before_old_ones_and_discussed_ones_before_both() {
        let (old, new) = (event(1, 1, None, "old", 20 * HOUR), event(2, 1, None, "new", HOUR));
        let notes = [old.clone(), new.clone()];
        assert_eq!(ranked(&notes, &[], NOW), [new.id, old.id]);
        let talk: Vec<Event> = (10..40)
            .map(|author| event(author, if author % 2 == 0 { 7 } else { 1 }, Some(&old), "+", 0))
            .collect();
        assert_eq!(ranked(&notes, &talk, NOW), [old.id, new.id]);
    }

    #[test]
    fn counts_everybody_once_and_neither_the_author_nor_dislikes() {
        let (loud, quiet) = (event(1, 1, None, "loud", HOUR), event(2, 1, None, "quiet", HOUR));
        let notes = [loud.clone(), quiet.clone()];
        let mut talk: Vec<Event> = (0..9).map(|n| event(1, 1, Some(&loud), &n.to_string(), 0)).collect();
        talk.extend((10..20).map(|author| event(author, 7, Some(&loud), "-", 0)));
        talk.push(event(3, 7, Some(&loud), "+", 0));
        talk.extend((4..6).map(|author| event(author, 7, Some(&quiet), "+", 0)));
        assert_eq!(ranked(&notes, &talk, NOW), [quiet.id, loud.id]);
        talk.extend((0..9).map(|n| event(3, 1, Some(&loud), &n.to_string(), 0)));
        assert_eq!(ranked(&notes, &talk, NOW), [quiet.id, loud.id]);
    }

    #[test]
    fn leaves_out_replies() {
        let note = event(1, 1, None, "note", HOUR);
        let reply = event(2, 1, Some(&note), "reply", 0);
        assert_eq!(ranked(&[reply.clone(), note.clone()], &[reply], NOW), [note.id]);
        assert!(ranked(&[], &[], NOW).is_empty());
    }
}
