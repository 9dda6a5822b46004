//! The `session` table: connection states too long for a WebSocket attachment.

use openagents_host::sql::{Sql, SqlError, values};

use super::Store;
use crate::session::ConnectionId;

impl<S: Sql> Store<S> {
    /// Saves a connection's state.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_session(&self, connection: ConnectionId, state: &str) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO session (connection, state) VALUES (?, ?)
             ON CONFLICT (connection) DO UPDATE SET state = excluded.state",
            values![&connection.to_string(), state],
        )
    }

    /// The saved state of a connection.
    ///
    /// # Errors
    /// When the database fails.
    pub fn saved_session(&self, connection: ConnectionId) -> Result<Option<String>, SqlError> {
        let state = "SELECT state FROM session WHERE connection = ?";
        Ok(self.sql.first::<(String,)>(state, values![&connection.to_string()])?.map(|(state,)| state))
    }

    /// Deletes a connection's state.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_session(&self, connection: ConnectionId) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM session WHERE connection = ?", values![&connection.to_string()])
    }

    /// Deletes the states of all other connections. If the host fails, sockets end without a notification.
    ///
    /// # Errors
    /// When the database fails.
    pub fn retain_sessions(&self, open: &[ConnectionId]) -> Result<(), SqlError> {
        let kept: Vec<(String,)> = self.sql.rows("SELECT connection FROM session", &[])?;
        let open: std::collections::BTreeSet<String> = open.iter().map(ToString::to_string).collect();
        for (connection,) in kept.iter().filter(|(connection,)| !open.contains(connection)) {
            self.sql.execute("DELETE FROM session WHERE connection = ?", values![connection])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::native::Sqlite;

    use crate::session::ConnectionId;
    use crate::store::Store;

    #[test]
    fn keeps_the_last_state_of_open_connections() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let [a, b, c] = [1, u64::MAX, 3].map(ConnectionId::new);
        for (connection, state) in [(a, "1"), (a, "2"), (b, "3"), (c, "4")] {
            store.save_session(connection, state).unwrap();
        }
        store.retain_sessions(&[a, b]).unwrap();
        store.forget_session(a).unwrap();
        let saved = |connection| store.saved_session(connection).unwrap();
        assert_eq!((saved(a), saved(b).as_deref(), saved(c)), (None, Some("3"), None));
    }
}
