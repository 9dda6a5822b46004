//! The relay in a native process: WebSockets on hyper, one thread that owns the database.
//!
//! Every connection has a task that reads, checks and verifies, and one that writes. Between them and the
//! database stands the [`EngineThread`], which commits what has come in together. Routing HTTP is left to whoever
//! owns the port: it hands over upgrades ([`RelayHandle::upgrade`]).
//!
//! What is done to a relay's database beside serving it: [`import`], [`export`], [`sync`], [`statistics`], [`upkeep`].

mod connection;
pub mod database;
mod decoder;
mod encoder;
mod entrance;
pub mod export;
mod handover;
pub mod import;
pub mod intake;
mod outbox;
mod query;
mod readers;
mod shared;
mod socket;
pub mod statistics;
pub mod sync;
mod tickets;
pub mod upkeep;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use openagents_host::native::{Commits, Durability, EngineThread, OpenError, Sqlite, Stopped, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Event, VerifiedEvent};

pub use handover::{DeliveryError, HandOver};
pub use query::QueryError;
pub use shared::RelayStatistics;

use crate::filter::Filter;
use crate::information::{CONTENT_TYPE, CORS_HEADERS, RelayInformation};
use crate::management::{Answer, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::relay::{Relay, RelayConfig};
use crate::session::Origin;
use entrance::Entrance;
use readers::{Desk, Questions, Readers};
use shared::{Connections, Shared};

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
    /// The file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its tables.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The thread.
    #[error("the relay's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running relay.
#[must_use = "a relay that is dropped stops"]
pub struct RelayServer {
    handle: RelayHandle,
    thread: EngineThread,
    /// None where the engine itself reads.
    readers: Option<Readers>,
    path: PathBuf,
    durability: Durability,
}

impl RelayServer {
    /// Starts a relay. It must be called within a tokio runtime, in which its connections live.
    ///
    /// # Errors
    /// When the database cannot be opened, or is of a later release.
    pub async fn start(config: RelayServerConfig, handover: Arc<dyn HandOver>) -> Result<Self, StartError> {
        let connections = Arc::new(Connections::default());
        let (deliveries, waiting) = handover::queue();
        let (questions, commits) = (Arc::<Questions>::default(), Commits::default());
        // A relay that forgets shows what a Durable Object does, which reads by itself.
        let reads_beside = !config.forget_memory;
        let entrance = Arc::new(Entrance::new(&config.relay.limits, &config.relay.admission));
        let engine = {
            let (path, durability, relay) = (config.path.clone(), config.durability, config.relay.clone());
            let entrance = Arc::clone(&entrance);
            move || -> Result<_, StartError> {
                let mut relay = Relay::open(Sqlite::open(&path, durability)?, relay)?;
                entrance.set_rules(Arc::clone(relay.rules()));
                relay.hurry_handovers(now()).map_err(SchemaError::from)?;
                Ok(if reads_beside { relay.read_beside() } else { relay })
            }
        };
        let apply = {
            let (connections, entrance) = (Arc::clone(&connections), Arc::clone(&entrance));
            let questions = Arc::clone(&questions);
            move |effects: &mut Vec<_>| connections.apply(effects, &deliveries, &entrance, &questions)
        };
        let watched = commits.clone();
        let (inputs, thread) =
            EngineThread::start_watched("relay", config.forget_memory, watched, engine, apply).await?;
        tokio::spawn(handover::deliver(waiting, handover, inputs.clone()));
        let readers = if reads_beside {
            let (connections, inputs) = (Arc::clone(&connections), inputs.clone());
            let desk = Desk { questions, connections, commits, inputs, config: config.relay.clone() };
            Some(Readers::start(&config.path, &desk)?)
        } else {
            None
        };
        let shared = Shared::new(inputs, connections, config.relay.limits, entrance, config.information);
        let (path, durability) = (config.path, config.durability);
        Ok(Self { handle: RelayHandle(Arc::new(shared)), thread, readers, path, durability })
    }

    /// The way to this relay.
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
        const PATIENCE: Duration = Duration::from_secs(5);
        self.handle.0.entrance.close();
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
        let _ = tokio::time::timeout(PATIENCE, self.handle.0.all_connections_ended()).await;
    }
}

/// The way to a running relay. Clones lead to the same one.
#[derive(Clone)]
pub struct RelayHandle(Arc<Shared>);

impl RelayHandle {
    /// Publishes an event from inside. When this returns, the event is stored as durably as the relay stores any.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn publish(&self, event: VerifiedEvent) -> Result<Outcome, Stopped> {
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

    /// Carries out what an operator of the relay wants (NIP-86), or says that the token of the call was used before. Who is an
    /// operator is for the caller to know.
    ///
    /// # Errors
    /// When the relay has stopped.
    pub async fn manage(&self, call: SignedCall) -> Result<Result<Answer, UsedToken>, Stopped> {
        self.0.manage(call).await
    }

    /// Makes a WebSocket of a request and serves it, in a task of its own.
    ///
    /// The response must be sent, over a connection that allows upgrades (hyper's `with_upgrades`).
    /// Set `TCP_NODELAY` on it, or every answer takes 40 ms.
    ///
    /// `address` is where the client is, as far as that is known: behind a proxy, what the proxy says.
    pub fn upgrade<B>(&self, request: &mut Request<B>, address: Option<IpAddr>) -> Response<Full<Bytes>> {
        let place = match self.0.entrance.enter(address) {
            Ok(place) => place,
            Err(no_entry) => {
                let status =
                    StatusCode::from_u16(no_entry.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                return text(status, format!("{no_entry}\n"));
            }
        };
        let Ok(origin) = Origin::new(address, None) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "this relay has no random numbers at present\n");
        };
        match fastwebsockets::upgrade::upgrade(request) {
            Ok((response, socket)) => {
                tokio::spawn(connection::serve(Arc::clone(&self.0), socket, place, origin));
                response.map(|_| Full::default())
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("this is no WebSocket handshake: {error}\n")),
        }
    }

    /// The relay information document (NIP-11), with the headers that let pages of any origin read it.
    #[must_use]
    pub fn information(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.0.information()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
        for (name, value) in CORS_HEADERS {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
        response
    }

    /// What goes on.
    #[must_use]
    pub fn statistics(&self) -> RelayStatistics {
        self.0.statistics()
    }
}

/// Whether a request asks for a WebSocket.
#[must_use]
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    fastwebsockets::upgrade::is_upgrade_request(request)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
