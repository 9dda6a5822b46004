//! `nostr-relay-builder` as a program, with `nostr-lmdb` or in memory. Its limits are raised so that it accepts any
//! load.
//!
//! nostr-lmdb 0.44 opens LMDB with only the flag `NO_TLS`, so each commit is synced to the disk, and it answers after
//! the commit (its ingester puts all waiting events into one transaction). So it is durable on `OK`, like our relay.

use std::error::Error;
use std::net::SocketAddr;

use nostr_lmdb::NostrLMDB;
use nostr_relay_builder::prelude::{MemoryDatabase, MemoryDatabaseOptions};
use nostr_relay_builder::{LocalRelay, RelayBuilder, builder::RateLimit};

const USAGE: &str = "usage: peer-builder ADDRESS:PORT (lmdb FOLDER | memory)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (address, store) = arguments.split_first().ok_or(USAGE)?;
    let address: SocketAddr = address.parse()?;
    let builder = RelayBuilder::default()
        .addr(address.ip())
        .port(address.port())
        .rate_limit(RateLimit { max_reqs: 1_000_000, notes_per_minute: u32::MAX });
    let builder = match store {
        ["lmdb", folder] => {
            std::fs::create_dir_all(folder)?;
            builder.database(NostrLMDB::open(folder)?)
        }
        ["memory"] => {
            let options = MemoryDatabaseOptions { events: true, max_events: None };
            builder.database(MemoryDatabase::with_opts(options))
        }
        _ => return Err(USAGE.into()),
    };
    let relay = LocalRelay::new(builder);
    relay.run().await?;
    println!("listening on {}", relay.url().await);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
