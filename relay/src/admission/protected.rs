//! Protected events, which only their authors may publish (NIP-70).

use openagents_host::{Event, Kind};

use crate::reason::Reason;
use crate::session::ClientSession;

/// The kinds of reposts (NIP-18), which may embed the event in their content.
const REPOSTS: [Kind; 2] = [Kind(6), Kind(16)];

/// Whether the client may publish this event: a protected event is accepted only from its author, and an event that
/// embeds a protected one is not accepted at all.
///
/// # Errors
/// The reason for the refusal.
pub(crate) fn admit(event: &Event, session: &ClientSession) -> Result<(), Reason> {
    if REPOSTS.contains(&event.kind)
        && Event::from_json(&event.content).is_ok_and(|event| is_protected(&event))
    {
        return Err(Reason::restricted("a protected event must not be embedded in a repost (NIP-70)"));
    }
    if !is_protected(event) || session.authenticated().contains(&event.pubkey) {
        return Ok(());
    }
    let text = "this event may only be published by its author (NIP-70)";
    Err(if session.authenticated().is_empty() {
        Reason::auth_required(text)
    } else {
        Reason::restricted(text)
    })
}

/// NIP-70: "a simple tag with a single item". A tag with more items was probably meant as well.
fn is_protected(event: &Event) -> bool {
    event.tags_named("-").next().is_some()
}

#[cfg(test)]
mod tests {
    use openagents_host::Event;

    use super::admit;
    use crate::fixtures;
    use crate::session::ClientSession;

    fn refusal(event: &Event, identified: &[usize]) -> String {
        let mut session = ClientSession::default();
        for key in identified {
            session.authenticate(fixtures::keys(*key).public_key(), 9);
        }
        admit(event, &session).err().map(|reason| reason.to_string()).unwrap_or_default()
    }

    #[test]
    fn takes_a_protected_event_from_its_author_only() {
        let event = fixtures::signed(1, 1, &[&["-"]]);
        assert!(refusal(&event, &[]).starts_with("auth-required: "));
        assert!(refusal(&event, &[1]).starts_with("restricted: "));
        assert_eq!(refusal(&event, &[0]), "");
        assert_eq!(refusal(&event, &[1, 0]), "");
        assert_eq!(refusal(&fixtures::signed(1, 1, &[&["t", "-"]]), &[]), "");
    }

    #[test]
    fn refuses_a_repost_that_embeds_a_protected_event() {
        let protected = fixtures::signed(1, 1, &[&["-"]]);
        let open = fixtures::signed(1, 1, &[]);
        let repost = |kind, content: &str| fixtures::signed_by(&fixtures::keys(1), kind, 2, &[], content);
        for kind in [6, 16] {
            assert!(refusal(&repost(kind, protected.json()), &[0, 1]).starts_with("restricted: "));
            assert_eq!(refusal(&repost(kind, open.json()), &[]), "");
            assert_eq!(refusal(&repost(kind, ""), &[]), "");
        }
        assert_eq!(refusal(&repost(1, protected.json()), &[]), "", "it is no repost");
    }
}
