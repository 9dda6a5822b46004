//! Upper bounds: how fast this machine verifies events, and how fast a server answers that does nothing else.

use std::io::Write as _;
use std::time::{Duration, Instant};

use secp256k1::{Secp256k1, VerifyOnly, XOnlyPublicKey, schnorr::Signature};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::batch::{Batch, Events};
use super::connection::{Swarm, Target};
use super::cost::{Watched, cores, of_this_thread};
use super::dataset::{Dataset, Description, hex};
use super::ingest::{self, Answer, Depth, Ingested};

/// An event prepared for verification: the hashed bytes, and the values to compare.
struct Candidate {
    serialised: String,
    id: String,
    author: [u8; 32],
    signature: [u8; 64],
}

/// How fast libsecp256k1 verifies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verification {
    /// Microseconds of verification of one event (id and signature) on one core.
    pub(crate) micros: f64,
    /// The same while every core verifies.
    pub(crate) micros_all_cores: f64,
}

impl Verification {
    /// Cores ÷ time: events per second if a relay did nothing else.
    pub(crate) fn ceiling(self) -> f64 {
        cores() * 1e6 / self.micros
    }

    /// The share of that which the cores reach when all of them work; less if two are threads of one core.
    pub(crate) fn ceiling_all_cores(self) -> f64 {
        cores() * 1e6 / self.micros_all_cores
    }
}

/// Verifies for about a second on one core, and then on all.
pub(crate) fn verification(seed: u64) -> Result<Verification, String> {
    let mut dataset = Dataset::new(seed);
    let candidates: Vec<Candidate> = (0..500)
        .map(|number| candidate(&dataset.sign(&Description::of(number)).1))
        .collect::<Result<_, _>>()?;
    let time = Duration::from_millis(800);
    let micros = verify(&candidates, time)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all: Result<Vec<f64>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| verify(&candidates, time))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "verifying panicked")?).collect()
    });
    let all = all?;
    Ok(Verification { micros, micros_all_cores: all.iter().sum::<f64>() / all.len() as f64 })
}

fn candidate(json: &str) -> Result<Candidate, String> {
    let event: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let serialised = Value::from(vec![
        0.into(),
        event["pubkey"].clone(),
        event["created_at"].clone(),
        event["kind"].clone(),
    ]);
    let serialised = serialised.to_string();
    let head = serialised.trim_end_matches(']');
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Ok(Candidate {
        serialised: format!("{head},{},{}]", event["tags"], event["content"]),
        id: text("id"),
        author: bytes(&text("pubkey"))?,
        signature: bytes(&text("sig"))?,
    })
}

fn bytes<const N: usize>(hex: &str) -> Result<[u8; N], String> {
    let byte = |index: usize| u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..N).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| format!("not {N} bytes of hex: {hex}"))
}

/// Microseconds of processor time for one event, which other processes do not affect. It includes what a relay must
/// do: hash, parse the key, verify.
fn verify(candidates: &[Candidate], time: Duration) -> Result<f64, String> {
    let secp = Secp256k1::<VerifyOnly>::verification_only();
    let (began, mut count) = (Instant::now(), 0_u32);
    let before = of_this_thread();
    while began.elapsed() < time {
        for candidate in candidates {
            let hash: [u8; 32] = Sha256::digest(&candidate.serialised).into();
            let key = XOnlyPublicKey::from_slice(&candidate.author).map_err(|error| error.to_string())?;
            let signature = Signature::from_slice(&candidate.signature).map_err(|error| error.to_string())?;
            secp.verify_schnorr(&signature, &hash, &key).map_err(|error| error.to_string())?;
            count += 1;
        }
    }
    let first = candidates.first().ok_or("nothing to verify")?;
    if hex(&Sha256::digest(&first.serialised)) != first.id {
        return Err("hashed something else than the event".to_owned());
    }
    Ok((of_this_thread() - before) * 1e6 / f64::from(count))
}

/// How long the disk takes to make 4 KB durable, in milliseconds (median): the minimum for one event on a relay that
/// answers when it is durable. The servers' data is in the same temporary folder.
pub(crate) fn sync_to_disk() -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("cannot write to the temporary folder: {error}");
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[1; 4096]).map_err(failed)?;
        let began = Instant::now();
        file.sync_data().map_err(failed)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Sends messages through a server that answers each with the same text.
pub(crate) fn echo(url: &str, events: &Events, count: u64, depth: Depth) -> Result<Ingested, String> {
    let target = Target::parse(url)?;
    let batch: Batch = events.load(0..count)?;
    let mut swarm = Swarm::open(&target, depth.connections)?;
    ingest::publish(&mut swarm, &Watched::default(), &batch, depth.in_flight, Answer::Anything)
        .map_err(|error| format!("{url}: {error}"))
}

/// Events per second that an echo of this speed leaves to a relay that also verifies, one after another.
pub(crate) fn beside_echo(per_second: f64, verify_micros: f64) -> f64 {
    1.0 / (1.0 / per_second + verify_micros / 1e6)
}
