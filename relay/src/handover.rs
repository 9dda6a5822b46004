//! Which events the relay hands over to an agent.

use std::ops::RangeInclusive;

use openagents_host::{Event, EventId, Kind, PublicKey};

use openagents_host::nostr::filter::OneOf;

/// The kind of deletion requests (NIP-09).
const DELETION: Kind = Kind(5);

/// Which events are handed over to the agent.
///
/// ```
/// use openagents_relay::HandoverRule;
/// use openagents_host::nostr::filter::OneOf;
/// use openagents_host::Kind;
///
/// let jobs: HandoverRule = [Kind(5050), Kind(5100)].into_iter().collect();
/// let with_what_takes_them_back = HandoverRule { deletions_of: Some(5000..=5999), ..jobs };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandoverRule {
    /// All events of these kinds.
    pub kinds: OneOf<Kind>,
    /// Deletion requests (NIP-09) that may concern events of these kinds: they name an event (`e`), and either have no
    /// `k` tag or one with such a kind. Most deletions concern something else and cost nothing.
    pub deletions_of: Option<RangeInclusive<u16>>,
    /// Events that are addressed to the agent.
    pub addressed: AddressedEvents,
}

/// Events of some kinds that name a key in a `p` tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressedEvents {
    /// The kinds.
    pub kinds: OneOf<Kind>,
    /// The key; any if it is not known.
    pub to: Option<PublicKey>,
}

impl AddressedEvents {
    fn wants(&self, event: &Event) -> bool {
        let is_named = |key: &str| match &self.to {
            Some(to) => key == to.to_hex(),
            None => PublicKey::from_hex(key).is_ok(),
        };
        self.kinds.contains(&event.kind) && event.tag_values("p").any(is_named)
    }
}

impl HandoverRule {
    /// Whether this event is handed over.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.kinds.contains(&event.kind)
            || self.addressed.wants(event)
            || self.deletions_of.as_ref().is_some_and(|kinds| may_delete_one_of(kinds, event))
    }
}

fn may_delete_one_of(kinds: &RangeInclusive<u16>, event: &Event) -> bool {
    let names_an_event = || event.tag_values("e").any(|id| EventId::from_hex(id).is_ok());
    let may_be_of_the_kinds = || {
        let mut named = event.tag_values("k").peekable();
        named.peek().is_none() || named.any(|kind| kind.parse().is_ok_and(|kind| kinds.contains(&kind)))
    };
    event.kind == DELETION && names_an_event() && may_be_of_the_kinds()
}

/// All events of these kinds, and no others.
impl FromIterator<Kind> for HandoverRule {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self { kinds: kinds.into_iter().collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Kind;

    use super::{AddressedEvents, HandoverRule};
    use crate::fixtures;

    #[test]
    fn wants_the_kinds_that_are_named_and_no_deletions_unless_asked() {
        let rule: HandoverRule = [Kind(5_050), Kind(25_050)].into_iter().collect();
        let id = "ab".repeat(32);
        for (kind, wanted) in [(5_050, true), (25_050, true), (5_051, false), (1, false), (5, false)] {
            assert_eq!(rule.wants(&fixtures::signed(kind, 1, &[&["e", &id]])), wanted, "{kind}");
        }
        assert!(!HandoverRule::default().wants(&fixtures::signed(5_050, 1, &[])));
    }

    #[test]
    fn wants_what_is_addressed_to_the_agent_or_to_anybody_if_its_key_is_not_known() {
        let me = fixtures::keys(2).public_key();
        let (mine, other) = (me.to_hex(), "ab".repeat(32));
        let rule = |to| HandoverRule {
            addressed: AddressedEvents { kinds: [Kind(1)].into_iter().collect(), to },
            ..HandoverRule::default()
        };
        let cases: &[(u16, &[&[&str]], bool, bool)] = &[
            (1, &[&["p", &mine]], true, true),
            (1, &[&["p", &other], &["p", &mine, "wss://a.example"]], true, true),
            (1, &[&["p", &other]], false, true),
            (1, &[&["p", "nobody"]], false, false),
            (1, &[&["e", &mine]], false, false),
            (7, &[&["p", &mine]], false, false),
        ];
        for (kind, tags, known, unknown) in cases {
            let event = fixtures::signed(*kind, 1, tags);
            assert_eq!(
                (rule(Some(me)).wants(&event), rule(None).wants(&event)),
                (*known, *unknown),
                "{tags:?}"
            );
        }
    }

    #[test]
    fn wants_deletions_only_of_what_may_have_been_handed_over() {
        let rule = HandoverRule { deletions_of: Some(5_000..=5_999), ..HandoverRule::default() };
        let id = "ab".repeat(32);
        let address = format!("30023:{id}:x");
        let cases: &[(&[&[&str]], bool)] = &[
            (&[&["e", &id]], true),
            (&[&["e", &id], &["k", "5000"]], true),
            (&[&["e", &id], &["k", "5999"]], true),
            (&[&["k", "1"], &["e", &id], &["k", "5050"]], true),
            (&[&["e", "not an id"], &["e", &id]], true),
            (&[&["e", &id], &["k"]], true),
            (&[], false),
            (&[&["e"]], false),
            (&[&["e", "not an id"]], false),
            (&[&["a", &address]], false),
            (&[&["k", "5050"]], false),
            (&[&["e", &id], &["k", "1"]], false),
            (&[&["e", &id], &["k", "4999"], &["k", "6000"]], false),
            (&[&["e", &id], &["k", "many"], &["k", "70536"]], false),
        ];
        for (tags, wanted) in cases {
            assert_eq!(rule.wants(&fixtures::signed(5, 1, tags)), *wanted, "{tags:?}");
        }
        assert!(!rule.wants(&fixtures::signed(7, 1, &[&["e", &id]])), "it is no deletion");
    }

    #[test]
    fn a_deletion_whose_kind_is_named_is_wanted_whatever_it_is_for() {
        let rule: HandoverRule = [Kind(5)].into_iter().collect();
        assert!(rule.wants(&fixtures::signed(5, 1, &[&["k", "1"]])));
    }
}
