//! The relay in a native process: the [server](RelayServer), and [tools] for a relay's database.

mod server;
pub mod tools;

pub use server::{
    ConnectError, DeliveryError, HandoverSink, QueryError, RelayHandle, RelayServer, RelayServerConfig,
    RelayStatistics, StartError,
};
