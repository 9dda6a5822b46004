//! The arguments of a `#[route]`: the body as text, JSON or bytes, the query's parameters, the headers.

use openagents_host::http::{Bytes, HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{FromRequest, RouteContext};
use crate::author::context::AgentContext;
use crate::author::extract::{Text, read_json};
use crate::author::output::Json;
use crate::author::params::{JobParams, Params};
use crate::nip90::ParamMap;
use crate::route::{RouteRequest, RouteResponse};

fn bad_request(reason: &str) -> RouteResponse {
    RouteResponse::refusal(StatusCode::BAD_REQUEST, reason)
}

fn body_text(context: &RouteContext) -> Result<&str, RouteResponse> {
    let text = context.request().text();
    text.map_err(|error| bad_request(&format!("the body is not UTF-8 text: {error}")))
}

/// The body as text. Another encoding than UTF-8 is answered with 400.
impl FromRequest for Text {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        body_text(context).map(Self::from)
    }
}

/// The body read as JSON, whatever its `content-type`. If it does not fit, the answer is 400 and says what was expected,
/// with line and column.
impl<T: DeserializeOwned> FromRequest for Json<T> {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        let read = read_json(body_text(context)?, "body", "route");
        read.map(Self).map_err(|reason| bad_request(&reason))
    }
}

/// The body.
impl FromRequest for Bytes {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        Ok(context.request().body().clone())
    }
}

/// The parameters in the query: `?lines=3&model=fast`. If one is missing or invalid, the answer is 400 and says what is
/// accepted.
impl<P: JobParams> FromRequest for Params<P> {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        let pairs = form_urlencoded::parse(context.request().query().as_bytes());
        let params = pairs.map(|(name, value)| (name.into_owned(), vec![value.into_owned()]));
        let read = P::from_params(&ParamMap(params.collect()));
        read.map(Self).map_err(|error| bad_request(error.message()))
    }
}

impl FromRequest for HeaderMap {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        Ok(context.request().headers().clone())
    }
}

impl FromRequest for RouteRequest {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        Ok(context.request().clone())
    }
}

impl FromRequest for RouteContext {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        Ok(context.clone())
    }
}

impl FromRequest for AgentContext {
    async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
        Ok((**context).clone())
    }
}
