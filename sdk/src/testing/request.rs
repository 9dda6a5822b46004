//! `TestRequest`: an HTTP request that a test makes to a `#[route]` of its agent.

use openagents_host::http::{Body, Uri};
use openagents_host::http::{Bytes, HeaderName, HeaderValue, Method, Parts, Request};
use serde::Serialize;

use super::agent::TestAgent;
use super::failure::{OrFail, fail};
use super::host::Until;
use crate::author::agent::Jobs;
use crate::http::{self, AgentRoute, Route};
use crate::route::{RouteRequest, RouteResponse};

/// An HTTP request to the agent. See [`TestAgent::request`].
#[must_use = "it is sent by `send`"]
pub struct TestRequest<'a, A> {
    agent: &'a mut TestAgent<A>,
    parts: Parts,
    body: Bytes,
}

impl<A: Jobs> TestAgent<A> {
    /// A request to a [`#[route]`](macro@crate::route) of the agent. The path may have a query.
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    /// use openagents_sdk::{Method, testing::TestAgent};
    ///
    /// #[agent(name = "counter")]
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Counter {
    ///     hooks: u64,
    /// }
    ///
    /// #[jobs]
    /// impl Counter {
    ///     #[route(POST, "/hook")]
    ///     async fn hook(&mut self, body: Text) -> JobResult<String> {
    ///         self.hooks += 1;
    ///         Ok(format!("{body} is hook {}", self.hooks))
    ///     }
    /// }
    ///
    /// let mut agent = TestAgent::<Counter>::start();
    /// let response = agent.request(Method::POST, "/hook").body("push").send();
    /// assert_eq!((response.status().as_u16(), &response.body()[..]), (200, &b"push is hook 1"[..]));
    /// assert_eq!(agent.state().hooks, 1);
    /// ```
    ///
    /// # Panics
    /// When the path is not one.
    #[track_caller]
    pub fn request(&mut self, method: Method, path: &str) -> TestRequest<'_, A> {
        let mut parts = Request::new(Body::Empty).into_parts().0;
        parts.method = method;
        parts.uri = path.parse::<Uri>().or_fail(format_args!("`{path}` is not the path of a URL"));
        TestRequest { agent: self, parts, body: Bytes::new() }
    }
}

impl<A: Jobs> TestRequest<'_, A> {
    /// Adds a header.
    ///
    /// # Panics
    /// When name or value is invalid.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().or_fail(format_args!("`{name}` is not the name of a header"));
        let value: HeaderValue = value.parse().or_fail(format_args!("`{name}` cannot have this value"));
        self.parts.headers.append(name, value);
        self
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Sets the body to a value as JSON.
    ///
    /// # Panics
    /// When JSON cannot hold the value.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let body = serde_json::to_vec(value).or_fail("the body cannot be written as JSON");
        self.header("content-type", "application/json").body(body)
    }

    /// Sends the request, and lets as much time pass as its response needs.
    ///
    /// # Panics
    /// When the agent has no such route, or it gave no response: it was busy for too long.
    #[track_caller]
    pub fn send(self) -> RouteResponse {
        let Self { agent, parts, body } = self;
        let declared: Vec<_> = A::ROUTES.iter().map(|route| route.declaration).collect();
        let Route::Agent(AgentRoute::Declared { index, .. }) = http::route(&parts, &declared) else {
            let has: Vec<String> =
                declared.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
            let (method, path) = (&parts.method, parts.uri.path());
            fail(format_args!("the agent has no route {method} {path}; it has: {}", has.join(", ")));
        };
        if let Some(route) = declared.get(index)
            && body.len() > route.max_bytes
        {
            fail(format_args!("the body has {} bytes, but the route takes {}", body.len(), route.max_bytes));
        }
        let ticket = agent.host.call(index, RouteRequest::new(&parts, body, None));
        agent.go(Until::Responded(ticket));
        match agent.host.take_response(ticket) {
            Some(response) => response,
            None => fail(format_args!("the agent was busy for too long to answer {}", parts.uri)),
        }
    }
}
