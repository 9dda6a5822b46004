//! Requests to the HTTP routes that an agent declares with `#[route]`, and their responses.

mod admission;
mod request;
mod response;

pub(crate) use admission::{RouteAdmission, RouteRefusal};
pub use request::RouteRequest;
pub use response::{ResponseHeaderError, RouteResponse};
