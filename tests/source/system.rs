//! `docs/system.md`: every name of the two system documents has a row, and every test that a row names exists.

use std::collections::BTreeSet;

use crate::repository::repository;

const PAGE: &str = "docs/system.md";

/// What the documents name: bindings, classes, variables, endpoints, commands, types, and the items of the roadmap.
const NAMES: &str = "\
RELAY AGENT BLOSSOM REGISTRY BLOBS CACHE RelayDurableObject AgentDurableObject BlossomDurableObject new_sqlite_classes [env.dev] \
routes main-relay RELAY_NAME RELAY_DESCRIPTION RELAY_PUBKEY SUPPORTED_NIPS RELAY_PRIVATE_KEY NOSTR_PRIVATE_KEY ADMIN_PUBKEYS \
AUMOS_API_URL AUMOS_API_KEY EVENT REQ CLOSE OK EOSE NOTICE NIP-09 NIP-11 NIP-40 NIP-42 NIP-45 NIP-90 NIP-94 NIP-05 NIP-89 BUD-01 \
AgentManifest AgentExecutor AgentKeypair AgentRequest AgentResponse Env manifest.json sessions/ history/ memory/ metrics/ \
payment_required shard_id id_from_name aumos-agents audit/ crates/cloudflare crates/nostr crates/nostr-relay crates/agent \
crates/oanix src/worker.ts build/worker/shim.mjs relay-handshake.ts relay_test.rs websocat worker-build";

/// The same with spaces in them.
const PHRASES: [&str; 44] = [
    "PUT /upload",
    "GET /{hash}",
    "HEAD /{hash}",
    "DELETE /{hash}",
    "GET /list/{pubkey}",
    "POST /",
    "Health endpoint",
    "Metrics endpoint",
    "wrangler dev --test",
    "wrangler deploy --env dev",
    "wrangler tail",
    "wrangler login",
    "wrangler secret put",
    "wrangler r2 bucket create",
    "wrangler r2 object get",
    "wrangler r2 object list",
    "npm install -g wrangler",
    "npm run dev",
    "npm run deploy",
    "cargo test",
    "Crate structure",
    "NIP-01 message parsing",
    "WebSocket handling",
    "SQLite event storage",
    "Subscription/filter matching",
    "Basic relay functionality",
    "NIP-90 job routing",
    "Job execution framework",
    "Agent state management",
    "Hello-world DVM",
    "Blossom integration (R2)",
    "Nostr signing in WASM",
    "Agent Nostr identity",
    "Event verification",
    "NIP-11 relay info",
    "NIP-42 authentication",
    "Rate limiting",
    "Metrics/monitoring",
    "Multi-relay sharding",
    "External relay sync",
    "Agent marketplace registry",
    "Payment integration (Lightning)",
    "Multi-backend abstraction",
    "Geographic placement",
];

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(repository().join(path)).ok()
}

/// The rows of all tables: their three columns.
fn rows(page: &str) -> Vec<[String; 3]> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("| proven by |");
    let columns = |line: &str| {
        let columns: Vec<_> =
            line.trim_matches('|').split('|').map(|column| column.trim().to_owned()).collect();
        columns.try_into().unwrap_or_else(|columns: Vec<_>| panic!("{PAGE}: not three columns: {columns:?}"))
    };
    page.lines().filter(is_row).map(columns).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The file of a scenario's module.
fn scenario_file(module: &str) -> Option<String> {
    let folders = std::fs::read_dir(repository().join("tests/scenarios")).expect("tests/scenarios").flatten();
    let mut files = folders.map(|folder| folder.path().join(format!("{module}.rs")));
    files.find_map(|file| std::fs::read_to_string(file).ok())
}

fn exists(proof: &str) -> bool {
    if let Some(step) = proof.strip_prefix("tests/run ") {
        return read("tests/run").is_some_and(|text| text.contains(&format!("\nstep_{step}() {{")));
    }
    let (module, function) = proof.split_once("::").unwrap_or((proof, ""));
    let file = match module.split_once('/') {
        Some((source, path)) => read(&format!("{source}/src/{path}.rs")),
        None => scenario_file(module),
    };
    file.is_some_and(|text| function.is_empty() || text.contains(&format!("fn {function}(")))
}

#[test]
fn every_row_names_tests_that_exist_or_says_not_yet() {
    let page = read(PAGE).expect("the page");
    let rows = rows(&page);
    assert!(rows.len() > 90, "{} rows", rows.len());
    for [name, here, proof] in rows {
        assert!(!name.is_empty() && !here.is_empty(), "{PAGE}: an empty column in the row of {name}");
        let proofs = quoted(&proof);
        let says_so = proof == "not yet" || proof == "–";
        assert!(says_so == proofs.is_empty(), "{PAGE}: {name}: `{proof}` is neither a test nor `not yet`");
        for proof in proofs {
            assert!(exists(proof), "{PAGE}: {name}: there is no {proof}");
        }
    }
}

#[test]
fn every_name_of_the_documents_has_a_row() {
    let page = read(PAGE).expect("the page");
    let names: String = rows(&page).into_iter().map(|[name, ..]| name + "\n").collect();
    let named = NAMES.split_whitespace().chain(PHRASES);
    let missing: BTreeSet<&str> = named.filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "{PAGE} has no row for {missing:?}");
}
