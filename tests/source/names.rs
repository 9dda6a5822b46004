//! Retired names stay retired, and a type name has one meaning in a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::crate_source::{Crate, Declared, Module};
use crate::repository::crates;

/// Names that no Nostr, Rust or Cloudflare engineer would search for, by crate. Only declarations count: comments and
/// local variables may contain them.
const RETIRED: &[Retired] = &[
    Retired {
        name: "host",
        types: "Blocked Commits Made Making Outlet Parcel ReceivedMessage Retention Several Stopped",
        functions: "once_told",
        modules: "outgoing",
    },
    Retired {
        name: "relay",
        types: "Ahead Awake Budget Checked Depth Desk Doomed Entrance Erased Farewell Foresight Gathered \
                Ground HandOverRule Handled Heard Held Inquiry Intake Kept Load NoEntry Place Places Question \
                Questions Reach Readers Reading Size Standing Tally Text Texts Tickets TooManyOfYou Turn Unfit \
                Unreadable Written",
        functions: "close_the_fullest few_at_once finds_few handle_ahead handle_gathered insert_as is_crowded \
                    is_place_taken is_welcome json_of_few likely_few no_entry ordinary ordinary_standing \
                    read_ahead read_beside read_soon standing_of take_in",
        modules: "bounded crowd entrance few identification intake load ordinary place reading screening \
                  searching shared standing tickets upkeep writing",
    },
    Retired {
        name: "sdk",
        types: "AgentDoor AgentDoors AgentFacts Around Books Concern Demand Door Dues HandlerFacts HookFacts \
                Inquiry InquiryError Lane Lanes Ledger Life Managers OutsideAnswer Props Purse Reachability Rhythm \
                ScheduleFacts Shown Stage Standing Surroundings Taker Then ToAgent Visit Visits Wanted Wish",
        functions: "agent_facts begin_life demand deliver_outside inquire look look_at_waiting look_for_outputs \
                    look_for_payment put_off standing_of tell_price tell_report visit_agent",
        modules: "agent_doors door facts findings inquiry keeping lanes life look outside reachability \
                  relay_commands returns rhythm stage surroundings visits",
    },
];

/// Retired prefixes of constants: a limit is called `MAX_…`, a timeout is named after what waits.
const RETIRED_PREFIXES: &[&str] = &["MOST_", "LONGEST_", "FARTHEST_", "PATIENCE", "SOON"];

struct Retired {
    name: &'static str,
    /// Names separated by spaces; so are those below.
    types: &'static str,
    functions: &'static str,
    modules: &'static str,
}

/// Retired names that are still declared, by crate. This list may only shrink.
const STILL_DECLARED: &[(&str, &str)] = &[];

/// Type names that may be declared more than once in a crate, and why.
const MAY_BE_DECLARED_TWICE: &[(&str, &str, &str)] = &[
    ("host", "Chunks", "a `cfg` pair: a stream that is `Send` natively only"),
    ("host", "SigningKey", "a `cfg` pair: libsecp256k1 natively, `k256` in WebAssembly"),
    ("host", "Socket", "the public type, and the `cfg` pair that it wraps natively and in a Worker"),
    (
        "relay",
        "HandoverSink",
        "a `cfg` pair: the same trait, `Send` and async natively, boxed futures in a Worker",
    ),
    ("sdk", "EffectFuture", "a future that is `Send` natively only"),
    ("sdk", "MaybeSend", "`Send` natively, nothing in a Worker"),
    ("sdk", "Shareable", "`Send + Sync` natively, nothing in a Worker"),
    ("sdk", "Work", "a future that is `Send` natively only"),
];

/// Type names that are declared more than once and should not be, by crate. This list may only shrink.
const STILL_DECLARED_TWICE: &[(&str, &str)] = &[];

#[test]
fn retired_names_are_not_declared() {
    let mut found = BTreeMap::new();
    for source in crates() {
        let retired = RETIRED.iter().find(|retired| retired.name == source.name);
        for module in &source.modules {
            for (kind, declared) in retired_in(module, retired) {
                let place = format!("{}:{}: {kind}", module.file.display(), declared.line);
                found.entry((source.name.as_str(), declared.name.clone())).or_insert(place);
            }
        }
    }
    expect_only(STILL_DECLARED, "STILL_DECLARED", &found);
}

#[test]
fn a_type_name_is_declared_once_per_crate() {
    let mut found = BTreeMap::new();
    let mut unused: Vec<_> =
        MAY_BE_DECLARED_TWICE.iter().map(|(name, declared, _)| (*name, *declared)).collect();
    for source in crates() {
        for (declared, places) in types_declared_twice(source) {
            match unused.iter().position(|allowed| *allowed == (&source.name, &declared)) {
                Some(index) => drop(unused.swap_remove(index)),
                None => drop(found.insert((source.name.as_str(), declared), places.join(", "))),
            }
        }
    }
    assert!(unused.is_empty(), "declared only once, take them off MAY_BE_DECLARED_TWICE: {unused:?}");
    expect_only(STILL_DECLARED_TWICE, "STILL_DECLARED_TWICE", &found);
}

/// Fails unless exactly the known names were found.
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
        let _ = writeln!(complaints, "{source}: {name} is gone, take it off {list} in names.rs");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// The retired names that a module declares, with their kind.
fn retired_in<'module>(
    module: &'module Module,
    retired: Option<&Retired>,
) -> Vec<(&'static str, &'module Declared)> {
    let mut found = Vec::new();
    if let Some(retired) = retired {
        let listed = |kind, declared: &'module [Declared], names: &str| {
            let is_listed = |declared: &&Declared| names.split(' ').any(|name| name == declared.name);
            declared.iter().filter(is_listed).map(|declared| (kind, declared)).collect::<Vec<_>>()
        };
        found.extend(listed("type", &module.types, retired.types));
        found.extend(listed("fn", &module.functions, retired.functions));
        found.extend(listed("mod", std::slice::from_ref(&module.declared), retired.modules));
    }
    let has_prefix =
        |declared: &&Declared| RETIRED_PREFIXES.iter().any(|prefix| declared.name.starts_with(prefix));
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
fn finds_a_retired_name_only_where_it_is_declared() {
    let source = made_up(
        "use crate::crowd::Turn as Other; fn standing() { let crowd = 1; } struct Crowd;\n\
         mod crowd { pub enum Turn { Foresight } }\n\
         struct S; impl S { fn tell(&self) {} const MOST_WORDS: u8 = 1; }\n\
         #[cfg(test)] mod tests { struct Turn; fn tell() {} }",
    );
    let retired = Retired {
        name: "made_up",
        types: "Turn Foresight crowd",
        functions: "tell",
        modules: "crowd standing",
    };
    let found: Vec<_> = source
        .modules
        .iter()
        .flat_map(|module| retired_in(module, Some(&retired)))
        .map(|(kind, declared)| format!("{kind} {}:{}", declared.name, declared.line))
        .collect();
    assert_eq!(found, ["fn tell:3", "const MOST_WORDS:3", "type Turn:2", "mod crowd:2"]);
}

#[test]
fn finds_a_type_that_is_declared_twice() {
    let source = made_up(
        "struct A; mod b { pub trait A {} pub struct B; } mod c { fn f() { struct B; } #[cfg(test)] struct B; }",
    );
    let twice = types_declared_twice(&source);
    assert_eq!(twice, BTreeMap::from([("A".to_owned(), vec!["lib.rs:1".to_owned(), "lib.rs:1".to_owned()])]));
}
