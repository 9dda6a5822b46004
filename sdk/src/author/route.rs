//! `RouteContext` and `FromRequest`: what a `#[route]` can take from an HTTP request.

mod extract;
mod respond;

use std::ops::Deref;
use std::sync::Arc;

use super::context::AgentContext;
use crate::route::{RouteRequest, RouteResponse};
use crate::send::MaybeSend;

pub use respond::{IntoResponse, RouteReturn};

/// The request that a [`#[route]`](macro@crate::route) answers. Derefs to the [`AgentContext`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RouteContext(Arc<RouteContextInner>);

#[derive(Debug)]
struct RouteContextInner {
    request: RouteRequest,
    agent_context: AgentContext,
}

impl RouteContext {
    pub(crate) fn new(request: RouteRequest, agent_context: AgentContext) -> Self {
        Self(Arc::new(RouteContextInner { request, agent_context }))
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &RouteRequest {
        &self.0.request
    }
}

impl Deref for RouteContext {
    type Target = AgentContext;

    fn deref(&self) -> &AgentContext {
        &self.0.agent_context
    }
}

/// An argument that a [`#[route]`](macro@crate::route) can take, made from its request.
///
/// A type of the author's own can check who sends a request:
///
/// ```
/// use openagents_sdk::prelude::*;
/// use openagents_sdk::{FromRequest, RouteContext, RouteResponse, StatusCode};
///
/// /// A request that knows the token.
/// struct Authorized;
///
/// impl FromRequest for Authorized {
///     async fn from_request(context: &RouteContext) -> Result<Self, RouteResponse> {
///         let expected = context.secret("HOOK_TOKEN").map(|token| format!("Bearer {}", token.expose()));
///         match (context.request().header("authorization"), expected) {
///             (Some(given), Ok(expected)) if given == expected => Ok(Self),
///             _ => Err(RouteResponse::text("This needs a token.").with_status(StatusCode::UNAUTHORIZED)),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a route cannot take `{Self}`",
    label = "not an argument of a route",
    note = "if `{Self}` has `#[derive(JobParams)]`, take it as `Params<{Self}>`",
    note = "routes take the body as `Text`, `Json<T>` or `Bytes`, the query as `Params` or `Params<T>`, the headers as `HeaderMap`, or the whole `RouteRequest`",
    note = "or the context of the run: `RouteContext`, `AgentContext`"
)]
pub trait FromRequest: Sized {
    /// Makes the argument. Implementations write `async fn from_request(…)`.
    ///
    /// # Errors
    /// The response to a request from which it cannot be made; the route is not called then.
    fn from_request(context: &RouteContext) -> impl Future<Output = Result<Self, RouteResponse>> + MaybeSend;
}
