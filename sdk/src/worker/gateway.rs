//! The Worker's part of the gateway: it forwards requests and stores their records; the agent's object counts them.

use std::cell::Cell;
use std::net::IpAddr;

use async_trait::async_trait;
use futures_channel::oneshot;
use openagents_host::http::{Parts, Response, StatusCode, header_text, response};
use openagents_host::timeout;
use openagents_host::worker::http as worker_http;
use worker::{Context, Env, Request, Result};

use super::audit_bucket::AuditBucket;
use super::calls::{count_request, keep_audit_record};
use super::{CLIENT_ADDRESS, DELIVERY_TIMEOUT, log_to_console, variable};
use crate::audit::{AuditError, AuditRecord, AuditStore};
use crate::engine::{ClientAdmission, CountedRequest};
use crate::gateway::{Gateway, GatewayError, GatewayHost, GatewayService, respond_with_error};
use crate::settings::{SettingError, gateway_config, log_settings, unused_gateway_variables};

/// Answers `POST /`; `misconfigured` is the response if a variable is invalid. If the client goes away meanwhile, its
/// request is nevertheless carried out, and recorded, as long as the runtime permits.
pub(super) async fn answer(
    env: &Env,
    context: &Context,
    gateway: Option<Gateway>,
    parts: &Parts,
    mut request: Request,
    misconfigured: impl FnOnce(&SettingError) -> Response,
) -> Result<Response> {
    let Some(gateway) = gateway else { return Ok(respond_with_error(&GatewayError::NoGateway)) };
    let (log, config) =
        (log_settings(|name| variable(env, name)), gateway_config(|name| variable(env, name)));
    let config = match (log, config) {
        (Ok((level, format)), Ok(config)) => {
            log_to_console(level, format);
            config
        }
        (Err(error), _) | (_, Err(error)) => return Ok(misconfigured(&error)),
    };
    let address: Option<IpAddr> = header_text(&parts.headers, &CLIENT_ADDRESS).parse().ok();
    let body = worker_http::body(&mut request)?;
    let (service, parts) = (GatewayService { gateway, config }, parts.clone());
    let host = WorkerGatewayHost { env: env.clone(), audit: AuditBucket::of(env) };
    let (sender, answered) = oneshot::channel();
    context.wait_until(async move {
        let _ = sender.send(service.answer(&host, address, &parts, body).await);
    });
    Ok(answered.await.unwrap_or_else(|_| {
        response::error(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed; its log has the reason.")
    }))
}

thread_local! {
    static HAS_WARNED: Cell<bool> = const { Cell::new(false) };
}

/// Says once that variables of a gateway are not used, in a deployment without one.
pub(super) fn warn_of_unused_variables(env: &Env) {
    if !HAS_WARNED.replace(true)
        && let Some(warning) = unused_gateway_variables(|name| variable(env, name))
    {
        worker::console_warn!("{warning}");
    }
}

struct WorkerGatewayHost {
    env: Env,
    audit: std::result::Result<AuditBucket, AuditError>,
}

#[async_trait(?Send)]
impl GatewayHost for WorkerGatewayHost {
    async fn count(&self, request: CountedRequest) -> std::result::Result<ClientAdmission, GatewayError> {
        match timeout(DELIVERY_TIMEOUT, count_request(&self.env, request)).await {
            Some(Ok(admission)) => Ok(admission),
            Some(Err(error)) => {
                worker::console_error!("a request to the gateway could not be counted: {error}");
                Err(GatewayError::NoDatabase)
            }
            None => Err(GatewayError::NoDatabase),
        }
    }

    fn audit_store(&self) -> std::result::Result<&dyn AuditStore, AuditError> {
        match &self.audit {
            Ok(audit) => Ok(audit),
            Err(error) => Err(error.clone()),
        }
    }

    async fn keep(&self, record: AuditRecord) -> std::result::Result<(), GatewayError> {
        match timeout(DELIVERY_TIMEOUT, keep_audit_record(&self.env, record)).await {
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) | None => Err(GatewayError::NoAudit),
            Some(Err(error)) => {
                worker::console_error!("an audit record could not be kept: {error}");
                Err(GatewayError::NoAudit)
            }
        }
    }
}
