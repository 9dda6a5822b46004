//! The two halves of the relay engine do not refer to each other, so that each can run in an object of its own.

use std::fmt::Write as _;

use crate::repository::crates;

/// A half of the engine, and the modules that it must not refer to.
const HALVES: [(&str, &[&str]); 2] = [
    ("engine::session_engine", &["store", "engine::shard_engine"]),
    ("engine::shard_engine", &["session", "subscriptions", "engine::session_engine"]),
];

#[test]
fn neither_half_of_the_relay_refers_to_what_the_other_owns() {
    let relay = crates().iter().find(|source| source.name == "relay").expect("the relay is a crate");
    let is_below = |path: &[String], module: &str| {
        let names: Vec<&str> = module.split("::").collect();
        path.len() >= names.len() && path.iter().zip(&names).all(|(one, other)| one == other)
    };
    let (mut complaints, mut modules) = (String::new(), [0; HALVES.len()]);
    for (index, module) in relay.modules.iter().enumerate() {
        for ((half, forbidden), count) in HALVES.iter().zip(&mut modules) {
            if !is_below(&module.path, half) {
                continue;
            }
            *count += 1;
            for reference in &module.references {
                let targets = relay.targets(index, &reference.path);
                for target in targets.iter().map(|target| &relay.modules[*target].path) {
                    if forbidden.iter().any(|forbidden| is_below(target, forbidden)) {
                        let (file, path) = (module.file.display(), reference.path.join("::"));
                        let _ = writeln!(complaints, "{file}:{}: {path}", reference.line);
                    }
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
    assert!(modules.iter().all(|count| *count > 1), "a half has moved: {modules:?} modules found");
}
