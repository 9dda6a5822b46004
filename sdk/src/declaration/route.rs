//! What an HTTP route of an agent declares: its method, path and limits.

use std::fmt;
use std::time::Duration;

/// What an HTTP route declares, in `#[route]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteDeclaration {
    /// The method of its requests.
    pub method: RouteMethod,
    /// Its path below `/agent/<npub or name>`, and at the root: `/hook`.
    pub path: &'static str,
    /// What it does, from its doc comment.
    pub about: &'static str,
    /// How long answering a request may take.
    pub timeout: Duration,
    /// The longest body of a request, in bytes.
    pub max_bytes: usize,
}

/// The method of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteMethod {
    /// `GET`, and `HEAD`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl RouteMethod {
    /// The method's name in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a request with this method is one of the route's.
    pub(crate) fn takes(self, method: &str) -> bool {
        method == self.as_str() || (self == Self::Get && method == "HEAD")
    }
}

impl fmt::Display for RouteMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
