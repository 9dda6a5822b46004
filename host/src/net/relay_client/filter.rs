//! Whether an event is one that was asked for.

use serde_json::Value;

use crate::nostr::Event;

/// Whether `event` is what `filter` asks for (NIP-01). Fields that this does not know, such as `search`, only the relay can
/// judge; a field that it knows and that has not the form of NIP-01 matches nothing.
pub(super) fn matches(filter: &Value, event: &Event) -> bool {
    let Value::Object(fields) = filter else { return false };
    fields.iter().all(|(name, value)| match name.as_str() {
        "ids" => lists(value, &event.id.to_hex()),
        "authors" => lists(value, &event.pubkey.to_hex()),
        "kinds" => items(value).any(|kind| kind.as_u64() == Some(event.kind.0.into())),
        "since" => value.as_u64().is_some_and(|since| event.created_at >= since),
        "until" => value.as_u64().is_some_and(|until| event.created_at <= until),
        name => match tag_name(name) {
            Some(tag) => event.tag_values(tag).any(|tag_value| lists(value, tag_value)),
            None => true,
        },
    })
}

/// `e` of `#e`: only tags of a single letter can be asked for.
fn tag_name(field: &str) -> Option<&str> {
    field.strip_prefix('#').filter(|tag| tag.len() == 1)
}

fn lists(value: &Value, wanted: &str) -> bool {
    items(value).any(|item| item.as_str() == Some(wanted))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Keys, Kind, Timestamp, UnsignedEvent};

    #[test]
    fn matches_as_nip_01_says() {
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let event = UnsignedEvent::new(Kind(5050), "")
            .tag(["t", "green"])
            .tag(["t", "blue"])
            .tag(["param", "model", "x"])
            .sign(&keys, Timestamp::from_seconds(100));
        let (id, author) = (event.id.to_hex(), event.pubkey.to_hex());
        for (filter, expected) in [
            (json!({}), true),
            (json!({ "ids": [id] }), true),
            (json!({ "ids": [author] }), false),
            (json!({ "ids": [] }), false),
            (json!({ "authors": ["", author] }), true),
            (json!({ "authors": [author.to_uppercase()] }), false),
            (json!({ "kinds": [1, 5050] }), true),
            (json!({ "kinds": [1] }), false),
            (json!({ "kinds": ["5050"] }), false),
            (json!({ "since": 100, "until": 100 }), true),
            (json!({ "since": 101 }), false),
            (json!({ "until": 99 }), false),
            (json!({ "#t": ["blue"] }), true),
            (json!({ "#t": ["red"] }), false),
            (json!({ "#t": "blue" }), false),
            (json!({ "#e": ["blue"] }), false),
            (json!({ "#param": ["nobody indexes these"] }), true),
            (json!({ "search": "anything", "limit": 0 }), true),
            (json!({ "kinds": [5050], "#t": ["red"] }), false),
            (json!([]), false),
        ] {
            assert_eq!(matches(&filter, &event), expected, "{filter}");
        }
    }
}
