//! The command `new`: makes a crate for an agent from the files of `template/`, which cargo-generate can render too.

mod crate_name;
mod sdk_source;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::terminal::say;
use crate_name::NameError;
use sdk_source::{SdkSource, SdkSourceError};

/// The files of the template, with placeholders in cargo-generate's syntax. `sdk/template/` has links to them, which become files
/// in the published crate.
const FILES: &[(&str, &str)] = &[
    (".cargo/config.toml", include_str!("../../../template/cargo-config.toml")),
    (".gitignore", include_str!("../../../template/gitignore")),
    ("Cargo.toml", include_str!("../../../template/manifest.toml")),
    ("README.md", include_str!("../../../template/README.md")),
    ("build-worker.mjs", include_str!("../../../template/build-worker.mjs")),
    ("package.json", include_str!("../../../template/package.json")),
    ("src/lib.rs", include_str!("../../../template/lib.rs")),
    ("src/main.rs", include_str!("../../../template/main.rs")),
    ("tests/greetings.rs", include_str!("../../../template/greetings.rs")),
    ("wrangler.toml", include_str!("../../../template/wrangler.toml")),
];

#[derive(Debug, Args)]
pub(in crate::native) struct New {
    /// The folder to make, such as `my-agent` or `../my-agent`; its name is the crate's
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// The SDK: a checkout's folder, a git URL, or a version [default: the checkout that this program is from]
    #[arg(long, value_name = "PATH|GIT|VERSION")]
    sdk: Option<String>,
}

/// Why no crate was made.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum NewError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{} exists already: choose another name, or remove it first", path.display())]
    Exists { path: PathBuf },
    #[error(transparent)]
    Sdk(#[from] SdkSourceError),
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

pub(in crate::native) fn run(new: &New) -> Result<(), NewError> {
    let name = crate_name::of(&new.path)?;
    let sdk = SdkSource::find(new.sdk.as_deref())?;
    // Nothing is written over, not even by another `new` at the same time.
    if let Some(parent) = new.path.parent() {
        written(parent, fs::create_dir_all(parent))?;
    }
    fs::create_dir(&new.path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists { path: new.path.clone() },
        _ => NewError::Write { path: new.path.clone(), error },
    })?;
    for (file, text) in FILES {
        write(&new.path.join(file), &rendered(text, name, &sdk.dependency()))?;
    }
    // The versions that the SDK was tested with.
    if let Some(lock) = sdk.lock_file() {
        write(&new.path.join("Cargo.lock"), &lock)?;
    }
    let path = new.path.display();
    say(format_args!(
        "Made the agent {name} in {path}, with the SDK from {sdk}. Next:\n\n  \
        cd {path}\n  \
        cargo test             # the agent in virtual time, without a network\n  \
        cargo run              # agent and relay on ws://127.0.0.1:8787\n  \
        cargo run -- ask Ada   # in another terminal\n  \
        npx wrangler dev       # the same agent as a Worker; needs Node 22 and rustup\n\n\
        Its jobs are in src/lib.rs."
    ));
    Ok(())
}

/// A file of the template with its placeholders filled in.
fn rendered(text: &str, name: &str, sdk: &str) -> String {
    text.replace("{{project-name}}", name)
        .replace("{{crate_name}}", &name.replace('-', "_"))
        .replace("{{sdk}}", sdk)
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    if let Some(folder) = path.parent() {
        written(folder, fs::create_dir_all(folder))?;
    }
    written(path, fs::write(path, text))
}

fn written(path: &Path, result: io::Result<()>) -> Result<(), NewError> {
    result.map_err(|error| NewError::Write { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{FILES, New, NewError, run};

    fn new(path: &Path) -> New {
        New { path: path.to_owned(), sdk: None }
    }

    fn files_below(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn renders_every_file_of_the_template_and_leaves_no_placeholder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/my-agent2");
        run(&new(&path)).unwrap();
        let mut expected =
            files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("template"));
        assert!(expected.remove("cargo-generate.toml") && expected.insert("Cargo.lock".to_owned()));
        assert_eq!(files_below(&path), expected);
        for (file, _) in FILES {
            let text = fs::read_to_string(path.join(file)).unwrap();
            assert!(!text.contains("{{"), "{file}: {text}");
        }
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-agent2\""), "{manifest}");
        assert!(manifest.contains(concat!("{ path = \"", env!("CARGO_MANIFEST_DIR"), "\" }")), "{manifest}");
        assert!(fs::read_to_string(path.join("src/main.rs")).unwrap().contains("my_agent2::main()"));
    }

    #[test]
    fn writes_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(matches!(run(&new(&taken)), Err(NewError::Exists { .. })));
        assert!(matches!(run(&new(&folder.path().join("My Agent"))), Err(NewError::Name(_))));
        assert_eq!(files_below(folder.path()), BTreeSet::new());
    }
}
