//! `DELETE /<sha256>` (BUD-12): takes a blob from its owner; an operator takes it from all.

use openagents_host::BlobHash;
use openagents_host::http::{Parts, Response, StatusCode, response};

use super::host::BlobHost;
use crate::authorization::Verb;
use crate::index::{Deletion, IndexReply, IndexWrite};
use crate::refusal::Refusal;
use crate::upload::authorize;

pub(super) async fn delete<H: BlobHost>(
    host: &H,
    hash: &BlobHash,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let authorization = authorize(parts, Verb::Delete, host.config(), host.now())?;
    // "Multiple `x` tags MUST NOT be interpreted as the user requesting to delete multiple blobs."
    authorization.require(Some(*hash))?;
    let who = authorization.pubkey;
    let owner = (!host.config().is_operator(&who)).then_some(who);
    match host.write_index(IndexWrite::Delete { hash: *hash, owner }).await? {
        IndexReply::Deleted(Deletion::Deleted) => Ok(response::empty(StatusCode::NO_CONTENT)),
        IndexReply::Deleted(Deletion::NotOwned) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, format!("{who} has not uploaded this blob")))
        }
        _ => Err(Refusal::not_found()),
    }
}
