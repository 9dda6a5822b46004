//! No import cycles between sibling modules, at a crate's top level or in any folder.
//!
//! A parent and its child may import each other. An import counts for the two siblings that contain the modules, and
//! re-exports are followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::crate_source::Crate;
use crate::repository::crates;

/// Modules whose children still form a cycle, as `crate` or `crate::module`. This list may only shrink.
const KNOWN: &[&str] = &[];

#[test]
fn siblings_form_no_import_cycle() {
    let mut complaints = String::new();
    let mut cyclic = BTreeSet::new();
    for source in crates() {
        for cycle in cycles(source) {
            if !KNOWN.contains(&cycle.folder.as_str()) {
                let _ = writeln!(complaints, "{cycle}");
            }
            cyclic.insert(cycle.folder);
        }
    }
    for folder in KNOWN.iter().filter(|folder| !cyclic.contains(**folder)) {
        let _ = writeln!(complaints, "{folder} has no cycle any more, take it off KNOWN in layers.rs");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// A cycle of siblings that import each other.
struct Cycle {
    /// The parent, as `crate` or `crate::module`.
    folder: String,
    /// The number of siblings that reach each other: those of this cycle and of all cycles that overlap with it.
    modules: usize,
    arrows: Vec<Arrow>,
}

struct Arrow {
    from: String,
    to: String,
    /// One import, as `file:line: path`.
    example: String,
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            text,
            "cycle in {} ({} modules reach each other; the shortest way):",
            self.folder, self.modules
        )?;
        for arrow in &self.arrows {
            writeln!(text, "  {} -> {}  {}", arrow.from, arrow.to, arrow.example)?;
        }
        Ok(())
    }
}

/// By sibling, the siblings that it imports, each with one example.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The shortest cycle in each set of siblings that reach each other.
fn cycles(source: &Crate) -> Vec<Cycle> {
    let mut folders: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for (index, module) in source.modules.iter().enumerate() {
        for reference in &module.references {
            for target in source.targets(index, &reference.path) {
                let (from, to) = (&module.path, &source.modules[target].path);
                let shared = from.iter().zip(to).take_while(|(one, other)| one == other).count();
                if from.len() == shared || to.len() == shared {
                    continue;
                }
                let graph = folders.entry(from[..shared].to_vec()).or_default();
                graph.entry(from[shared].clone()).or_default().entry(to[shared].clone()).or_insert_with(
                    || format!("{}:{}: {}", module.file.display(), reference.line, reference.path.join("::")),
                );
            }
        }
    }
    let mut found = Vec::new();
    for (folder, graph) in folders {
        let folder = [std::slice::from_ref(&source.name), &folder].concat().join("::");
        for connected in connected(&graph) {
            let Some(shortest) =
                connected.iter().filter_map(|start| shortest_path(&graph, start, start)).min_by_key(Vec::len)
            else {
                continue;
            };
            let arrows = shortest
                .windows(2)
                .map(|pair| Arrow {
                    from: pair[0].clone(),
                    to: pair[1].clone(),
                    example: graph[&pair[0]][&pair[1]].clone(),
                })
                .collect();
            found.push(Cycle { folder: folder.clone(), modules: connected.len(), arrows });
        }
    }
    found
}

/// The sets of siblings that reach each other (strongly connected components with a cycle).
fn connected(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    graph
        .keys()
        .filter(|name| shortest_path(graph, name, name).is_some())
        .map(|name| {
            let both_ways = |other: &&String| {
                shortest_path(graph, name, other).is_some() && shortest_path(graph, other, name).is_some()
            };
            graph.keys().filter(both_ways).cloned().collect()
        })
        .collect()
}

/// The shortest path with at least one edge.
fn shortest_path(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        for name in graph.get(at).into_iter().flat_map(BTreeMap::keys) {
            if came_from.contains_key(name.as_str()) {
                continue;
            }
            came_from.insert(name, at);
            if name == to {
                let mut path = vec![to.to_owned()];
                let mut at = came_from[to];
                while at != from {
                    path.push(at.to_owned());
                    at = came_from[at];
                }
                path.push(from.to_owned());
                path.reverse();
                return Some(path);
            }
            next.push_back(name);
        }
    }
    None
}

