//! The two serializations of an event (NIP-01): the one that is hashed for its id, and its JSON.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};
use sha2::{Digest, Sha256};

use super::{Event, EventId, Kind, PublicKey, Tag, VerifyError};

/// The parts that both serializations share.
pub(super) struct JsonParts {
    tags: String,
    content: String,
}

impl JsonParts {
    pub(super) fn of(tags: &[Tag], content: &str) -> Self {
        // Strings and arrays of strings always serialize.
        Self {
            tags: serde_json::to_string(tags).unwrap_or_default(),
            content: serde_json::to_string(content).unwrap_or_default(),
        }
    }

    /// The id: the SHA-256 of `[0,pubkey,created_at,kind,tags,content]`.
    pub(super) fn id(&self, pubkey: &PublicKey, created_at: u64, kind: Kind) -> EventId {
        let hash = Sha256::new()
            .chain_update(format!("[0,\"{pubkey}\",{created_at},{kind},"))
            .chain_update(&self.tags)
            .chain_update(",")
            .chain_update(&self.content)
            .chain_update("]");
        EventId::from_bytes(hash.finalize().into())
    }

    /// The event's JSON without white space, fields in the order of NIP-01.
    pub(super) fn json(&self, event: &Event) -> String {
        let Event { id, pubkey, created_at, kind, sig, .. } = event;
        // The fixed parts have at most 384 bytes.
        let mut json =
            String::with_capacity(self.tags.len().saturating_add(self.content.len()).saturating_add(384));
        // Writing to a String never fails.
        let _ = write!(
            json,
            r#"{{"id":"{id}","pubkey":"{pubkey}","created_at":{created_at},"kind":{kind},"tags":"#
        );
        for part in [&self.tags, ",\"content\":", &self.content] {
            json.push_str(part);
        }
        let _ = write!(json, r#","sig":"{sig}"}}"#);
        json
    }
}

/// Checks that the event's id is the hash of its other fields, and returns the parts that were hashed.
///
/// NIP-01 escapes seven characters and leaves all others unchanged, while all common clients hash the output of
/// `JSON.stringify`, which also escapes the other control characters as `\u00XX`. The two differ only for texts with
/// such characters. Both are accepted, because either binds the id to one content.
pub(super) fn check_id(event: &Event) -> Result<JsonParts, VerifyError> {
    let texts = JsonParts::of(&event.tags, &event.content);
    let expected = texts.id(&event.pubkey, event.created_at, event.kind);
    if expected == event.id || (has_bare_control(event) && verbatim_id(event) == event.id) {
        Ok(texts)
    } else {
        Err(VerifyError::Id { expected })
    }
}

fn has_bare_control(event: &Event) -> bool {
    std::iter::once(&event.content).chain(event.tags.iter().flatten()).any(|text| {
        text.bytes().any(|byte| byte < 0x20 && !matches!(byte, 0x08 | b'\t' | b'\n' | 0x0c | b'\r'))
    })
}

pub(super) fn verbatim_id(event: &Event) -> EventId {
    let mut hash = HashWriter(Sha256::new());
    let parts = (0, &event.pubkey, event.created_at, event.kind, &event.tags, &event.content);
    let _ = parts.serialize(&mut Serializer::with_formatter(&mut hash, Verbatim));
    hash.finish()
}

/// Compact JSON that leaves control characters outside of NIP-01's list unchanged.
struct Verbatim;

impl Formatter for Verbatim {
    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(byte) => writer.write_all(&[byte]),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }
}

struct HashWriter(Sha256);

impl HashWriter {
    fn finish(self) -> EventId {
        EventId::from_bytes(self.0.finalize().into())
    }
}

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
