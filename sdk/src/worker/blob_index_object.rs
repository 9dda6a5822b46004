//! The Durable Object with the index of blobs, and the Worker's answers to requests for blobs.

use openagents_blossom::worker::BlobIndexHost;
use openagents_blossom::{BlobError, BlobRoute, BlossomConfig, Uploaders};
use openagents_host::PublicKey;
use openagents_host::http::Parts;
use openagents_host::worker::{ObjectAddress, http as worker_http};
use worker::{Env, Request, Response, Result, State};

use super::calls::agent_key;
use super::variable;
use crate::declaration::DeploymentDeclaration;
use crate::settings::{Operators, SettingError, blossom_config};

/// The object with the index of blobs.
pub type BlobIndexObject = BlobIndexHost;

/// The constructor of the object.
#[must_use]
pub fn blob_index_object(state: State, env: Env) -> BlobIndexObject {
    // The Worker reports an invalid variable, and then lets nobody get here.
    let config = blossom_config(|name| variable(&env, name), &Operators::default(), None, []);
    let time_to_live = config.ok().and_then(|config| config.time_to_live);
    BlobIndexHost::new(state, env, time_to_live)
}

/// Answers a request for the blob server; `misconfigured` is the response if a variable is invalid.
pub(super) async fn answer(
    env: &Env,
    deployment: &DeploymentDeclaration,
    route: BlobRoute,
    parts: &Parts,
    request: Request,
    misconfigured: impl FnOnce(&SettingError) -> openagents_host::http::Response,
) -> Result<Response> {
    let agent = match deployment.agents.is_empty() {
        true => None,
        false => Some(agent_key(env).await?),
    };
    let config = Operators::read(|name| variable(env, name))
        .and_then(|operators| blossom_config(|name| variable(env, name), &operators, agent, []));
    match config {
        Ok(config) => openagents_blossom::worker::answer(env, config, route, parts, request).await,
        Err(error) => worker_http::response(misconfigured(&error), &parts.method),
    }
}

/// Takes all blobs from a key that has vanished (NIP-62). A Worker without a blob server has none.
pub(super) async fn remove_owner(
    env: &Env,
    owner: PublicKey,
    until: u64,
) -> std::result::Result<(), BlobError> {
    if ObjectAddress::Blossom.stub(env).is_err() {
        return Ok(());
    }
    // Who may upload does not matter here.
    let config = BlossomConfig::new(Uploaders::Anyone);
    openagents_blossom::worker::remove_owner(env, config, owner, until).await
}
