//! What happens for each route, the same on both hosts. A host stores bytes, reads them, and passes calls to the index.

mod delete;
mod fetch;
mod host;
mod list;
mod mirror;
pub(crate) mod own;
mod read;

use openagents_host::http::{Method, Parts, Response, StatusCode, request_url, response};

pub(crate) use fetch::{Fetched, fetch};
pub(crate) use host::{Answer, BlobHost};

use crate::config::BlossomConfig;
use crate::descriptor::BlobDescriptor;
use crate::expected::ExpectedUploads;
use crate::index::{IndexRead, IndexReply, IndexWrite, Upload, UploadAnswer};
use crate::refusal::Refusal;
use crate::report::{MAX_REPORT_BYTES, Report};
use crate::response::{json, method_not_allowed, set_common_headers};
use crate::route::BlobRoute;
use crate::upload::{UploadHead, UploadRequest};

/// Answers a request. The body of `HEAD` is left out by the host.
pub(crate) async fn answer<H: BlobHost, E: ExpectedUploads>(
    host: &H,
    expected: &E,
    route: BlobRoute,
    parts: &Parts,
    body: H::Upload,
) -> Answer<H::Content> {
    let methods = route.methods();
    let mut answer = if methods.contains(&parts.method) {
        let answered = carry_out(host, expected, route, parts, body).await;
        answered.unwrap_or_else(|refusal| Answer::Finished(refusal.into_response()))
    } else {
        Answer::Finished(method_not_allowed(methods))
    };
    set_common_headers(answer.head_mut().headers_mut());
    answer
}

async fn carry_out<H: BlobHost, E: ExpectedUploads>(
    host: &H,
    expected: &E,
    route: BlobRoute,
    parts: &Parts,
    body: H::Upload,
) -> Result<Answer<H::Content>, Refusal> {
    let response = match route {
        BlobRoute::Blob(hash) => {
            let hash = hash.ok_or_else(malformed_hash)?;
            if parts.method != Method::DELETE {
                return read::read(host, &hash, parts).await;
            }
            delete::delete(host, &hash, parts).await?
        }
        BlobRoute::Upload if parts.method == Method::HEAD => preflight(host, expected, parts).await?,
        BlobRoute::Upload => {
            let request = admit(host, expected, UploadHead::Body, parts).await?;
            let answer = host.store(&request, body).await?;
            let response = stored(host.config(), parts, answer)?;
            if let (Some(_), Some(hash)) = (request.expected, request.hash) {
                expected.arrived(&request.owner(), &hash).await;
            }
            response
        }
        BlobRoute::Mirror => mirror::mirror(host, parts, body).await?,
        BlobRoute::List(owner) => list::list(host, owner, parts).await?,
        BlobRoute::Report => report(host, body).await?,
    };
    Ok(Answer::Finished(response))
}

fn malformed_hash() -> Refusal {
    Refusal::bad_request("expected /<sha256> with 64 lowercase hex characters, and perhaps a file extension")
}

/// Everything that is decided before a byte of an upload is read.
async fn admit<H: BlobHost, E: ExpectedUploads>(
    host: &H,
    expected: &E,
    head: UploadHead,
    parts: &Parts,
) -> Result<UploadRequest, Refusal> {
    let config = host.config();
    let request = UploadRequest::of(head, parts, config, host.now())?;
    let limits = match request.hash {
        Some(hash) if config.may_expect_of(&request.owner()) => {
            expected.expected(&request.owner(), &hash).await
        }
        _ => None,
    };
    request.admitted(config, limits)
}

/// `HEAD /upload` (BUD-06): whether an upload would be accepted.
async fn preflight<H: BlobHost, E: ExpectedUploads>(
    host: &H,
    expected: &E,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let request = admit(host, expected, UploadHead::Preflight, parts).await?;
    if let (Some(hash), Some(size)) = (request.hash, request.size) {
        let judge = IndexRead::Judge(request.upload(hash, size, host.config(), host.now()));
        if let IndexReply::Upload(answer) = host.read_index(judge).await? {
            accepted(answer)?;
        }
    }
    Ok(response::empty(StatusCode::OK))
}

/// `PUT /report` (BUD-09). A report of an operator also removes what it names, and refuses it from then on.
async fn report<H: BlobHost>(host: &H, body: H::Upload) -> Result<Response, Refusal> {
    let report = Report::of(&host.text(body, MAX_REPORT_BYTES).await?)?;
    host.write_index(IndexWrite::Report(report.clone())).await?;
    if host.config().is_operator(&report.reporter) {
        for (hash, what) in report.blobs {
            host.write_index(IndexWrite::Block { hash, reason: what }).await?;
        }
    }
    Ok(response::private(response::text(StatusCode::OK, "The operator will see this report.\n")))
}

/// The response to an upload (BUD-02): 201 for a new blob, 200 for one that exists.
fn stored(config: &BlossomConfig, parts: &Parts, answer: UploadAnswer) -> Result<Response, Refusal> {
    let (status, record) = match accepted(answer)? {
        UploadAnswer::Stored(record) => (StatusCode::CREATED, record),
        UploadAnswer::Exists(record) => (StatusCode::OK, record),
        _ => {
            return Err(Refusal::unavailable("the blob was removed while it was uploaded; upload it again"));
        }
    };
    Ok(json(status, &BlobDescriptor::new(Some(&base_url(config, parts)), &record)))
}

/// The answer, or why an upload is refused.
pub(crate) fn accepted(answer: UploadAnswer) -> Result<UploadAnswer, Refusal> {
    match answer {
        UploadAnswer::Blocked { reason } if reason.is_empty() => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "this blob is not accepted here"))
        }
        UploadAnswer::Blocked { reason } => {
            Err(Refusal::new(StatusCode::FORBIDDEN, format!("this blob is not accepted here: {reason}")))
        }
        UploadAnswer::Banned => Err(Refusal::new(StatusCode::FORBIDDEN, "this key is banned here")),
        // BUD-02 counts quotas among the reasons for 429.
        UploadAnswer::QuotaExceeded { quota, used } => {
            let reason = format!("you may own {quota} bytes here and own {used}: delete a blob first");
            Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason))
        }
        UploadAnswer::NoRoom => Err(Refusal::unavailable(
            "the files of customers have all the room that they may have here; try again later",
        )),
        answer => Ok(answer),
    }
}

/// Makes an owner of who uploads a blob that exists. `None` if its bytes are needed.
pub(crate) async fn claim_existing<H: BlobHost>(
    host: &H,
    upload: Upload,
) -> Result<Option<UploadAnswer>, Refusal> {
    let IndexReply::Upload(answer) = host.read_index(IndexRead::Judge(upload.clone())).await? else {
        return Ok(None);
    };
    if !matches!(accepted(answer)?, UploadAnswer::Exists(_)) {
        return Ok(None);
    }
    match host.write_index(IndexWrite::Claim(upload)).await? {
        IndexReply::Upload(answer) => {
            Ok(Some(accepted(answer)?).filter(|answer| *answer != UploadAnswer::Wanted))
        }
        _ => Ok(None),
    }
}

/// The URL below which clients find blobs, without a slash at its end.
fn base_url(config: &BlossomConfig, parts: &Parts) -> String {
    match &config.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => {
            let url = request_url(parts).unwrap_or_default();
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            url.strip_suffix(path).unwrap_or(&url).to_owned()
        }
    }
}
