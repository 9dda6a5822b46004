//! The `wrangler.toml` and `package.json` of each example and of the template: the environment `dev` has what the deployment
//! has, and wrangler its tested version.

use std::collections::BTreeMap;

use crate::repository::{repository, tracked_files};

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn configurations() -> Vec<String> {
    let is_deployment = |file: &String| {
        file.ends_with("/wrangler.toml") && (file.starts_with("examples/") || file.starts_with("template/"))
    };
    tracked_files().into_iter().filter(is_deployment).collect()
}

/// The tables of a TOML file with the lines in them, in order: as much of TOML as these files use.
fn tables(text: &str) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut tables: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') && !line.contains('=') {
            name = line.trim_matches(['[', ']']).to_owned();
            tables.entry(name.clone()).or_default().push(BTreeMap::new());
        } else if let Some((key, value)) = line.split_once('=') {
            let rows = tables.entry(name.clone()).or_default();
            if rows.is_empty() {
                rows.push(BTreeMap::new());
            }
            let row = rows.last_mut().expect("there is one");
            row.insert(key.trim().to_owned(), value.trim().trim_matches('"').to_owned());
        }
    }
    tables
}

#[test]
fn the_environment_dev_has_every_binding_and_variable_of_its_own() {
    for file in configurations() {
        let tables = tables(&read(&file));
        for name in ["durable_objects.bindings", "r2_buckets", "vars"] {
            let dev =
                tables.get(&format!("env.dev.{name}")).unwrap_or_else(|| panic!("{file}: no env.dev.{name}"));
            let keys = |rows: &[BTreeMap<String, String>]| {
                rows.iter()
                    .map(|row| {
                        let bound = |key: &String| matches!(key.as_str(), "name" | "binding" | "class_name");
                        let value = |key: &String| bound(key).then(|| row[key].clone());
                        row.keys().map(|key| (key.clone(), value(key))).collect::<Vec<_>>()
                    })
                    .collect::<Vec<_>>()
            };
            assert_eq!(keys(dev), keys(&tables[name]), "{file}: {name} and env.dev.{name} differ");
        }
        let bucket = |name: &str| tables[name][0]["bucket_name"].clone();
        assert_ne!(
            bucket("r2_buckets"),
            bucket("env.dev.r2_buckets"),
            "{file}: dev must not use the same bucket"
        );
        let text = read(&file);
        assert!(text.contains("[observability]"), "{file}");
        assert!(!text.contains("_id = "), "{file}: an id belongs to one account");
    }
}

#[test]
fn wrangler_has_the_version_that_was_tested() {
    let version = |text: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("\"wrangler\": "));
        line.expect("wrangler").trim_matches([',', '"', ' ']).to_owned()
    };
    let tested = version(&read("tests/worker/package.json"));
    let configurations = configurations();
    assert!(configurations.len() > 5, "{configurations:?}");
    for file in configurations {
        let package = file.replace("wrangler.toml", "package.json");
        assert_eq!(version(&read(&package)), tested, "{package}");
    }
}
