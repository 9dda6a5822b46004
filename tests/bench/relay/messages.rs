//! Messages from relays (NIP-01), parsed without a JSON parser in their usual forms.

use serde_json::Value;

use super::dataset::Id;

/// A message of a relay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The event was accepted, or is a duplicate.
    Taken { id: Id, duplicate: bool },
    /// The event was rejected, for this reason.
    Refused(String),
    /// An event for the subscription whose id ends with this byte.
    Event(u8),
    /// All stored events have been sent.
    EndOfStored(u8),
    /// The subscription was rejected, for this reason.
    Closed(u8, String),
    /// A message for humans.
    Notice(String),
    /// `AUTH` and other messages that were not requested.
    Other,
}

/// Parses a message. Subscriptions are identified by the last byte of their id.
pub(crate) fn read(message: &[u8]) -> Result<Message, String> {
    if let Some(rest) = message.strip_prefix(br#"["EVENT",""#)
        && let Some(end) = rest.iter().position(|byte| *byte == b'"')
    {
        return Ok(Message::Event(last(&rest[..end])));
    }
    if let Some(rest) = message.strip_prefix(br#"["OK",""#)
        && let Some((id, rest)) = rest.split_first_chunk::<64>()
        && rest == br#"",true,""]"#
    {
        return Ok(Message::Taken { id: *id, duplicate: false });
    }
    slowly(message)
}

fn last(name: &[u8]) -> u8 {
    name.last().copied().unwrap_or_default()
}

fn slowly(message: &[u8]) -> Result<Message, String> {
    let wrong = || format!("not a message of a relay: {}", String::from_utf8_lossy(message));
    let value: Value = serde_json::from_slice(message).map_err(|_| wrong())?;
    let text = |index: usize| value[index].as_str().unwrap_or_default();
    Ok(match text(0) {
        "OK" => {
            let id: Id = text(1).as_bytes().try_into().map_err(|_| wrong())?;
            match value[2].as_bool() {
                Some(true) => Message::Taken { id, duplicate: text(3).starts_with("duplicate:") },
                // Some relays reject duplicates (NIP-01 requires `true`).
                Some(false) if text(3).starts_with("duplicate:") => Message::Taken { id, duplicate: true },
                Some(false) => Message::Refused(text(3).to_owned()),
                None => return Err(wrong()),
            }
        }
        "EVENT" => Message::Event(last(text(1).as_bytes())),
        "EOSE" => Message::EndOfStored(last(text(1).as_bytes())),
        "CLOSED" => Message::Closed(last(text(1).as_bytes()), text(2).to_owned()),
        "NOTICE" => Message::Notice(text(1).to_owned()),
        "" => return Err(wrong()),
        _ => Message::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::{Message, read};

    #[test]
    fn messages_are_read_however_they_are_written() {
        let id = "0123456789abcdef".repeat(4);
        let bytes = id.as_bytes().try_into().unwrap();
        let taken = |duplicate| Ok(Message::Taken { id: bytes, duplicate });
        let cases = [
            (format!(r#"["OK","{id}",true,""]"#), taken(false)),
            (format!(r#"["OK", "{id}", true, "well done"]"#), taken(false)),
            (format!(r#"["OK","{id}",true,"duplicate: known"]"#), taken(true)),
            (format!(r#"["OK","{id}",false,"duplicate: known"]"#), taken(true)),
            (format!(r#"["OK","{id}",false,"blocked: no"]"#), Ok(Message::Refused("blocked: no".to_owned()))),
            (r#"["EVENT","q3",{"id":""}]"#.to_owned(), Ok(Message::Event(b'3'))),
            (r#"["EOSE","q1"]"#.to_owned(), Ok(Message::EndOfStored(b'1'))),
            (r#"["CLOSED","q1","error: no"]"#.to_owned(), Ok(Message::Closed(b'1', "error: no".to_owned()))),
        ];
        for (text, message) in cases {
            assert_eq!(read(text.as_bytes()), message);
        }
        assert!(read(b"hello").is_err());
    }
}
