//! How a component reaches out of its process, with one API on both hosts.
//!
//! * [`address`]: which URLs may be reached at all. What a customer names in a job must not lead into the network that
//!   the agent runs in.
//! * [`fetch`](fn@fetch): one HTTP request, with limits on size, time and redirects.
//! * [`Socket`]: a WebSocket of text messages.
//! * [`RelayClient`]: publishing to a relay and reading from it (NIP-01); [`ReceivedMessage`]: what a relay says.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use openagents_host::outgoing::{FetchRequest, Reach, RelayClient, fetch};
//! use serde_json::json;
//!
//! let page = fetch(FetchRequest::get("https://example.com/")).await?;
//! println!("{} {}", page.status, page.text());
//!
//! let mut relay = RelayClient::connect("wss://relay.example.com", Reach::Public).await?;
//! let notes = relay.query(&[json!({ "kinds": [1], "limit": 20 })]).await?;
//! # drop(notes); Ok(())
//! # }
//! ```
//!
//! Natively these functions need a tokio runtime with I/O and time, and their futures are `Send`. Proxies of the
//! environment (`HTTPS_PROXY`) are not used: behind one, nobody could check which address is reached.

pub mod address;
pub mod fetch;
pub mod received_message;
pub mod relay_client;
pub mod socket;

pub use address::{AddressError, Reach, public_url};
pub use fetch::{FetchError, FetchLimits, FetchRequest, Fetched, Method, fetch};
pub use received_message::ReceivedMessage;
pub use relay_client::{PublishOutcome, RelayClient, RelayError, RelayLimits};
pub use socket::{Socket, SocketError};
pub use url::Url;

#[cfg(not(target_arch = "wasm32"))]
use crate::native::{now, outgoing as host};
#[cfg(target_arch = "wasm32")]
use crate::worker::{now, outgoing as host};
