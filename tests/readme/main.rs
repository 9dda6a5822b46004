//! The README and the pages of `docs/`: their commands run as printed, and their code is that of tested files.
//!
//! `cargo test -p openagents-tests --test readme -- --ignored` runs the commands; the programs of the workspace and the
//! Worker's tools must have been built before, as `tests/run readme` does.

mod blocks;
mod session;

use std::fs;

use blocks::{Block, Command, blocks};
use openagents_tests::server::repository;
use session::Session;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
#[ignore = "builds a crate and a Worker: tests/run readme"]
fn every_command_of_the_readme_runs_as_printed() {
    let mut session = Session::start();
    for command in blocks(&read("README.md"), "console").iter().flat_map(Block::commands) {
        session.run(&command);
    }
    session.end();
}

/// The template's agent is replaced by one with more in it: what authors need works outside of this repository.
#[test]
#[ignore = "builds a crate: tests/run readme"]
fn a_larger_agent_outside_of_this_repository_passes_its_tests() {
    let mut session = Session::start();
    session.run(&Command::new("cargo run -p hello-world -- new ../larger-agent"));
    session.run(&Command::new("cd ../larger-agent"));
    session.write("src/lib.rs", include_str!("larger_agent/lib.rs"));
    session.write("tests/greetings.rs", include_str!("larger_agent/tests.rs"));
    session.run(&Command::new("cargo test"));
    session.end();
}

#[test]
fn the_code_of_the_readme_is_that_of_tested_files() {
    let tested: Vec<String> = ["examples/hello-world/src/lib.rs", "template/tests/greetings.rs"]
        .into_iter()
        .flat_map(|path| read(path).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    for block in blocks(&read("README.md"), "rust") {
        for line in block.text.lines().map(str::trim) {
            assert!(tested.iter().any(|tested| tested == line), "not in a tested file: {line}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").lines().count() < 200, "details belong into docs/");
}

#[test]
fn every_table_of_the_macros_is_in_their_reference() {
    let reference = read("docs/attributes.md");
    let (source, deployment) = (read("macros/src/lib.rs"), read("macros/src/deployment.md"));
    let lines = source.lines().filter_map(|line| line.strip_prefix("/// ")).chain(deployment.lines());
    for line in lines.filter(|line| line.starts_with("| ")) {
        let line = line.replace("[`macro@", "`").replace("`]", "`");
        assert!(reference.contains(&line), "docs/attributes.md lacks this line of macros/src/lib.rs: {line}");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let pages = fs::read_dir(repository().join("docs")).expect("docs/").flatten();
    let mut pages: Vec<_> = pages.map(|page| page.path()).filter(|page| page.extension().is_some()).collect();
    pages.push(repository().join("README.md"));
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(char::is_whitespace) {
                continue;
            }
            let target = page.parent().expect("a folder").join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}
