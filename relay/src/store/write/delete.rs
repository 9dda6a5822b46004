//! Deletion requests (NIP-09).

use openagents_host::nostr::KindClass;
use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, EventId, Kind, PublicKey};

use crate::store::Store;
use crate::store::statement::{hex_string, json_list};
use crate::store::viewer::addressee_key;

impl<S: Sql> Store<S> {
    /// Carries out a deletion request: removes the author's events and gift wraps addressed to the author, and records
    /// what must be refused from now on. `k` tags are hints for clients and are ignored.
    pub(in crate::store) fn delete(&self, request: &Event) -> Result<(), SqlError> {
        let ids = request.tag_values("e").filter_map(|value| EventId::from_hex(value).ok());
        let ids = json_list(ids.map(|id| hex_string(id.as_bytes())));
        if ids.len() > 2 {
            self.sql.execute(
                "INSERT INTO deleted (id, pubkey) SELECT unhex(value), ? FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
                values![&request.pubkey, &ids],
            )?;
            let key = addressee_key(&request.pubkey);
            let key = key.as_ref().map(|key| key.as_bytes()).unwrap_or_default();
            // Kinds 5 and 62: neither deletion requests nor requests to vanish can be deleted (NIP-09, NIP-62). Kind
            // 1059: nobody holds the key of a gift wrap, so its addressee may delete it (NIP-59).
            self.erase_all(
                "SELECT e.seq, e.json FROM (SELECT DISTINCT unhex(value) AS id FROM json_each(?)) AS named
                 CROSS JOIN event AS e ON e.id = named.id
                 WHERE e.pubkey = ? AND e.kind NOT IN (5, 62)
                    OR e.kind = 1059 AND EXISTS (SELECT 1 FROM tag WHERE key = ? AND seq = e.seq)",
                values![&ids, &request.pubkey, key],
            )?;
        }
        let addresses = request.tag_values("a").filter_map(|value| own_address(value, &request.pubkey));
        // In hex, because SQLite's JSON functions end a text at a NUL.
        let addresses: Vec<String> = addresses
            .map(|(kind, identifier)| format!("[{kind},{}]", hex_string(identifier.as_bytes())))
            .collect();
        if !addresses.is_empty() {
            let addresses = json_list(addresses.iter());
            self.sql.execute(
                "INSERT INTO deleted_address (pubkey, kind, identifier, until)
                 SELECT ?, value ->> 0, CAST(unhex(value ->> 1) AS TEXT), ? FROM json_each(?) WHERE true
                 ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                values![&request.pubkey, request.created_at, &addresses],
            )?;
            self.erase_all(
                "SELECT e.seq, e.json FROM (SELECT DISTINCT value FROM json_each(?)) AS address
                 CROSS JOIN event AS e INDEXED BY event_by_version
                 ON e.pubkey = ? AND e.kind = address.value ->> 0
                    AND e.identifier = CAST(unhex(address.value ->> 1) AS TEXT)
                 WHERE e.identifier IS NOT NULL AND e.created_at <= ?",
                values![&addresses, &request.pubkey, request.created_at],
            )?;
        }
        Ok(())
    }
}

/// Kind and identifier of an address `<kind>:<pubkey>:<identifier>`, if the kind is replaceable or addressable and the
/// address belongs to the author.
fn own_address<'a>(address: &'a str, author: &PublicKey) -> Option<(Kind, &'a str)> {
    let mut parts = address.splitn(3, ':');
    let kind = Kind(parts.next()?.parse().ok()?);
    let pubkey = PublicKey::from_hex(parts.next()?).ok()?;
    let identifier = parts.next()?;
    let names_versions = match kind.class() {
        KindClass::Addressable => true,
        KindClass::Replaceable => identifier.is_empty(),
        KindClass::Regular | KindClass::Ephemeral => false,
    };
    (names_versions && pubkey == *author).then_some((kind, identifier))
}
