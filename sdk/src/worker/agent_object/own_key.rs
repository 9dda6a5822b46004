//! The key that an agent's object generates if the deployment does not set one.

use openagents_host::nostr::keys::KeyError;
use openagents_host::sql::{SchemaError, migrate, values};
use openagents_host::worker::DurableSql;
use openagents_host::{Keys, Sql, SqlError};

use crate::settings;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnKeyError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Database(#[from] SqlError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The generated key, stored in the object's own database.
pub(super) fn own_keys(sql: &DurableSql) -> Result<Keys, OwnKeyError> {
    let table = "CREATE TABLE own_key (one INTEGER PRIMARY KEY CHECK (one = 1), nsec TEXT NOT NULL) STRICT";
    migrate(sql, "own key", &[table])?;
    let kept = sql.first::<(String,)>("SELECT nsec FROM own_key", &[])?;
    if let Some((nsec,)) = kept {
        return Ok(nsec.parse()?);
    }
    let keys = Keys::generate()?;
    sql.execute("INSERT INTO own_key (one, nsec) VALUES (1, ?)", values![&keys.to_nsec()])?;
    worker::console_log!(
        "{} is not set: this agent made a key of its own, {}, which stays in its object. To choose it: npx wrangler secret put {}",
        settings::names::NOSTR_PRIVATE_KEY,
        keys.npub(),
        settings::names::NOSTR_PRIVATE_KEY,
    );
    Ok(keys)
}
