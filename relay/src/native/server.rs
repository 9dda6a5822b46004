//! The relay's server: WebSockets on hyper, one thread that owns the database.
//!
//! Every connection has a task that reads, checks and verifies, and one that writes. Between them and the
//! database stands the [`EngineThread`], which commits what has come in together. Routing HTTP is left to whoever
//! owns the port: it hands over upgrades ([`RelayHandle::upgrade`]).

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
use openagents_host::{Event, VerifiedEvent};

pub use handover::{DeliveryError, HandoverSink};
pub use query::QueryError;
pub use state::RelayStatistics;

use crate::engine::{Relay, RelayConfig};
use crate::information::RelayInformation;
use crate::management::{ManagementReply, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::session::Origin;
use connections::ConnectionTable;
use gate::Gate;
use openagents_host::nostr::filter::Filter;
use read_queue::ReadQueue;
use reader_pool::{ReaderContext, ReaderPool};
use state::ServerState;

/// How a native relay is run.
#[derive(Clone, Debug)]
pub struct RelayServerConfig {
    /// The database file; it is made if it is not there.
    pub path: PathBuf,
    /// What a commit has survived when an event is acknowledged.
    pub durability: Durability,
    /// What the relay accepts, and what it hands over.
    pub relay: RelayConfig,
    /// What it says about itself: made of `relay`, so that it says what holds.
    pub information: RelayInformation,
    /// Forget everything but the database and the sessions after every batch of messages, as a Durable Object may:
    /// a test of the program that costs most of its speed.
    pub forget_memory: bool,
}

impl RelayServerConfig {
    /// A relay on this file.
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

/// Why a relay did not start.
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
    #[error("the relay's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running relay.
#[must_use = "a relay that is dropped stops"]
pub struct RelayServer {
    handle: RelayHandle,
    thread: EngineThread,
    /// None where the engine itself reads.
    readers: Option<ReaderPool>,
    path: PathBuf,
    durability: Durability,
}

impl RelayServer {
    /// Starts a relay. It must be called within a tokio runtime, in which its connections live.
    ///
    /// # Errors
    /// When the database cannot be opened, or is of a later release.
    pub async fn start(
        config: RelayServerConfig,
        handover: Arc<dyn HandoverSink>,
    ) -> Result<Self, StartError> {
        let connections = Arc::new(ConnectionTable::default());
        let (deliveries, waiting) = handover::queue();
        let (read_queue, commits) = (Arc::<ReadQueue>::default(), CommitWatch::default());
        // A relay that forgets shows what a Durable Object does, which reads by itself.
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
            let context =
                ReaderContext { read_queue, connections, commits, inputs, config: config.relay.clone() };
            Some(ReaderPool::start(&config.path, &context)?)
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

    /// Completes when the relay has ended although nobody shut it down.
    pub async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Answers what has come in, says goodbye to every connection (1001) and stops.
    pub async fn shutdown(self) {
        const CLOSE_ALL_TIMEOUT: Duration = Duration::from_secs(5);
        self.handle.0.gate.close();
        self.thread.stop().await;
        if let Some(readers) = self.readers {
            readers.finish().await;
            let (path, durability) = (self.path, self.durability);
            let emptied =
                tokio::task::spawn_blocking(move || Sqlite::empty_log_left_behind(&path, durability));
            if let Ok(Err(error)) = emptied.await {
                tracing::warn!(%error, "the write-ahead log is left behind; the next start reads it");
            }
        }
        self.handle.0.connections.close_all();
        let _ = tokio::time::timeout(CLOSE_ALL_TIMEOUT, self.handle.0.all_connections_ended()).await;
    }
}

/// A handle to a running relay. Clones are handles to the same one.
#[derive(Clone)]
pub struct RelayHandle(Arc<ServerState>);

impl RelayHandle {
    /// Publishes an event from inside. When this returns, the event is stored as durably as the relay stores any.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn publish(&self, event: VerifiedEvent) -> Result<Outcome, EngineStopped> {
        self.0.publish(event).await
    }

    /// The stored events that match any of the filters, as a `REQ` would bring them: newest first, each once. What was
    /// published before is among them.
    ///
    /// A filter brings its `limit`, and at most [`MAX_LIMIT_INSIDE`](crate::limits::MAX_LIMIT_INSIDE). All together
    /// have at most [`max_answer_length`](crate::Limits::max_answer_length) bytes; what is left out is the oldest, and
    /// can be asked for with `until`.
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
    /// When there are more than [`max_filters`](crate::Limits::max_filters), or the relay's database failed, or the
    /// relay has stopped.
    pub async fn query(&self, filters: Vec<Filter>) -> Result<Vec<Event>, QueryError> {
        let found = self.0.query(filters).await?;
        query::read(&found.map_err(QueryError::Refused)?)
    }

    /// Carries out what an operator of the relay wants (NIP-86), or says that the token of the call was used before.
    /// Who is an operator is for the caller to know.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn manage(
        &self,
        call: SignedCall,
    ) -> Result<Result<ManagementReply, UsedToken>, EngineStopped> {
        self.0.manage(call).await
    }

    /// Makes a WebSocket of a request and serves it, in a task of its own.
    ///
    /// The response must be sent, over a connection that allows upgrades (hyper's `with_upgrades`).
    /// Set `TCP_NODELAY` on it, or every answer takes 40 ms.
    ///
    /// `address` is where the client is, as far as that is known: behind a proxy, what the proxy says.
    pub fn upgrade(&self, request: &mut Request, address: Option<IpAddr>) -> Response {
        let permit = match self.0.gate.admit_connection(address) {
            Ok(permit) => permit,
            Err(refusal) => {
                let status =
                    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return response::error(status, &refusal.to_string());
            }
        };
        let Ok(origin) = Origin::new(address, None) else {
            return response::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "this relay has no random numbers at present",
            );
        };
        match handshake::accept(request) {
            Ok((response, socket)) => {
                tokio::spawn(connection::serve(Arc::clone(&self.0), socket, permit, origin));
                response
            }
            Err(error) => {
                let reason = format!("this is no WebSocket handshake: {error}");
                response::error(StatusCode::BAD_REQUEST, &reason)
            }
        }
    }

    /// The relay information document (NIP-11), with the headers that let pages of any origin read it.
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
