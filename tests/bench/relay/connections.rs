//! The memory cost of idle connections.

use std::time::Duration;

use super::connection::{PATIENCE, Swarm, Target};
use super::cost::{Watched, allow_sockets};
use super::frames;
use super::messages::{Message, read};

/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_secs(1);

/// Kilobytes of the server's resident memory for each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) alone: f64,
    /// With one subscription on each.
    pub(crate) subscribed: f64,
}

/// Opens these connections, and then a subscription on each. The server should be fresh: memory that it reuses is not
/// counted.
pub(crate) fn measure(target: &Target, server: &Watched, count: usize) -> Result<Idle, String> {
    allow_sockets(count as u64)?;
    let resident = || {
        std::thread::sleep(SETTLE);
        server.resident().ok_or("the server's memory cannot be read: is --pid right?")
    };
    // What the first connections allocate once is not counted.
    drop(Swarm::open(target, 16)?);
    let before = resident()?;
    let mut swarm = Swarm::open(target, count)?;
    let alone = resident()?;
    for (index, connection) in swarm.connections.iter_mut().enumerate() {
        let request = format!(r#"["REQ","idle",{{"authors":["{index:064x}"],"kinds":[1]}}]"#);
        connection.outbox.extend(frames::text(&request));
    }
    swarm.flush()?;
    let mut subscribed = 0;
    while subscribed < count {
        let answered = swarm.turn(PATIENCE, |_, message, _| match read(message)? {
            Message::EndOfStored(_) => {
                subscribed += 1;
                Ok(())
            }
            Message::Closed(_, reason) => Err(format!("a subscription was refused: {reason}")),
            _ => Ok(()),
        })?;
        if !answered {
            return Err(format!("{} of {count} subscriptions have no EOSE", count - subscribed));
        }
    }
    let after = resident()?;
    // Connections that were closed meanwhile no longer use memory.
    swarm.turn(Duration::from_millis(10), |_, _, _| Ok(()))?;
    let each = |now: u64| (now as f64 - before as f64) / count as f64;
    Ok(Idle { alone: each(alone), subscribed: each(after) })
}
