//! The return types of a `#[route]`: what becomes an HTTP response.

use std::borrow::Cow;

use openagents_host::http::{Bytes, HeaderValue, StatusCode};
use serde::Serialize;

use crate::author::extract::Text;
use crate::author::output::{Json, Markdown};
use crate::author::return_types::HandlerError;
use crate::error::JobError;
use crate::route::RouteResponse;

/// A type that a [`#[route]`](macro@crate::route) can answer with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the response of a route",
    label = "not a response",
    note = "routes return `JobResult` of text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Bytes`, `StatusCode`, `RouteResponse` (status, headers and body), or `()`"
)]
pub trait IntoResponse {
    /// Makes the response.
    ///
    /// # Errors
    /// When the value cannot be written as a body.
    fn into_response(self) -> Result<RouteResponse, JobError>;
}

macro_rules! text_responses {
    ($($type:ty),*) => {
        $(impl IntoResponse for $type {
            fn into_response(self) -> Result<RouteResponse, JobError> {
                Ok(RouteResponse::text(self))
            }
        })*
    };
}

text_responses!(String, &'static str, Cow<'static, str>, Text);

/// No content, with status 204.
impl IntoResponse for () {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(RouteResponse::new(StatusCode::NO_CONTENT))
    }
}

/// A status without a body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(RouteResponse::new(self))
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(RouteResponse::bytes(self))
    }
}

impl IntoResponse for Markdown {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(RouteResponse::typed(HeaderValue::from_static("text/markdown; charset=utf-8"), self.0))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(RouteResponse::json(&self.0)?)
    }
}

impl IntoResponse for RouteResponse {
    fn into_response(self) -> Result<RouteResponse, JobError> {
        Ok(self)
    }
}

/// The return type of a route: a `Result` of a response.
#[diagnostic::on_unimplemented(
    message = "a route cannot return `{Self}`",
    label = "not a `JobResult` of a response",
    note = "routes return `JobResult<T>`, where `T` is text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Bytes`, `StatusCode`, `RouteResponse` (status, headers and body), or `()`"
)]
pub trait RouteReturn {
    /// Makes the response, or returns the route's error.
    ///
    /// # Errors
    /// The route's error, or that its response could not be written.
    fn into_route_response(self) -> Result<RouteResponse, JobError>;
}

impl<T: IntoResponse, E: HandlerError> RouteReturn for Result<T, E> {
    fn into_route_response(self) -> Result<RouteResponse, JobError> {
        self.map_err(HandlerError::into_job_error)?.into_response()
    }
}
