//! HTTP, WebSocket and relay clients, with one API on both hosts.
//!
//! * [`address`]: SSRF protection, that is, which URLs may be reached: a URL in a customer's job must not lead into
//!   the agent's own network.
//! * [`send`]: one HTTP request, with limits on size, time and redirects; its response can be read as a stream, and as
//!   [server-sent events](ServerSentEvents).
//! * [`Socket`]: a WebSocket of text messages.
//! * [`RelayClient`]: publishing to and reading from a relay (NIP-01), with authentication (NIP-42).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use openagents_host::net::{HttpRequest, Reach, RelayClient, send};
//! use openagents_host::nostr::{Filter, Keys};
//!
//! let page = send(HttpRequest::get("https://example.com/")).await?;
//! println!("{} {}", page.status(), page.text().await?);
//!
//! let keys = Keys::generate()?;
//! let mut relay = RelayClient::connect("wss://relay.example.com", Reach::Public, &keys).await?;
//! let notes = relay.query(&[Filter::new().kinds([1]).limit(20)]).await?;
//! # drop(notes); Ok(())
//! # }
//! ```
//!
//! Natively these functions need a tokio runtime with I/O and time, and their futures are `Send`. Proxies from the
//! environment (`HTTPS_PROXY`) are not used, because then the address that is reached could not be checked.

pub mod address;
mod allowed_origins;
mod deadline;
mod error;
mod exchange;
pub mod http_client;
#[cfg(not(target_arch = "wasm32"))]
mod native;
pub mod relay_client;
mod server_sent_events;
pub mod socket;
#[cfg(target_arch = "wasm32")]
mod worker;

#[cfg(not(target_arch = "wasm32"))]
use self::native as platform;
#[cfg(target_arch = "wasm32")]
use self::worker as platform;

pub use address::{AddressError, Reach, public_url};
pub use allowed_origins::AllowedOrigins;
pub use error::{HttpError, MAX_MESSAGE_BYTES, SocketError};
pub use exchange::Exchange;
pub use http_client::{HttpLimits, HttpRequest, HttpResponse, ServerSentEvents, send, send_through};
pub use relay_client::{PublishOutcome, RelayClient, RelayError, RelayLimits};
pub use server_sent_events::ServerSentEvent;
pub use socket::Socket;
pub use url::Url;
