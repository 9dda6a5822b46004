//! An object that runs the conformance tests of the SQL port and the signature backend in the runtime itself. It is
//! not part of the agent; the scenarios call it directly.

use openagents_host::nostr::schnorr;
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

fn vectors() -> conformance::CaseResult {
    for (index, (key, message, signature, valid)) in schnorr::VECTORS.iter().enumerate() {
        let read = |error: openagents_host::nostr::HexError| error.to_string();
        let key = PublicKey::from_hex(key).map_err(read)?;
        let message = EventId::from_hex(message).map_err(read)?;
        let signature = Signature::from_hex(signature).map_err(read)?;
        if schnorr::verify(&key, message.as_bytes(), &signature) != *valid {
            return Err(format!("vector {index} should be {valid}"));
        }
    }
    Ok(())
}
