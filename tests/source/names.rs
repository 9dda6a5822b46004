//! Names that were given up do not come back, and a type name means one thing in a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::crate_source::{Crate, Declared, Module};
use crate::repository::crates;

/// Declarations that were renamed because nobody who knows Nostr, Rust or Cloudflare would look for them, by crate.
/// Only declarations count: comments and local variables may use the words.
const GIVEN_UP: &[GivenUp] = &[
    GivenUp {
        name: "host",
        types: "Outlet Commits Made Making Parcel Several Blocked ReceivedMessage",
        functions: "once_told",
        modules: "outgoing",
    },
    GivenUp {
        name: "relay",
        types: "Foresight Ahead Turn Ground Standing Place Reach Depth Budget Inquiry Reading Unreadable \
                Question Questions Desk Entrance Intake Tally Held Load Text Texts Size Farewell Heard \
                Checked",
        functions: "is_crowded read_ahead handle_ahead is_welcome standing_of insert_as ordinary \
                ordinary_standing likely_few few_at_once json_of_few read_beside",
        modules: "crowd screening standing ordinary few bounded place reading entrance intake load upkeep",
    },
    GivenUp {
        name: "sdk",
        types: "Record AgentFacts HandlerFacts Life Visit Inquiry Standing Surroundings Around Concern \
                Lanes Door AgentDoor Then Shown Managers Purse Demand \
                Rhythm Stage Props ToAgent",
        functions: "agent_facts begin_life visit_every demand",
        modules: "facts keeping life waiting visits inquiry reachability surroundings outside look lanes \
                door agent_doors rhythm stage findings returns",
    },
];

/// What a limit or a time is called instead: `MAX_…`, or what waits.
const GIVEN_UP_PREFIXES: &[&str] = &["MOST_", "LONGEST_", "FARTHEST_", "PATIENCE", "SOON"];

struct GivenUp {
    name: &'static str,
    /// Names with spaces between them, as below.
    types: &'static str,
    functions: &'static str,
    modules: &'static str,
}

/// Given up and still declared, by crate. This list may only shrink.
const STILL_DECLARED: &[(&str, &str)] = &[
    ("host", "ReceivedMessage"),
    ("macros", "MOST_ATTEMPTS"),
    ("relay", "Checked Texts"),
    ("sdk", "LONGEST_ANSWER LONGEST_REPEATED PATIENCE Record demand waiting"),
];

/// Type names that one crate may declare more than once, and why.
const MAY_STAND_TWICE: &[(&str, &str, &str)] = &[
    ("host", "SigningKey", "one for native, one for WebAssembly"),
    ("host", "Socket", "the one that callers see, and what is below it natively and in a Worker"),
    ("host", "Body", "what is below `Response`, natively and in a Worker"),
    ("host", "Chunks", "a stream that is `Send` natively only"),
    ("sdk", "MaybeSend", "`Send` natively, nothing in a Worker"),
    ("sdk", "Shareable", "`Send + Sync` natively, nothing in a Worker"),
    ("sdk", "Work", "a future that is `Send` natively only"),
];

/// Type names that stand twice and should not, by crate. This list may only shrink.
const STILL_TWICE: &[(&str, &str)] = &[
    ("host", "Columns Keys Outcome Response"),
    ("macros", "Argument Value"),
    ("relay", "HandoverSink"),
    ("sdk", "Wallet"),
];

#[test]
fn names_that_were_given_up_do_not_come_back() {
    let mut found = BTreeMap::new();
    for source in crates() {
        let given_up = GIVEN_UP.iter().find(|given_up| given_up.name == source.name);
        for module in &source.modules {
            for (kind, declared) in given_up_in(module, given_up) {
                let place = format!("{}:{}: {kind}", module.file.display(), declared.line);
                found.entry((source.name.as_str(), declared.name.clone())).or_insert(place);
            }
        }
    }
    expect_only(STILL_DECLARED, "STILL_DECLARED", &found);
}

