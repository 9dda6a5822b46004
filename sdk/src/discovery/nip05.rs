//! The NIP-05 document, which maps names to public keys.

use openagents_host::PublicKey;
use serde_json::{Map, Value, json};

/// The document that a domain serves at `/.well-known/nostr.json`, so that `name@domain` leads to the key and its
/// relays (NIP-05). It must be served without redirects, and with `Access-Control-Allow-Origin: *`.
///
/// ```
/// use openagents_sdk::discovery::nip05_document;
/// use openagents_sdk::nostr::Keys;
///
/// let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
/// let document = nip05_document("hello-world", &key, &["wss://agent.example.com"]);
/// assert_eq!(
///     document,
///     format!(r#"{{"names":{{"hello-world":"{key}"}},"relays":{{"{key}":["wss://agent.example.com"]}}}}"#)
/// );
/// ```
#[must_use]
pub fn nip05_document(name: &str, key: &PublicKey, relays: &[&str]) -> String {
    let mut document = Map::new();
    document.insert("names".to_owned(), json!({ name: key }));
    if !relays.is_empty() {
        document.insert("relays".to_owned(), json!({ key.to_hex(): relays }));
    }
    Value::Object(document).to_string()
}
