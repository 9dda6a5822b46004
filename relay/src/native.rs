//! The relay in a native process: the [server](RelayServer), and the [tools] that work on a relay's database.

mod server;
pub mod tools;

pub use server::{
    DeliveryError, HandoverSink, QueryError, RelayHandle, RelayServer, RelayServerConfig, RelayStatistics,
    StartError,
};