#[test]
fn a_type_name_is_declared_once_in_a_crate() {
    let mut found = BTreeMap::new();
    let mut unused: Vec<_> = MAY_STAND_TWICE.iter().map(|(name, declared, _)| (*name, *declared)).collect();
    for source in crates() {
        for (declared, places) in types_declared_twice(source) {
            match unused.iter().position(|allowed| *allowed == (&source.name, &declared)) {
                Some(index) => drop(unused.swap_remove(index)),
                None => drop(found.insert((source.name.as_str(), declared), places.join(", "))),
            }
        }
    }
    assert!(unused.is_empty(), "declared once only, take them off MAY_STAND_TWICE: {unused:?}");
    expect_only(STILL_TWICE, "STILL_TWICE", &found);
}

/// Fails unless exactly the known ones were found.
fn expect_only(known: &[(&str, &str)], list: &str, found: &BTreeMap<(&str, String), String>) {
    let known: BTreeSet<_> = known
        .iter()
        .flat_map(|(source, names)| names.split(' ').map(move |name| (*source, name.to_owned())))
        .collect();
    let mut complaints = String::new();
    for ((source, name), place) in found.iter().filter(|(found, _)| !known.contains(*found)) {
        let _ = writeln!(complaints, "{source}: {name} ({place})");
    }
    for (source, name) in known.iter().filter(|known| !found.contains_key(*known)) {
        let _ = writeln!(complaints, "{source}: {name} is gone: take it off {list} in names.rs");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// What a module declares under a name that was given up, with its kind.
fn given_up_in<'module>(
    module: &'module Module,
    given_up: Option<&GivenUp>,
) -> Vec<(&'static str, &'module Declared)> {
    let mut found = Vec::new();
    if let Some(given_up) = given_up {
        let listed = |kind, declared: &'module [Declared], names: &str| {
            let is_listed = |declared: &&Declared| names.split(' ').any(|name| name == declared.name);
            declared.iter().filter(is_listed).map(|declared| (kind, declared)).collect::<Vec<_>>()
        };
        found.extend(listed("type", &module.types, given_up.types));
        found.extend(listed("fn", &module.functions, given_up.functions));
        found.extend(listed("mod", std::slice::from_ref(&module.declared), given_up.modules));
    }
    let has_prefix =
        |declared: &&Declared| GIVEN_UP_PREFIXES.iter().any(|prefix| declared.name.starts_with(prefix));
    found.extend(module.constants.iter().filter(has_prefix).map(|declared| ("const", declared)));
    found
}

/// Type names with more than one declaration, and where these are.
fn types_declared_twice(source: &Crate) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in &source.modules {
        for declared in &module.types {
            let place = format!("{}:{}", module.file.display(), declared.line);
            places.entry(declared.name.clone()).or_default().push(place);
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[cfg(test)]
fn made_up(text: &str) -> Crate {
    Crate::parse("made_up", std::path::Path::new(""), &|file| {
        (file == std::path::Path::new("lib.rs")).then(|| text.to_owned())
    })
}

#[test]
fn a_given_up_name_is_found_where_it_is_declared_only() {
    let source = made_up(
        "use crate::crowd::Turn as Other; fn standing() { let crowd = 1; } struct Crowd;\n\
         mod crowd { pub enum Turn { Foresight } }\n\
         struct S; impl S { fn tell(&self) {} const MOST_WORDS: u8 = 1; }\n\
         #[cfg(test)] mod tests { struct Turn; fn tell() {} }",
    );
    let given_up = GivenUp {
        name: "made_up",
        types: "Turn Foresight crowd",
        functions: "tell",
        modules: "crowd standing",
    };
    let found: Vec<_> = source
        .modules
        .iter()
        .flat_map(|module| given_up_in(module, Some(&given_up)))
        .map(|(kind, declared)| format!("{kind} {}:{}", declared.name, declared.line))
        .collect();
    assert_eq!(found, ["fn tell:3", "const MOST_WORDS:3", "type Turn:2", "mod crowd:2"]);
}

#[test]
fn a_type_that_stands_twice_is_found() {
    let source = made_up(
        "struct A; mod b { pub trait A {} pub struct B; } mod c { fn f() { struct B; } #[cfg(test)] struct B; }",
    );
    let twice = types_declared_twice(&source);
    assert_eq!(twice, BTreeMap::from([("A".to_owned(), vec!["lib.rs:1".to_owned(), "lib.rs:1".to_owned()])]));
}
