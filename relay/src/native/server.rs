//! The native relay server: WebSockets on hyper, and one engine thread that owns the database.
//!
//! Each connection has two tasks: one reads, checks and verifies messages, the other writes. The [`EngineThread`]
//! between them and the database commits messages in batches. HTTP routing is up to the owner of the port, who passes
//! on upgrade requests ([`RelayHandle::upgrade`]).

mod connection;
mod connections;
mod decoder;
mod encoder;
mod gate;
mod handover;
mod handshake;
mod outbox;
mod query;
mod read_queue;
mod reader_pool;
mod socket;
mod state;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::http::{Request, Response, StatusCode, response};
use openagents_host::native::{CommitWatch, Durability, EngineStopped, EngineThread, OpenError, Sqlite, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Event, PublicKey, VerifiedEvent};

pub use handover::{DeliveryError, HandoverSink};
pub use query::QueryError;
pub use state::RelayStatistics;

use crate::admission::ConnectionRefusal;
use crate::engine::{Relay, RelayConfig};
use crate::information::RelayInformation;
use crate::management::{ManagementReply, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::session::Origin;
use connections::ConnectionTable;
use gate::{ConnectionPermit, Gate};
use openagents_host::nostr::filter::Filter;
use read_queue::ReadQueue;
use reader_pool::{ReaderContext, ReaderPool};
use state::ServerState;
use tokio::io::DuplexStream;

/// The configuration of a native relay.
#[derive(Clone, Debug)]
pub struct RelayServerConfig {
    /// The database file; it is created if missing.
    pub path: PathBuf,
    /// Which failures an acknowledged event survives.
    pub durability: Durability,
    /// What the relay accepts and hands over.
    pub relay: RelayConfig,
    /// The relay information document (NIP-11). It is derived from `relay`, so that both agree.
    pub information: RelayInformation,
    /// For tests: forget everything but the database and the sessions after every batch of messages, as a Durable
    /// Object may. This makes the relay much slower.
    pub forget_memory: bool,
}

impl RelayServerConfig {
    /// A relay on this database file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let relay = RelayConfig::default();
        Self {
            path: path.into(),
            durability: Durability::default(),
            information: RelayInformation::new(&relay),
            relay,
            forget_memory: false,
        }
    }
}

/// Why a relay could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database's tables cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The engine thread cannot be started.
    #[error("the relay's engine thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running relay.
#[must_use = "a relay that is dropped stops"]
pub struct RelayServer {
    handle: RelayHandle,
    thread: EngineThread,
    /// `None` if the engine itself reads.
    readers: Option<ReaderPool>,
    path: PathBuf,
    durability: Durability,
}

impl RelayServer {
    /// Starts a relay. Must be called within a tokio runtime, on which the connections' tasks run.
    ///
    /// # Errors
    /// When the database cannot be opened or was written by a later release.
    pub async fn start(
        config: RelayServerConfig,
        handover: Arc<dyn HandoverSink>,
    ) -> Result<Self, StartError> {
        let connections = Arc::new(ConnectionTable::default());
        let (deliveries, waiting) = handover::queue();
        let (read_queue, commits) = (Arc::<ReadQueue>::default(), CommitWatch::default());
        // With `forget`, the relay behaves like a Durable Object, whose engine reads by itself.
        let has_reader_threads = !config.forget_memory;
        let gate = Arc::new(Gate::new(&config.relay.limits, &config.relay.admission));
        let engine = {
            let (path, durability, relay) = (config.path.clone(), config.durability, config.relay.clone());
            let gate = Arc::clone(&gate);
            move || -> Result<_, StartError> {
                let mut relay = Relay::open(Sqlite::open(&path, durability)?, relay)?;
                gate.set_rules(Arc::clone(relay.rules()));
                relay.retry_handovers_now(now()).map_err(SchemaError::from)?;
                Ok(if has_reader_threads { relay.with_reader_threads() } else { relay })
            }
        };
        let apply = {
            let (connections, gate) = (Arc::clone(&connections), Arc::clone(&gate));
            let read_queue = Arc::clone(&read_queue);
            move |effects: &mut Vec<_>| connections.apply(effects, &deliveries, &gate, &read_queue)
        };
        let watched = commits.clone();
        let (inputs, thread) =
            EngineThread::start_watched("relay", config.forget_memory, watched, engine, apply).await?;
        tokio::spawn(handover::deliver(waiting, handover, inputs.clone()));
        let readers = if has_reader_threads {
            let (connections, inputs) = (Arc::clone(&connections), inputs.clone());
            let (gate, path, config) = (Arc::clone(&gate), &config.path, config.relay.clone());
            let context = ReaderContext { read_queue, connections, commits, gate, inputs, config };
            Some(ReaderPool::start(path, &context)?)
        } else {
            None
        };
        let shared = ServerState::new(inputs, connections, config.relay.limits, gate, config.information);
        let (path, durability) = (config.path, config.durability);
        Ok(Self { handle: RelayHandle(Arc::new(shared)), thread, readers, path, durability })
    }

    /// A handle to this relay.
    #[must_use]
    pub fn handle(&self) -> RelayHandle {
        self.handle.clone()
    }

