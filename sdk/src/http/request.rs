//! An HTTP request as the agent sees it, on either host.

use serde::{Deserialize, Serialize};

/// A request for something that the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    /// The absolute URL, as the client sees it.
    pub(crate) url: String,
    /// The `Authorization` header, or nothing.
    pub(crate) authorization: String,
}
