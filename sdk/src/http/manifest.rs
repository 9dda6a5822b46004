//! `GET /agent/{npub}/manifest.json`: what the agent is and can do, signed with its key.

use openagents_host::http::{Response, StatusCode, response};

use crate::manifest::SignedManifest;

pub(super) fn manifest(manifest: &SignedManifest) -> Response {
    response::json(StatusCode::OK, manifest.json().to_string())
}