    /// Completes when the relay has ended without a shutdown.
    pub async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Answers the messages received so far, closes every connection (code 1001) and stops.
    pub async fn shutdown(self) {
        const CLOSE_ALL_TIMEOUT: Duration = Duration::from_secs(5);
        self.handle.0.gate.close();
        self.thread.stop().await;
        if let Some(readers) = self.readers {
            readers.finish().await;
            let (path, durability) = (self.path, self.durability);
            let emptied = tokio::task::spawn_blocking(move || Sqlite::empty_abandoned_log(&path, durability));
            if let Ok(Err(error)) = emptied.await {
                tracing::warn!(%error, "the write-ahead log was not emptied; the next start will read it");
            }
        }
        self.handle.0.connections.close_all();
        let _ = tokio::time::timeout(CLOSE_ALL_TIMEOUT, self.handle.0.all_connections_ended()).await;
    }
}

/// Why a client cannot connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The limits on connections do not allow it.
    #[error(transparent)]
    Refused(#[from] ConnectionRefusal),
    /// The system has no random numbers for the challenge of NIP-42.
    #[error("this relay cannot generate random numbers at present")]
    NoRandomNumbers,
}

impl ConnectError {
    /// The status code of the HTTP response.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::NoRandomNumbers => 503,
        }
    }
}

/// How many bytes may wait in each direction of a connection in memory.
const MEMORY_CONNECTION_BYTES: usize = 64 * 1024;

/// A handle to a running relay. Clones refer to the same relay.
#[derive(Clone)]
pub struct RelayHandle(Arc<ServerState>);

impl RelayHandle {
    /// Publishes an event from inside the process. When this returns, the event is stored as durably as any other.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn publish(&self, event: VerifiedEvent) -> Result<Outcome, EngineStopped> {
        self.0.publish(event).await
    }

    /// The stored events that match any of the filters, as a `REQ` would return them: the newest first, each once.
    /// Includes everything that was published before the call.
    ///
    /// Each filter returns at most its `limit`, and never more than
    /// [`MAX_INTERNAL_LIMIT`](crate::limits::MAX_INTERNAL_LIMIT). In total there are at most
    /// [`max_answer_length`](crate::Limits::max_answer_length) bytes; if events are left out, they are the oldest, and
    /// can be queried with `until`.
    ///
    /// ```
    /// # async fn count(relay: openagents_relay::native::RelayHandle) -> Result<(), Box<dyn std::error::Error>> {
    /// use openagents_relay::Filter;
    ///
    /// let notes = relay.query(vec![Filter::new().kinds([1]).tag('t', ["nostr"])?.limit(100)]).await?;
    /// for note in notes {
    ///     println!("{}: {}", note.pubkey, note.content);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there are more than [`max_filters`](crate::Limits::max_filters), the relay's database failed, or the relay
    /// has stopped.
    pub async fn query(&self, filters: Vec<Filter>) -> Result<Vec<Event>, QueryError> {
        let found = self.0.query(filters).await?;
        query::read(&found.map_err(QueryError::Refused)?)
    }

    /// Carries out a management call of an operator (NIP-86), or reports that the call's token was used before. The
    /// caller must have checked that the token's signer is an operator.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn manage(
        &self,
        call: SignedCall,
    ) -> Result<Result<ManagementReply, UsedToken>, EngineStopped> {
        self.0.manage(call).await
    }

    /// Upgrades a request to a WebSocket and serves it in a task of its own.
    ///
    /// The response must be sent over a connection that allows upgrades (hyper's `with_upgrades`). Set `TCP_NODELAY`
    /// on it, or every answer takes 40 ms.
    ///
    /// `address` is the client's address if known; behind a proxy, the one that the proxy reports.
    pub fn upgrade(&self, request: &mut Request, address: Option<IpAddr>) -> Response {
        let (permit, origin) = match self.admit_connection(address) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let status =
                    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return response::error(status, &refusal.to_string());
            }
        };
        match handshake::accept(request) {
            Ok((response, socket)) => {
                tokio::spawn(connection::serve_upgraded(Arc::clone(&self.0), socket, permit, origin));
                response
            }
            Err(error) => {
                let reason = format!("not a WebSocket handshake: {error}");
                response::error(StatusCode::BAD_REQUEST, &reason)
            }
        }
    }

    /// Connects a client in this process: the returned end carries WebSocket frames, without a handshake. For the relay
    /// this is a client with the given address, to which all limits and rules apply; with a key, it has authenticated.
    /// Dropping the end closes the connection.
    ///
    /// # Errors
    /// When the limits do not allow a connection.
    pub fn connect(
        &self,
        address: Option<IpAddr>,
        authenticated: Option<PublicKey>,
    ) -> Result<DuplexStream, ConnectError> {
        let (permit, origin) = self.admit_connection(address)?;
        let origin = Origin { authenticated, ..origin };
        let (client, relay) = tokio::io::duplex(MEMORY_CONNECTION_BYTES);
        tokio::spawn(connection::serve(Arc::clone(&self.0), socket::split_memory(relay), permit, origin));
        Ok(client)
    }

    fn admit_connection(&self, address: Option<IpAddr>) -> Result<(ConnectionPermit, Origin), ConnectError> {
        let permit = self.0.gate.admit_connection(address)?;
        let origin = Origin::new(address, None).map_err(|_| ConnectError::NoRandomNumbers)?;
        Ok((permit, origin))
    }

    /// The relay information document (NIP-11), with the CORS headers that let web pages of any origin read it.
    #[must_use]
    pub fn information(&self) -> Response {
        self.0.information()
    }

    /// Statistics of the relay.
    #[must_use]
    pub fn statistics(&self) -> RelayStatistics {
        self.0.statistics()
    }
}
