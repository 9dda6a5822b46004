//! An object that runs the conformance tests of the SQL port and the signature backend in the runtime itself. It is
//! not part of the agent; the scenarios call it directly.

use openagents_host::nostr::schnorr::{self, SignedMessage};
use openagents_host::nostr::{EventId, PublicKey, Signature};
use openagents_host::sql::conformance;
use openagents_host::worker::DurableSql;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

/// One object for each case of the SQL port, since each needs an empty database.
#[durable_object(fetch)]
pub struct ConformanceDurableObject {
    state: State,
}

impl DurableObject for ConformanceDurableObject {
    fn new(state: State, _: Env) -> Self {
        Self { state }
    }

    /// `/cases` lists the cases, `/case/<name>` runs one, `/schnorr` runs BIP-340's test vectors. Status 200 means
    /// success.
    async fn fetch(&self, request: Request) -> Result<Response> {
        let path = request.path();
        let outcome = match path.as_str() {
            "/cases" => {
                let names: Vec<_> =
                    conformance::cases::<DurableSql>().into_iter().map(|(name, _)| name).collect();
                return Response::ok(names.join("\n"));
            }
            "/schnorr" => vectors(),
            path => self.case(path.trim_start_matches("/case/")),
        };
        match outcome {
            Ok(()) => Response::ok("passed"),
            Err(error) => Response::error(error, 500),
        }
    }
}

impl ConformanceDurableObject {
    fn case(&self, name: &str) -> conformance::CaseResult {
        let sql = DurableSql::new(&self.state.storage());
        let case = conformance::cases().into_iter().find(|(known, _)| *known == name);
        case.map_or_else(|| Err("there is no such case".to_owned()), |(_, run)| run(&sql))
    }
}

/// Verifies the vectors of BIP-340: each alone, several of the same, and all together, with and without the valid ones.
fn vectors() -> conformance::CaseResult {
    let read = |error: openagents_host::nostr::HexError| error.to_string();
    let mut parsed = Vec::new();
    for (key, message, signature, valid) in schnorr::VECTORS {
        let message = EventId::from_hex(message).map_err(read)?;
        parsed.push((
            PublicKey::from_hex(key).map_err(read)?,
            message,
            Signature::from_hex(signature).map_err(read)?,
            *valid,
        ));
    }
    let signed = |(public_key, message, signature, _): &'_ (PublicKey, EventId, Signature, bool)| {
        schnorr::verify(public_key, message.as_bytes(), signature)
    };
    let together = |vectors: &[&(PublicKey, EventId, Signature, bool)]| {
        let all: Vec<_> = vectors
            .iter()
            .map(|(public_key, message, signature, _)| SignedMessage {
                public_key,
                message: message.as_bytes(),
                signature,
            })
            .collect();
        let expected: Vec<bool> = vectors.iter().map(|(.., valid)| *valid).collect();
        schnorr::verify_all(&all) == expected
    };
    for (index, vector) in parsed.iter().enumerate() {
        if signed(vector) != vector.3 || !together(&[vector; schnorr::MIN_BATCH]) {
            return Err(format!("vector {index} should be {}", vector.3));
        }
    }
    let valid: Vec<_> =
        parsed.iter().filter(|(.., valid)| *valid).cycle().take(2 * schnorr::MIN_BATCH).collect();
    if !together(&parsed.iter().collect::<Vec<_>>()) || !together(&valid) {
        return Err("the vectors together do not have their outcomes".to_owned());
    }
    Ok(())
}
