//! `GET` and `HEAD /<sha256>`.

use openagents_host::BlobHash;
use openagents_host::http::{HeaderMap, Method, Parts};

use super::host::{Answer, BlobHost};
use crate::download::{Download, download, is_unconditional};
use crate::refusal::Refusal;

pub(super) async fn read<H: BlobHost>(
    host: &H,
    hash: &BlobHash,
    parts: &Parts,
) -> Result<Answer<H::Content>, Refusal> {
    if is_unconditional(&parts.method, &parts.headers) {
        // One step for the head and the bytes.
        let (record, content) = host.open(hash, None).await?.ok_or_else(Refusal::not_found)?;
        return Ok(match download(&Method::GET, &HeaderMap::new(), &record, host.now()) {
            Download::Content { head, .. } => Answer::Content(head, content),
            Download::Finished(response) => Answer::Finished(response),
        });
    }
    let record = host.find(hash).await?.ok_or_else(Refusal::not_found)?;
    match download(&parts.method, &parts.headers, &record, host.now()) {
        Download::Content { head, range } if parts.method == Method::GET => {
            let (_, content) = host.open(hash, range).await?.ok_or_else(Refusal::not_found)?;
            Ok(Answer::Content(head, content))
        }
        Download::Content { head, .. } | Download::Finished(head) => Ok(Answer::Finished(head)),
    }
}
