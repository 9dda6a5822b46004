//! The key that an agent's object makes for itself when the deployment gives it none.

use openagents_host::keys::KeyError;
use openagents_host::sql::{migrate, values};
use openagents_host::worker::DurableSql;
use openagents_host::{Keys, Sql};

use crate::settings;

/// The key that the object made for itself, kept in its own database.
pub(super) fn own_keys(sql: &DurableSql) -> Result<Keys, String> {
    let table = "CREATE TABLE own_key (one INTEGER PRIMARY KEY CHECK (one = 1), nsec TEXT NOT NULL) STRICT";
    migrate(sql, "own key", &[table]).map_err(|error| error.to_string())?;
    let kept = sql.first::<(String,)>("SELECT nsec FROM own_key", &[]).map_err(|error| error.to_string())?;
    if let Some((nsec,)) = kept {
        return nsec.parse().map_err(|error: KeyError| error.to_string());
    }
    let keys = Keys::generate().map_err(|error| error.to_string())?;
    sql.execute("INSERT INTO own_key (one, nsec) VALUES (1, ?)", values![&keys.to_nsec()])
        .map_err(|error| error.to_string())?;
    worker::console_log!(
        "{} is not set: this agent made a key of its own, {}, which stays in its object. To choose it: npx wrangler secret put {}",
        settings::names::NOSTR_PRIVATE_KEY,
        keys.npub(),
        settings::names::NOSTR_PRIVATE_KEY,
    );
    Ok(keys)
}
