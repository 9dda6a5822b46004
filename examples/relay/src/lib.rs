//! A Nostr relay without an agent. Its write policy rejects notes with too many hashtags.

use openagents_sdk::relay::{Kind, Reason, Submission, WritePolicy};

/// The most hashtags (`t` tags) that a note may have.
pub const MAX_HASHTAGS: usize = 5;

/// Rejects notes (kind 1) with too many hashtags.
pub struct FewHashtags;

impl WritePolicy for FewHashtags {
    fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
        let event = submission.event;
        let is_note = event.kind == Kind::TEXT_NOTE;
        if is_note && event.tag_values("t").count() > MAX_HASHTAGS {
            return Err(Reason::restricted(format!("a note may have {MAX_HASHTAGS} hashtags here")));
        }
        Ok(())
    }
}

openagents_sdk::deployment! { agents: [], policy: FewHashtags }
