//! The `HandlerHost` of a Durable Object: what running handlers can use.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use futures_channel::mpsc::UnboundedSender;
use openagents_blossom::{BlobDescriptor, BlobError, BlobRecord, BlossomConfig, MediaType};
use openagents_host::http::Bytes;
use openagents_host::net::{AllowedOrigins, Reach, RelayClient, RelayError, RelayLimits};
use openagents_host::worker::{DurableSql, now};
use openagents_host::{BlobHash, Engine, Event, Keys, SqlError, timeout};
use openagents_relay::Filter;
use worker::Env;

use super::TICKET;
use crate::audit::{AuditError, AuditStore};
use crate::declared_variables::DeclaredVariables;
use crate::engine::{Effect, Input, JobEngine, Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::host_port::HandlerHost;
use crate::worker::audit_bucket::AuditBucket;
use crate::worker::{DELIVERY_TIMEOUT, calls};

pub(super) struct WorkerHandlerHost {
    pub(super) keys: Keys,
    pub(super) reach: Reach,
    pub(super) allowed_origins: AllowedOrigins,
    pub(super) variables: DeclaredVariables,
    pub(super) blossom: BlossomConfig,
    pub(super) env: Env,
    pub(super) audit: Result<AuditBucket, AuditError>,
    pub(super) engine: Rc<RefCell<JobEngine<DurableSql>>>,
    /// Inputs for the engine, until it is free.
    pub(super) reports: UnboundedSender<Input>,
}

#[async_trait(?Send)]
impl HandlerHost for WorkerHandlerHost {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn allowed_origins(&self) -> AllowedOrigins {
        self.allowed_origins.clone()
    }

    fn variables(&self) -> &DeclaredVariables {
        &self.variables
    }

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.reports.unbounded_send(Input::Reported { lease, report });
    }

    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError> {
        Ok(query_state(&self.engine, query)?)
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        events(&self.env, filters).await
    }

    fn audit_store(&self) -> Result<&dyn AuditStore, AuditError> {
        self.audit.as_ref().map(|audit| audit as _).map_err(Clone::clone)
    }

    async fn store_blob(&self, bytes: Bytes, media_type: MediaType) -> Result<BlobDescriptor, BlobError> {
        let owner = self.keys.public_key();
        openagents_blossom::worker::store(&self.env, self.blossom.clone(), owner, bytes, media_type).await
    }

    async fn find_blob(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
        openagents_blossom::worker::find(&self.env, self.blossom.clone(), hash).await
    }

    async fn read_blob(&self, hash: &BlobHash, max_bytes: usize) -> Result<Option<Bytes>, BlobError> {
        openagents_blossom::worker::read(&self.env, self.blossom.clone(), hash, max_bytes).await
    }

    async fn delete_blob(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        let owner = self.keys.public_key();
        openagents_blossom::worker::delete(&self.env, self.blossom.clone(), hash, owner).await
    }

    async fn connect_to_own(&self) -> Result<RelayClient, RelayError> {
        match timeout(DELIVERY_TIMEOUT, calls::relay_socket(&self.env, None, None)).await {
            Some(socket) => {
                let client = RelayClient::over(socket?, RelayLimits::default());
                Ok(client.authenticating(calls::OWN_RELAY, &self.keys))
            }
            None => Err(RelayError::Timeout { after: DELIVERY_TIMEOUT }),
        }
    }
}

/// Why the agent's database did not reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateQueryError {
    #[error(transparent)]
    Database(#[from] SqlError),
    #[error("the agent's engine gave no answer")]
    NoReply,
}

/// Queries the agent's database, which replies at once.
pub(super) fn query_state(
    engine: &RefCell<JobEngine<DurableSql>>,
    query: StateQuery,
) -> Result<StateReply, StateQueryError> {
    let mut effects = Vec::new();
    engine.borrow_mut().handle(now(), &Input::Query { query, ticket: TICKET }, &mut effects);
    let answer = effects.into_iter().find_map(|effect| match effect {
        Effect::QueryReply { ticket: TICKET, answer } => Some(answer),
        _ => None,
    });
    Ok(answer.ok_or(StateQueryError::NoReply)??)
}

/// Reads events from the relay's object.
pub(super) async fn events(env: &Env, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
    let asked = async {
        let relay = calls::relay(env)?;
        openagents_relay::worker::query(&relay, &filters).await
    };
    match timeout(DELIVERY_TIMEOUT, asked).await {
        Some(events) => events.map_err(|error| failed(&error.to_string())),
        None => Err(failed("the relay's object did not answer")),
    }
}

fn failed(reason: &str) -> JobError {
    JobError::retry("the agent could not read its relay").caused_by(reason.to_owned())
}
