//! `GET /agent/{npub}/manifest.json`: the agent's signed manifest.

use openagents_host::http::{Response, StatusCode, response};

use crate::manifest::SignedManifest;

pub(super) fn manifest(manifest: &SignedManifest) -> Response {
    response::json(StatusCode::OK, manifest.json().to_string())
}