/// The cycles of a crate that consists of these files, each as `folder: a -> b -> a`.
#[cfg(test)]
fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    let read = |file: &std::path::Path| files.get(file.to_str()?).map(|text| (*text).to_owned());
    let source = Crate::parse("made_up", std::path::Path::new(""), &read);
    cycles(&source)
        .into_iter()
        .map(|cycle| {
            let mut path: Vec<_> = cycle.arrows.iter().map(|arrow| arrow.from.as_str()).collect();
            path.extend(cycle.arrows.last().map(|arrow| arrow.to.as_str()));
            format!("{}: {}", cycle.folder, path.join(" -> "))
        })
        .collect()
}

#[test]
fn reports_a_cycle_with_its_arrows_and_lines() {
    let files = BTreeMap::from([
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        ("a.rs", "//! A\nuse crate::b::B;"),
        ("b.rs", "pub struct B;\n\nfn c() -> super::c::C { super::c::C }"),
        ("c.rs", "pub struct C;\nfn a() {\n    crate::a::run();\n}"),
    ]);
    let read = |file: &std::path::Path| files.get(file.to_str()?).map(|text| (*text).to_owned());
    let found = cycles(&Crate::parse("made_up", std::path::Path::new(""), &read));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "cycle in made_up (3 modules reach each other; the shortest way):\n\
         \x20 a -> b  a.rs:2: crate::b::B\n\
         \x20 b -> c  b.rs:3: super::c::C\n\
         \x20 c -> a  c.rs:3: crate::a::run\n"
    );
}

#[test]
fn allows_one_direction_and_parent_with_child() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub fn run() { b::run() }"),
        ("a.rs", "mod inner; use self::inner::I; use crate::run; pub struct A;"),
        ("a/inner.rs", "use super::A; use crate::a::A as B; pub struct I;"),
        ("b.rs", "use crate::{a::A, run as other}; pub fn run() {}"),
    ];
    assert_eq!(cycles_of(&files), [""; 0]);
}

#[test]
fn finds_a_cycle_between_the_files_of_a_folder() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod x; mod y;"),
        ("a/x.rs", "use super::y::Y; pub struct X;"),
        ("a/y.rs", "mod deep;"),
        ("a/y/deep.rs", "fn f() -> Option<crate::a::x::X> { None }"),
    ];
    assert_eq!(cycles_of(&files), ["made_up::a: x -> y -> x"]);
}

#[test]
fn follows_re_exports_to_the_declaring_module() {
    let by_name = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::inner::*;"),
        ("a.rs", "use crate::B; pub struct A;"),
        ("b.rs", "pub mod inner; use crate::A;"),
        ("b/inner.rs", "pub struct B;"),
    ];
    assert_eq!(cycles_of(&by_name), ["made_up: a -> b -> a"]);
    let of_the_parent = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod x; mod y; use x::X; use y::Y;"),
        ("a/x.rs", "use super::Y; pub struct X;"),
        ("a/y.rs", "use super::X; pub struct Y;"),
    ];
    assert_eq!(cycles_of(&of_the_parent), ["made_up::a: x -> y -> x"]);
}

#[test]
fn ignores_tests_and_documentation() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        (
            "b.rs",
            "//! [`crate::a::A`]\npub struct B;\n#[cfg(test)]\nuse crate::a::A;\n#[cfg(all(test, unix))]\nmod tests;\n\
             impl B {\n    #[cfg(test)]\n    fn a() -> crate::a::A { crate::a::A }\n}",
        ),
    ];
    assert_eq!(cycles_of(&files), [""; 0]);
}

#[test]
fn counts_paths_in_macros_and_attributes() {
    let a = "pub struct A;";
    for b in [
        "fn f() { vec![crate::a::A]; }",
        "macro_rules! m { () => { $crate::a::A } }",
        "macro_rules! m { () => { use crate::{c, a::A}; } }",
        "struct S { #[serde(with = \"crate::a\")] f: u8 }",
    ] {
        let a = format!("{a} use crate::b::B;");
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", &a), ("b.rs", b)];
        assert_eq!(cycles_of(&files), ["made_up: a -> b -> a"], "{b}");
    }
}

#[test]
fn counts_both_sides_of_a_cfg_switch() {
    let files = [
        ("lib.rs", "mod port; mod native; mod worker;"),
        (
            "port.rs",
            "#[cfg(unix)] pub use crate::native::P; #[cfg(not(unix))] pub use crate::worker::P; pub struct R;",
        ),
        ("native.rs", "pub struct P;"),
        ("worker.rs", "use crate::port::R; pub struct P;"),
    ];
    assert_eq!(cycles_of(&files), ["made_up: port -> worker -> port"]);
}
