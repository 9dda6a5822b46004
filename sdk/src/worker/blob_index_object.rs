//! The Durable Object with the index of blobs, and the Worker's answers to requests for blobs.

use std::sync::OnceLock;

use openagents_blossom::worker::BlobIndexHost;
use openagents_blossom::{BlobError, BlobRoute, BlossomConfig, OwnerBan, Uploaders};
use openagents_host::PublicKey;
use openagents_host::http::{HeaderName, Parts, header_text};
use openagents_host::worker::{ObjectAddress, http as worker_http, now};
use worker::{Env, Request, Response, Result, State};

use super::calls::agent_key;
use super::job_uploads::WorkerJobUploads;
use super::variable;
use crate::declaration::DeploymentDeclaration;
use crate::http::BlobAdmission;
use crate::settings::{self, Operators, SettingError, blossom_config};

/// The header in which Cloudflare tells the client's address.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// The requests that this isolate has admitted. Its variables do not change while it lives.
static ADMISSION: OnceLock<BlobAdmission> = OnceLock::new();

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
    let admission = match ADMISSION.get() {
        Some(admission) => admission,
        None => match settings::rate_limits(|name| variable(env, name)) {
            Ok(limits) => ADMISSION.get_or_init(|| BlobAdmission::new(limits)),
            Err(error) => return worker_http::response(misconfigured(&error), &parts.method),
        },
    };
    let address = header_text(&parts.headers, &CLIENT_ADDRESS).parse().ok();
    if let Err(refusal) = admission.admit(now(), address, &parts.method) {
        return worker_http::response(refusal, &parts.method);
    }
    let agent = match deployment.agents.is_empty() {
        true => None,
        false => Some(agent_key(env).await?),
    };
    let config = Operators::read(|name| variable(env, name))
        .and_then(|operators| blossom_config(|name| variable(env, name), &operators, agent, []));
    match config {
        Ok(mut config) => {
            config.accepts_expected &= deployment.takes_uploads();
            openagents_blossom::worker::answer(env, config, route, parts, request, &WorkerJobUploads(env))
                .await
        }
        Err(error) => worker_http::response(misconfigured(&error), &parts.method),
    }
}

/// Carries out an operator's decision about a key (NIP-86). A Worker without a blob server has nothing to do.
pub(super) async fn apply_ban(env: &Env, ban: OwnerBan) -> std::result::Result<(), BlobError> {
    if ObjectAddress::Blossom.stub(env).is_err() {
        return Ok(());
    }
    // Who may upload does not matter here.
    let config = BlossomConfig::new(Uploaders::Anyone);
    openagents_blossom::worker::apply_ban(env, config, ban).await
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
